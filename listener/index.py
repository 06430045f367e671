"""Which resources of this host belong to which prefix, in memory.

Docker's events keep it, one update each in constant time, and a listing replaces it whole. Like the
graph of the Kubernetes garbage collector it only *proposes*: what is removed is decided by asking
the database, so an entry that is stale costs a question and can do no harm.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from listener.naming import Resource


class PrefixIndex:
    """Prefix → resources. Safe to use from several threads.

    Args:
        only: leave out every resource that has an owner outside these prefixes; None keeps all.
    """

    def __init__(self, only: Iterable[str] | None = None) -> None:
        self._only = None if only is None else frozenset(only)
        self._lock = threading.Lock()
        self._by_id: dict[str, Resource] = {}
        self._by_prefix: dict[str, dict[str, Resource]] = {}
        self._hearsay: set[str] = set()

    def put(self, resource: Resource, *, hearsay: bool = False) -> None:
        """Add a resource, or replace what is known under its id.

        Args:
            resource: as it is known now.
            hearsay: it may be none of ours at all, which the next listing will tell.
        """
        with self._lock:
            self._discard(resource.id)
            self._put(resource)
            if hearsay:
                self._hearsay.add(resource.id)

    def discard(self, id_: str) -> Resource | None:
        """Forget a resource; returns what was known of it, None for an unknown id."""
        with self._lock:
            return self._discard(id_)

    def replace(self, resources: Iterable[Resource]) -> None:
        """Forget everything and hold these instead."""
        with self._lock:
            self._by_id.clear()
            self._by_prefix.clear()
            self._hearsay.clear()
            for resource in resources:
                self._discard(resource.id)  # should a listing name one twice
                self._put(resource)

    def get(self, id_: str) -> Resource | None:
        """What is known under this id."""
        with self._lock:
            return self._by_id.get(id_)

    def is_hearsay(self, id_: str) -> bool:
        """Whether nothing but an event has told that this is ours."""
        return id_ in self._hearsay

    def resources(self, prefix: str) -> tuple[Resource, ...]:
        """Everything that has an owner with this prefix."""
        with self._lock:
            return tuple(self._by_prefix.get(prefix, {}).values())

    def prefixes(self) -> frozenset[str]:
        """The prefixes present on this host."""
        with self._lock:
            return frozenset(self._by_prefix)

    def __len__(self) -> int:
        return len(self._by_id)

    def _put(self, resource: Resource) -> None:
        prefixes = resource.prefixes
        if self._only is not None and not prefixes <= self._only:
            return
        self._by_id[resource.id] = resource
        for prefix in prefixes:
            self._by_prefix.setdefault(prefix, {})[resource.id] = resource

    def _discard(self, id_: str) -> Resource | None:
        resource = self._by_id.pop(id_, None)
        self._hearsay.discard(id_)
        if resource is not None:
            for prefix in resource.prefixes:
                held = self._by_prefix[prefix]
                held.pop(id_, None)
                if not held:
                    del self._by_prefix[prefix]
        return resource
