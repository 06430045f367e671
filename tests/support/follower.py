"""A feed that is followed on a thread of its own, and what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

PATIENCE = 60.0
"""Seconds after which a condition that is awaited is taken to fail."""

Error = TypeVar("Error", bound=BaseException)


class Followed(Protocol):
    """What a feed does."""

    @property
    def name(self) -> str: ...

    def connect(self) -> None: ...

    def follow(self, hint: Any, stop: threading.Event) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Heard:
    """One hint: when it came (`time.monotonic_ns()`), and the ids; None: it may be any."""

    at: int
    ids: list[str] | None


class Follower:
    """Follows a feed and keeps its hints."""

    def __init__(self, feed: Followed) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.heard: list[Heard] = []
        self.torn_down: list[str] = []
        """The ids whose status it reported to be that, in their order."""
        self.feed = feed
        self._hinted = threading.Condition()
        feed.connect()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.feed.follow(self._hint, self.stop)
        except BaseException as error:
            self.error = error
            with self._hinted:
                self._hinted.notify_all()

    def _hint(self, deleted: Collection[str] | None = None, *, torn_down: bool = False) -> None:
        at = time.monotonic_ns()
        with self._hinted:
            if torn_down:
                self.torn_down += sorted(deleted or ())
                return
            self.heard.append(Heard(at, None if deleted is None else sorted(deleted)))
            self._hinted.notify_all()

    @property
    def hints(self) -> int:
        """How often it has hinted since its start."""
        return len(self.heard)

    @property
    def deleted(self) -> list[str]:
        """The ids that it reported since its start."""
        return [id_ for heard in self.heard for id_ in heard.ids or ()]

    def await_hints(self, count: int) -> None:
        """Return once it has hinted so often since its start."""
        self._await(lambda: self.hints >= count)

    def await_deleted(self, *ids: str) -> None:
        """Return once it has reported these ids."""
        self._await(lambda: set(ids) <= set(self.deleted))

    def await_end(self, kind: type[Error]) -> Error:
        """The error that it ended with."""
        self.thread.join(PATIENCE)
        assert isinstance(self.error, kind), self.error
        return self.error

    def end(self) -> None:
        """Stop it; whatever it still does wrong is raised."""
        self.stop.set()
        self.feed.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def _await(self, condition: Callable[[], bool]) -> None:
        with self._hinted:
            self._hinted.wait_for(lambda: condition() or self.error, PATIENCE)
            assert condition(), self.error or f"only heard {self.heard[-5:]}"
