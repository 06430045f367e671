"""This host's connection to the relays of one name, and how it speaks of them.

Question and feed go over one connection, made by whoever needs it first. It is made once: to try
again is the business of who needs it. The relays' heartbeats are heard on all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from loguru import logger

from listener.core.once import Once
from listener.databases.nats import wire
from listener.databases.nats.address import Address
from listener.databases.nats.bus import CONNECT_TIMEOUT, Bus, BusError
from listener.databases.nats.relays import Relays
from listener.errors import NoAnswer


class Line:
    """Where the relays are, and the connection to them. Safe to use from several threads.

    Args:
        address: where they are.
        patience: seconds after which a broker that is silent is given up, if that is sooner.
        clock: seconds, monotonic.

    Attributes:
        name: of the relays, as a person is told.
        place: where their brokers are.
        host: we are to them.
        subjects: of what is said.
        relays: that are heard.
        refused: how many messages were none to be believed.
        heard: is told of each heartbeat, on the connection's own thread.
        lost: is told why when the connection is lost, likewise.
    """

    def __init__(self, address: Address, patience: float, clock: Callable[[], float]) -> None:
        self.place = ",".join(address.broker.servers)
        self.name = f"the relay {address.name!r} at {self.place}"
        self.host, self.subjects = address.host, wire.Subjects(address.name)
        self.relays = Relays(address.name)
        self.refused = 0
        self.heard: Callable[[wire.Heartbeat], None] = lambda _: None
        self.lost: Callable[[NoAnswer], None] = lambda _: None
        self._address = address
        self._patience = patience
        self._clock = clock
        self._connecting = threading.Lock()
        self._bus: Bus | None = None
        self._refusing, self._said = threading.Lock(), Once()

    def connected(self) -> Bus:
        """The connection, made anew if it was lost.

        Raises:
            NoAnswer: no broker can be reached, or lets us in.
        """
        with self._connecting:
            if self._bus is None or not self._bus.is_open:
                self._hang_up()
                try:
                    self._bus = Bus(
                        self._address.broker,
                        name=f"topology-reaper, {self.host}",
                        inbox=wire.inbox(self.host),
                        lost=lambda why: self.lost(self.broken(why)),
                        timeout=min(CONNECT_TIMEOUT, self._patience),
                    )
                    self._bus.subscribe(self.subjects.heartbeats, self._hear)
                except BusError as error:
                    self._hang_up()
                    raise self.broken(error) from error
            return self._bus

    def close(self) -> None:
        """End the connection."""
        with self._connecting:
            self._hang_up()

    def no_answer(self, why: str, aspect: str = "reachable") -> NoAnswer:
        """The error that says so of the relays; see :meth:`Topologies.no_answer`."""
        return NoAnswer(f"--database-url: {self.name} {why}", aspect)

    def no_relay(self) -> NoAnswer:
        """The error that says that there is none."""
        return NoAnswer(
            f"--database-url: no relay named {self._address.name!r} answers at {self.place};"
            " start one, as docs/fleet.md shows"
        )

    def broken(self, why: BusError | str) -> NoAnswer:
        """The error that says so of the broker."""
        return NoAnswer(f"--database-url: the NATS broker at {self.place} {why}")

    def refuse(self, why: wire.Malformed) -> NoAnswer:
        """The error that says that a message is not to be believed; said in the log as well."""
        with self._refusing:
            self.refused += 1
            is_new = self._said.is_new(str(why))
        if is_new:
            logger.bind(event="refused", error=str(why)).warning(
                "refused a message from {}, which is {}; see that both are of one release, and who"
                " else may publish there",
                *(self.name, why),
            )
        return self.no_answer(f"gave an answer that is refused: {why}")

    def _hang_up(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _hear(self, _subject: str, _reply: str, data: bytes) -> None:
        try:
            heartbeat = wire.heartbeat(data)
        except wire.Malformed as error:
            self.refuse(error)
        else:
            self.relays.heard(heartbeat, self._clock())
            self.heard(heartbeat)
