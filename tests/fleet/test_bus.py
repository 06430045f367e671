"""The connection to a broker: what it hears, and what ends it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from queue import SimpleQueue

import pytest
from loguru import logger

from listener.databases.nats.address import Broker
from listener.databases.nats.bus import Bus, BusError, NobodyListens
from tests.support.servers import PrivateNats

HEARD_WITHIN = 30.0


class Line:
    """A connection, with all that it was told."""

    def __init__(self, server: PrivateNats) -> None:
        self.heard: SimpleQueue[tuple[str, str, bytes]] = SimpleQueue()
        self.lost: SimpleQueue[str] = SimpleQueue()
        broker = Broker(servers=(server.address,))
        self.bus = Bus(broker, name="a test", inbox="_INBOX.here", lost=self.lost.put)

    def hear(self, subject: str, reply: str, data: bytes) -> None:
        self.heard.put((subject, reply, data))


@pytest.fixture
def line(nats: PrivateNats) -> Iterator[Line]:
    line = Line(nats)
    with closing(line.bus):
        yield line


ODD = {
    "no UTF-8": b"PUB %s a\xff 2\r\nhi\r\n",
    "a vertical tab": b"PUB %s a\x0bb 2\r\nhi\r\n",
    "a header of nothing": b"HPUB %s 8 10\r\nNATS/1.0hi\r\n",
    "a status of no digits": b"HPUB %s 16 18\r\nNATS/1.0 \xff\xff\xff\r\n\r\nhi\r\n",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_bytes_do_not_deafen(nats: PrivateNats, line: Line, fleet: str, odd: bytes) -> None:
    line.bus.subscribe(f"{fleet}.*", line.hear)
    with socket.create_connection(("127.0.0.1", nats.port)) as host:
        host.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
        host.sendall(odd % f"{fleet}.odd".encode())
        host.sendall(f"PUB {fleet}.plain 2\r\nhi\r\n".encode())
        while (heard := line.heard.get(timeout=HEARD_WITHIN))[0] != f"{fleet}.plain":
            pass
    assert heard == (f"{fleet}.plain", "", b"hi")


def test_who_fails_at_one_message_hears_the_next(line: Line, fleet: str) -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["extra"]["event"]))

    def fail_once(subject: str, reply: str, data: bytes) -> None:
        if data == b"1":
            raise ValueError(data)
        line.hear(subject, reply, data)

    line.bus.subscribe(fleet, fail_once)
    line.bus.publish((fleet, b"1"), (fleet, b"2"))
    assert line.heard.get(timeout=HEARD_WITHIN) == (fleet, "", b"2")
    logger.remove(sink)
    assert said == ["defect"]


def test_nobody_listens(line: Line, fleet: str) -> None:
    with pytest.raises(NobodyListens):
        line.bus.request(f"{fleet}.ask.here", b"", HEARD_WITHIN)


def test_an_answer(line: Line, fleet: str) -> None:
    line.bus.subscribe(f"{fleet}.ask.*", line.hear)

    def answer(_: str, reply: str, data: bytes) -> None:
        line.hear("", reply, data)

    line.bus.subscribe(f"{fleet}.ask.here", answer)
    line.bus.publish((f"{fleet}.ask.here", b"1"), (f"{fleet}.ask.here", b"2"))
    assert [line.heard.get(timeout=HEARD_WITHIN)[2] for _ in range(4)]


def test_a_lost_connection_says_why_and_ends_who_waits(own_nats: PrivateNats, fleet: str) -> None:
    line = Line(own_nats)
    with closing(line.bus):
        line.bus.subscribe(f"{fleet}.ask", lambda *_: own_nats.kill())
        with pytest.raises(BusError, match="disconnected"):
            line.bus.request(f"{fleet}.ask", b"", 600.0)
        assert "disconnected" in line.lost.get(timeout=HEARD_WITHIN)
        assert not line.bus.is_open
        with pytest.raises(BusError):
            line.bus.publish((fleet, b""))
    own_nats.start()


def test_who_is_too_slow_to_hear_all_learns_of_it(fleet: str) -> None:
    with PrivateNats('max_pending: 1MB, write_deadline: "1s"') as server:
        slow, other = Line(server), Line(server)
        go_on = threading.Event()
        with closing(slow.bus), closing(other.bus):

            def wait(*_: object) -> None:
                go_on.wait()

            slow.bus.subscribe(fleet, wait)
            while "Slow Consumer" not in server.log.read_text():
                other.bus.publish(*[(fleet, bytes(100_000))] * 10)
            go_on.set()
            assert slow.lost.get(timeout=HEARD_WITHIN)
