"""Which subnets the networks on this host have: by the last listing, and kept up by events since.

An event names a network and none of its subnets. So a network that is new is looked up by its id,
in a lane of its own: whoever follows the events waits for no request, and what this costs follows
what is new and not what is there. What goes is forgotten without a request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from listener.control.lane import Lane
from listener.core.resources import Subnet
from listener.core.workqueue import DONE, FAILED, Next
from listener.errors import EngineError, Gone


class SubnetIndex:
    """Network → its subnets. Safe to use from several threads.

    Args:
        read: looks up a network's subnets by its id; raises EngineError, and Gone for an id that
            the engine does not know.
        clock: seconds, monotonic.
    """

    def __init__(self, read: Callable[[str], Sequence[Subnet]], clock: Callable[[], float]) -> None:
        self.lane = Lane(self._look_up, clock)
        self._read = read
        self._lock = threading.Lock()
        self._by_network: dict[str, Sequence[Subnet]] = {}
        self._wanted: set[str] = set()

    def replace(self, subnets: Iterable[Subnet]) -> None:
        """Forget everything and hold these instead: all there are, by a listing."""
        by_network: dict[str, list[Subnet]] = {}
        for subnet in subnets:
            by_network.setdefault(subnet.network, []).append(subnet)
        with self._lock:
            self._by_network = dict(by_network)

    def appeared(self, network: str) -> None:
        """There is a network with this id."""
        with self._lock:
            if network in self._by_network:  # the listing came later than this event
                return
            self._wanted.add(network)
        self.lane.add(network)

    def vanished(self, network: str) -> None:
        """There is none any more."""
        with self._lock:
            self._wanted.discard(network)
            self._by_network.pop(network, None)

    def all(self) -> list[Subnet]:
        """Those of every network."""
        with self._lock:
            return [subnet for subnets in self._by_network.values() for subnet in subnets]

    def _look_up(self, network: str) -> Next:
        try:
            subnets = self._read(network) if network in self._wanted else ()
        except Gone:
            self.vanished(network)
            return DONE
        except EngineError:
            return FAILED
        with self._lock:
            if network in self._wanted:  # else it has gone while we looked
                self._wanted.discard(network)
                self._by_network[network] = subnets
        return DONE
