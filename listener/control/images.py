"""Which images go with a topology, where images are to go at all.

They come last, once nothing else of the prefix is left, and while no row has it: a prefix is all
that an image's label names. Nothing waits for them, for an engine may take long over their list: a
prefix is reconciled without, and what went of it is noted. Its images then go by the evidence of
that, in work of their own.

Some are alone here, for the rest went while nobody watched, or by DECNET's own teardown, which
leaves images. A sweep looks for those. They are never in the index, where they would keep a prefix
for ever and pass for a sign of its life; so nobody has observed how long their row is absent, and
they go only if it was seen, or if its deletion was reported, and never with a delay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from listener.core.evidence import State, Verdict
from listener.core.resources import Resource

ListImages = Callable[[Collection[str]], Sequence[Resource]]
"""Lists the images that compose built for any topology and that no container uses, but for those
with these ids; raises EngineError."""


class Images:
    """Finds them; removes none. Safe to use from several threads.

    Args:
        list_images: lists what may go.
    """

    def __init__(self, list_images: ListImages) -> None:
        self._list = list_images
        self._lock = threading.Lock()
        # By prefix and id, what went of it; in a dry run what would.
        self._went: dict[str, dict[str, Resource]] = {}

    def note(self, prefix: str, went: Collection[Resource]) -> bool:
        """Remember what went of a topology until its images are through; whether that is new."""
        with self._lock:
            known = self._went.setdefault(prefix, {}) if went else {}
            new = {r.id: r for r in went if r.id not in known}
            known.update(new)
            return bool(new)

    def forget(self, prefixes: Collection[str]) -> None:
        """The images of these are through, or it has a row again."""
        with self._lock:
            for prefix in prefixes:
                self._went.pop(prefix, None)

    @property
    def prefixes(self) -> frozenset[str]:
        """Those of which something went."""
        with self._lock:
            return frozenset(self._went)

    @property
    def owners(self) -> frozenset[str]:
        """Of what went; their evidence is still needed."""
        with self._lock:
            went = [resource for known in self._went.values() for resource in known.values()]
        return frozenset(owner for resource in went for owner in resource.owners)

    def unused(self) -> list[Resource]:
        """Images that no other container uses, owned like what went, as old as its youngest.

        Raises:
            EngineError: they cannot be listed.
        """
        with self._lock:
            went = {prefix: list(known.values()) for prefix, known in self._went.items()}
        found = []
        for image in self._list({r.id for known in went.values() for r in known}):
            (prefix,) = image.prefixes
            before = went.get(prefix, ())
            owners = {o for r in before for o in r.owners if o.startswith(prefix)}
            created = max((r.created or 0.0 for r in before), default=None)
            found.append(
                replace(image, owners=tuple(sorted(owners)) or image.owners, created=created)
            )
        return found


def may_go(verdict: Verdict, *, alone: bool) -> bool:
    """Whether an image goes by a verdict; alone it never does by an absence that was timed."""
    return verdict.state is State.ORPHAN and not (alone and verdict.timed)
