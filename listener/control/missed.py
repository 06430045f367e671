"""Deletions that a sweep found, and of which the feed should have told.

Push can be deaf in ways that nobody can look up beforehand: rows that a foreign key's cascade took
in MariaDB, and in MySQL before 9.6, a session that switched its log or its triggers off. The sweep
finds those, and then says that it had to. What it finds is suspect only if the row was there when
we last asked, and the feed was up all the time and has said nothing; and since a hint may be on its
way while the sweep asks, it is counted only when the topology is removed and there has still been
none.

There is no clock in here; times are seconds on a monotonic one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Set


class MissedDeletions:
    """Which deletions of one database were missed. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        """How many so far."""
        self._heard_at = math.inf
        self._asked_at = math.inf
        self._live: Set[str] = frozenset()
        self._suspects: dict[str, float] = {}

    def heard(self, now: float) -> None:
        """The feed hints that any topology may have gone."""
        self._heard_at = now

    def lost(self) -> None:
        """The feed is not there; until it hints again nothing is to be expected of it."""
        self._heard_at = math.inf

    def screened(self, asked_at: float, live: Set[str], orphans: Set[str], *, swept: bool) -> None:
        """An answer about every prefix on this host has come.

        Args:
            asked_at: when it was asked for.
            live: prefixes with a row.
            orphans: prefixes without one.
            swept: a sweep asked.
        """
        with self._lock:
            if swept and self._heard_at <= self._asked_at:
                self._suspects.update(dict.fromkeys(orphans & self._live, asked_at))
            self._asked_at, self._live = asked_at, live

    def removed(self, prefix: str, *, reported: bool) -> bool:
        """Whether this topology, now removed, is one of them.

        Args:
            prefix: the topology's.
            reported: the feed has told of it by now.
        """
        with self._lock:
            found_at = self._suspects.pop(prefix, None)
            is_missed = found_at is not None and not reported and self._heard_at <= found_at
            self.count += is_missed
            return is_missed
