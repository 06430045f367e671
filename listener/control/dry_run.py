"""A reaper that removes nothing, and says once what would have been removed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

from loguru import logger

from listener.control.reaper import Permit
from listener.core.outcome import Removal
from listener.core.resources import Resource
from listener.errors import EngineError


class DryRun:
    """Takes the place of a reaper.

    Args:
        read: looks up in the engine what has to be read again before it is removed.
    """

    def __init__(self, read: Callable[[Resource], Resource | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def reap(self, doomed: Collection[Resource], permit: Permit) -> Sequence[Removal]:  # noqa: ARG002
        """Say what is new among these."""
        with self._lock:
            new = [resource for resource in doomed if resource.id not in self._said]
        ours = []
        for resource in new:
            try:
                is_ours = self._is_what_it_seems(resource)
            except EngineError:
                continue  # it is told of another time
            with self._lock:
                if resource.id not in self._said and is_ours:
                    ours.append(resource)
                self._said.add(resource.id)
        if ours:
            prefixes = " ".join(sorted({prefix for r in ours for prefix in r.prefixes}))
            logger.bind(event="would_remove", prefix=prefixes, ids=[r.id for r in ours]).info(
                "would remove of topology {}: {}", prefixes, ", ".join(map(str, ours))
            )
        return ()

    def _is_what_it_seems(self, resource: Resource) -> bool:
        if resource.verified:
            return True
        found = self._read(resource)
        return found is not None and resource.is_confirmed_by(found)
