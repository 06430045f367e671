"""Feeds: how a change in the database reaches us.

A feed yields hints, which say *what to look at* and never what to do about it. All feeds have one
shape: :meth:`Feed.connect`, which may be retried, and :meth:`Feed.follow`, which blocks and hints
until it breaks. Its first hint comes as soon as it hears: anything may have happened before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Protocol

Interest = Callable[[], Collection[str]]
"""The prefixes on this host: changes that concern no other topology need no hint."""


class Hint(Protocol):
    """Takes hints; may be called from any thread and returns at once."""

    def __call__(
        self, deleted: Collection[str] | None = None, /, *, torn_down: bool = False
    ) -> None:
        """Rows may have gone.

        Args:
            deleted: the ids of rows that were reported deleted; None: it may be any.
            torn_down: they are not deleted; it is their status that is reported to be that.
        """


class Feed(Protocol):
    """Hears of changes in one database."""

    identity: str = ""
    """Of the table that is heard, as :meth:`connect` found it; empty for a feed that sees for
    itself when another one takes its place."""

    @property
    def name(self) -> str:
        """How it hears: ``wal``, ``notify``, ``binlog``, ``relay`` or ``poll``."""

    def connect(self) -> None:
        """Begin to hear.

        Raises:
            NoAnswer: the database cannot be reached.
            PushUnavailable: it can, and does not let us hear.
        """

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Hint at once and whenever any topology may have gone, until ``stop`` is set.

        Raises:
            NoAnswer: nothing more will be heard on this connection.
            PushUnavailable: nor on another one, as things are.
        """

    def close(self) -> None:
        """End :meth:`follow` soon, by a NoAnswer unless ``stop`` is set; from any thread."""

    def answered(self, identity: str) -> None:  # noqa: ARG002
        """End :meth:`follow` soon, by a NoAnswer, if it is another table that has just answered.

        For who would not see that by himself within moments; from any thread.
        """
        return

    def distrust(self) -> None:
        """Use other means for a while, if it has any, for it missed a deletion; any thread."""
        return
