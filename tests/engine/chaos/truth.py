"""What really happened, written down by who did it, and what follows for each thing on the host.

An owner is a topology's id, or a prefix, which every topology that begins with it keeps alive. Its
row is *surely there* from after its insertion until before its deletion. A thing that was begun
while its owner was surely there is *doomed* at the first moment when that is over, and any other
thing from the beginning. What is not doomed has to stay; what is doomed has to go if its owner has
no row. In between is a thing whose owner has come back: it may have been removed or not.

A name is given to one thing only, ever. It is written down before the engine is asked for the
thing, so what the engine made and could not tell of any more is known too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

FOREIGN = "*"
"""The owner of what is no topology's; it never goes."""


@dataclass
class Thing:
    """A container or a network.

    Attributes:
        name: never used again.
        owner: an id, a prefix, or FOREIGN.
        doomed: when, in seconds since the epoch; None as long as it has to stay.
        id: the engine's; empty until the engine told it.
    """

    name: str
    owner: str
    doomed: float | None
    id: str = ""


class Truth:
    """The book of rows and things. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: set[str] = set()
        self._things: dict[str, Thing] = {}

    @property
    def rows(self) -> set[str]:
        """The ids of all rows that are surely there."""
        with self._lock:
            return set(self._rows)

    def inserted(self, id_: str) -> None:
        """This row is surely there."""
        with self._lock:
            self._rows.add(id_)

    def deleting(self, id_: str) -> None:
        """This row will be deleted, from now on at any moment.

        Raises:
            KeyError: it is not surely there.
        """
        with self._lock:
            self._rows.remove(id_)
            for thing in self._things.values():
                if thing.doomed is None and not self._is_there(thing.owner):
                    thing.doomed = time.time()

    def begin(self, name: str, owner: str) -> Thing:
        """A thing is about to be created."""
        with self._lock:
            doomed = None if self._is_there(owner) else time.time()
            thing = self._things[name] = Thing(name, owner, doomed)
            return thing

    def staying(self) -> dict[str, str]:
        """By name, the ids of what has to stay."""
        with self._lock:
            things = self._things.values()
            return {t.name: t.id for t in things if t.id and t.doomed is None}

    def orphans(self, there: Mapping[str, str], held: Collection[str]) -> list[str]:
        """What has to go.

        Args:
            there: of what is on the host, ids by name or id.
            held: the prefixes of which the listener says that they appeared without a row, for
                theirs came and went while a fault kept it from looking.
        """
        with self._lock:
            things = {t.id: t for t in self._things.values()} | self._things
            return [
                name
                for name in there
                if name not in things
                or not (self._is_there(things[name].owner) or things[name].owner[:8] in held)
            ]

    def too_early(self, removed: Mapping[str, float]) -> list[str]:
        """Given when things were removed, by id: the names of those that then had to stay."""
        with self._lock:
            return [
                t.name
                for t in self._things.values()
                if t.id in removed and (t.doomed is None or removed[t.id] < t.doomed)
            ]

    def _is_there(self, owner: str) -> bool:
        return owner == FOREIGN or any(id_.startswith(owner) for id_ in self._rows)
