"""Which resources of this host belong to which prefix, in memory.

Docker's events keep it, one update each in constant time, and a listing replaces it whole. Like the
graph of the Kubernetes garbage collector it only *proposes*: what is removed is decided by asking
the database, so an entry that is stale costs a question and can do no harm.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from listener.core.resources import PREFIX_LENGTH, Resource, prefix_of


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
        # Of what is doubtful, none: what has just appeared may be the first that is the owner's.
        self._by_owner: Counter[str] = Counter()
        self._appeared: dict[str, bool] = {}
        self._unconfirmed: set[str] = set()
        self._watched_since: float | None = None

    def put(self, resource: Resource, *, unconfirmed: bool = False, read: bool = False) -> None:
        """Add a resource that an event brought, or replace what is known under its id.

        Args:
            resource: as it is known now.
            unconfirmed: it may be none of ours at all, which the next listing will tell.
            read: no event brought it, so it may be old.
        """
        with self._lock:
            appears = (
                self._watched_since is not None
                and not resource.doubtful
                and (not read or self._is_new(resource))
            )
            new = self._new(resource.owners if appears else (), self._by_owner)
            self._discard(resource.id)
            if self._put(resource):
                self._appeared.update(new)
                if unconfirmed:
                    self._unconfirmed.add(resource.id)

    def discard(self, id_: str) -> Resource | None:
        """Forget a resource; returns what was known of it, None for an unknown id."""
        with self._lock:
            return self._discard(id_)

    def replace(self, resources: Iterable[Resource], *, at: float | None = None) -> None:
        """Forget everything and hold these instead.

        Args:
            resources: all there are, by a listing.
            at: the engine's time right before it, in seconds since the epoch; None where nobody
                watches. Whoever is made after the first listing appears under watch.
        """
        with self._lock:
            known = set(self._by_owner)
            self._by_id.clear()
            self._by_prefix.clear()
            self._by_owner.clear()
            self._unconfirmed.clear()
            older: set[str] = set()
            for resource in resources:
                self._discard(resource.id)  # should a listing name one twice
                self._put(resource)
                if not resource.doubtful and not self._is_new(resource):
                    older.update(resource.owners)
            self._appeared.update(self._new(self._by_owner.keys() - older, known))
            if self._watched_since is None:
                self._watched_since = at

    def take_appeared(self) -> Mapping[str, bool]:
        """The owners that appeared under watch since the last call.

        Returns:
            With each, whether it may be the rest of what was here already: an id with something of
            its bare prefix, or a bare prefix with something of an id.
        """
        with self._lock:
            appeared, self._appeared = self._appeared, {}
        return appeared

    def owners(self) -> frozenset[str]:
        """Every owner that has something on this host; what is doubtful does not count."""
        with self._lock:
            return frozenset(self._by_owner)

    def get(self, id_: str) -> Resource | None:
        """What is known under this id."""
        with self._lock:
            return self._by_id.get(id_)

    def is_unconfirmed(self, id_: str) -> bool:
        """Whether nothing but an event has told that this is ours."""
        return id_ in self._unconfirmed

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

    def _is_new(self, resource: Resource) -> bool:
        """Whether it was made after the first listing, as far as is known."""
        since, created = self._watched_since, resource.created
        return since is not None and (created is None or created > since)

    @staticmethod
    def _new(owners: Iterable[str], known: Collection[str]) -> dict[str, bool]:
        """Which of these owners were not known; see :meth:`take_appeared`."""
        new = [owner for owner in owners if owner not in known]
        return {
            owner: prefix_of(owner) in known
            if len(owner) > PREFIX_LENGTH
            else any(prefix_of(other) == owner for other in known)
            for owner in new
        }

    def _put(self, resource: Resource) -> bool:
        prefixes = resource.prefixes
        if self._only is not None and not prefixes <= self._only:
            return False
        self._by_id[resource.id] = resource
        if not resource.doubtful:
            self._by_owner.update(resource.owners)
        for prefix in prefixes:
            self._by_prefix.setdefault(prefix, {})[resource.id] = resource
        return True

    def _discard(self, id_: str) -> Resource | None:
        resource = self._by_id.pop(id_, None)
        self._unconfirmed.discard(id_)
        if resource is not None:
            for owner in () if resource.doubtful else resource.owners:
                self._by_owner[owner] -= 1
                if not self._by_owner[owner]:
                    del self._by_owner[owner]
            for prefix in resource.prefixes:
                held = self._by_prefix[prefix]
                held.pop(id_, None)
                if not held:
                    del self._by_prefix[prefix]
        return resource
