"""Many hosts in one process: ``python -m tests.benchmarks.hosts PORT NAME FIRST COUNT``.

Ten thousand listeners would not fit on this machine. What stands for them has one connection to the
broker, with the subscriptions that each host has, but for the heartbeats, which all of them hear by
one. What a host says, when it asks and what it takes for an answer is the listener's own code; only
the threads of its feed are missing.

For every line on standard input it tells how far it is: one line of JSON. Times are on the clock
that all processes share, in nanoseconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Callable

from listener.databases.nats import wire
from listener.databases.nats.interests import Interests

Take = Callable[[str, bytes], None]
"""Takes a message, by its subject."""
PREFIXES = 4
"""That a host has."""
APART = 0.0005
"""Seconds between the starts of two hosts."""


def prefixes(host: int) -> list[str]:
    """What a host has."""
    return [f"{host:04x}{number:04x}" for number in range(PREFIXES)]


class Host:
    """One of them.

    Args:
        number: of the host.
        fleet: its connection.
    """

    def __init__(self, number: int, fleet: Fleet) -> None:
        self.name = f"host-{number}"
        self._fleet = fleet
        self._prefixes = frozenset(prefixes(number))
        self._interests = Interests()
        self._questions: dict[str, wire.Question] = {}
        fleet.subscribe(fleet.subjects.host(self.name), self._told)
        fleet.subscribe(f"{wire.inbox(self.name)}.>", self._answered)

    def work(self) -> None:
        """Say and ask what is due, and come back for what is due later."""
        now = time.monotonic()
        for message in self._interests.to_say(self._prefixes, now):
            self._fleet.publish(self._fleet.subjects.ask(self.name), message)
        if self._interests.to_ask(now):
            self._ask()
        self._later(now)

    def hear(self, heartbeat: wire.Heartbeat) -> None:
        """A relay is there."""
        now, due = time.monotonic(), self._interests.due()
        self._interests.heard(heartbeat, now)
        if self._interests.due() < due:
            self._later(now)

    def _later(self, now: float) -> None:
        asyncio.get_running_loop().call_later(max(0.0, self._interests.due() - now), self.work)

    def _told(self, _subject: str, data: bytes) -> None:
        message = wire.to_host(data)
        if isinstance(message, wire.Deleted):
            self._fleet.told.append((self.name, time.monotonic_ns(), sorted(message.ids)))
        elif self._interests.acknowledged(message):
            self._fleet.taken += 1
            self._ask()

    def _ask(self) -> None:
        question = wire.Question(secrets.token_hex(8), self._prefixes)
        reply = f"{wire.inbox(self.name)}.{question.nonce}"
        self._questions[reply] = question
        self._fleet.publish(self._fleet.subjects.ask(self.name), question, reply)
        self._fleet.asked += 1

    def _answered(self, subject: str, data: bytes) -> None:
        answer = wire.answer_to(self._questions.pop(subject), data)
        self._fleet.answered += isinstance(answer, wire.Reply)


class Fleet:
    """The connection of all.

    Args:
        name: of the relays.
        writer: to the broker.

    Attributes:
        taken: how many interests a relay has taken.
        asked: questions.
        answered: those that were.
        told: which host was told of which deletions, and when.
    """

    def __init__(self, name: str, writer: asyncio.StreamWriter) -> None:
        self.subjects = wire.Subjects(name)
        self.taken = self.asked = self.answered = 0
        self.told: list[tuple[str, int, list[str]]] = []
        self._writer = writer
        self._takers: list[Take] = []

    def subscribe(self, subject: str, take: Take) -> None:
        """Hear a subject."""
        self._writer.write(f"SUB {subject} {len(self._takers)}\r\n".encode())
        self._takers.append(take)

    def publish(self, subject: str, message: wire.FromHost, reply: str = "") -> None:
        """Say something."""
        data = wire.encode(message)
        self._writer.write(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Hand on what comes, until the connection ends."""
        while line := await reader.readline():
            words = line.split()
            if words[0] == b"MSG":
                data = await reader.readexactly(int(words[-1]) + 2)
                self._takers[int(words[2])](words[1].decode(), data[:-2])
            elif words[0] == b"PING":
                self._writer.write(b"PONG\r\n")

    def progress(self) -> str:
        """How far it is."""
        counts = {name: getattr(self, name) for name in ("taken", "asked", "answered", "told")}
        return json.dumps(counts)


async def main(port: int, name: str, first: int, count: int) -> None:
    """Be so many hosts, and tell of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
    fleet = Fleet(name, writer)
    hosts = [Host(number, fleet) for number in range(first, first + count)]

    def hear(_subject: str, data: bytes) -> None:
        heartbeat = wire.heartbeat(data)
        for host in hosts:
            host.hear(heartbeat)

    fleet.subscribe(fleet.subjects.heartbeats, hear)
    loop = asyncio.get_running_loop()
    for host in hosts:
        loop.call_later(random.uniform(0.0, APART * count), host.work)
    listening = asyncio.ensure_future(fleet.listen(reader))
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(fleet.progress(), flush=True)
    listening.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
