"""Feeds: how a change in the database reaches us.

A feed yields hints, which say *that* something may have changed and never what to do about it. All
feeds have one shape: :meth:`Feed.connect`, which may be retried, and :meth:`Feed.follow`, which
blocks and hints until it breaks. Its first hint comes as soon as it hears: anything may have
happened before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Feed(Protocol):
    """Hears of changes in one database."""

    name: str
    """What kind it is: ``wal`` or ``poll``."""

    def connect(self) -> None:
        """Begin to hear.

        Raises:
            NoAnswer: the database cannot be reached.
        """

    def follow(self, hint: Callable[[], None], stop: threading.Event) -> None:
        """Call ``hint`` at once and whenever any topology may have gone, until ``stop`` is set.

        Raises:
            NoAnswer: nothing more will be heard on this connection.
        """
