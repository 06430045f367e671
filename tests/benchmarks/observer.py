"""When something was gone, by the engine's own events, for every contender alike.

One subscription to nothing but `destroy` stays open for as long as anything is measured. The engine
stamps each event in nanoseconds as the object goes, so it does not matter when we come to read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import docker

from tests.support.process import PATIENCE

DESTROYED = {"type": ["container", "network"], "event": ["destroy"]}


class Observer:
    """Notes what the engine destroys, and when.

    Args:
        api: of the engine; the subscription is made through it.
    """

    def __init__(self, api: docker.APIClient) -> None:
        self._destroyed_at: dict[str, int] = {}
        self._changed = threading.Condition()
        # `since` closes the gap between the engine's answer and its subscription.
        self._events = api.events(since=int(time.time()), decode=True, filters=DESTROYED)
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)
        self._thread.start()

    def last(self, ids: Collection[str], patience: float = PATIENCE) -> int:
        """Wait until all of these are gone; when the last one went, in ns since the epoch.

        Raises:
            TimeoutError: something is still there after so many seconds.
        """
        with self._changed:
            all_gone = self._changed.wait_for(
                lambda: self._destroyed_at.keys() >= set(ids), patience
            )
            left = len(set(ids) - self._destroyed_at.keys())
        if not all_gone:
            raise TimeoutError(f"{left} of {len(ids)} were not removed in {patience:g} s")
        return max(self._destroyed_at[id_] for id_ in ids)

    def close(self) -> None:
        """End the subscription."""
        self._events.close()
        self._thread.join(PATIENCE)

    def _follow(self) -> None:
        for event in self._events:
            with self._changed:
                self._destroyed_at[event["Actor"]["ID"]] = event["timeNano"]
                self._changed.notify_all()


def since_epoch(monotonic: int) -> int:
    """A time of `time.monotonic_ns()` as the engine tells its own, in nanoseconds."""
    return monotonic + time.time_ns() - time.monotonic_ns()
