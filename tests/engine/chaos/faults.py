"""What goes wrong: every kind of fault is a block, at whose end everything is back.

A fault is of some *parts*; nothing else happens to these meanwhile. Most kinds are noticed as they
end at the latest. The others, such as a connection on which nothing comes any more, take a sweep.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from private_engine import PrivateEngine

from tests.engine.chaos import book
from tests.engine.chaos.parts import Subject, Writer
from tests.support.process import PATIENCE
from tests.support.proxy import Action, FaultProxy, Proxy, Request, answer, delay, truncate
from tests.support.servers import PrivateServer

ENGINE, DATABASE, LISTENER = "engine", "database", "listener"
TO_ENGINE, TO_DATABASE = "connections to the engine", "connections to the database"
PARTS = (ENGINE, DATABASE, LISTENER, TO_ENGINE, TO_DATABASE)

HIT = 0.4
"""The share of requests that a fault of requests hits."""
NONSENSE = (
    answer(500, '{"message": "the engine has a bad day"}'),
    answer(409, '{"message": "removal already in progress"}'),
    answer(200, "<html>Who goes there?</html>", "text/html"),
    answer(200, '{"hello": "world"}'),
)


NOTICED = 45.0
"""Seconds within which everything is right again. An engine that is silent for a minute is listed
anew, which would hide that something else does not work."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        kind: what, in words.
        parts: of what.
        happen: begins it; the end of the block ends it.
        heals: it is noticed without a sweep.
        patience: seconds that it may take until everything is right again.
    """

    kind: str
    parts: tuple[str, ...]
    happen: Callable[[], AbstractContextManager[None]]
    heals: bool = True
    patience: float = NOTICED


def _between(
    kind: str, part: str, begin: Callable[[], object], end: Callable[[], object] = lambda: None
) -> Fault:
    """The fault that one call begins and another one ends."""

    @contextmanager
    def happen() -> Iterator[None]:
        begin()
        yield
        end()

    return Fault(kind, (part,), happen)


def of_engine(engine: PrivateEngine) -> list[Fault]:
    """Of the engine itself."""

    def send(number: signal.Signals) -> Callable[[], None]:
        return lambda: os.kill(engine.pid, number)

    return [
        _between("engine killed", ENGINE, lambda: book.kill(engine), engine.start),
        _between("engine restarted", ENGINE, lambda: book.terminate(engine), engine.start),
        _between("engine paused", ENGINE, send(signal.SIGSTOP), send(signal.SIGCONT)),
    ]


def of_engine_out_of_reach(
    engine: PrivateEngine, proxy: Proxy, meanwhile: Callable[[], None]
) -> Fault:
    """Something happens while nobody can hear of it, and the engine forgets that it did."""

    @contextmanager
    def happen() -> Iterator[None]:
        proxy.refuse()
        proxy.cut_all()
        meanwhile()
        book.terminate(engine)
        engine.start()
        yield
        proxy.accept()

    return Fault("engine restarted out of reach", (ENGINE, TO_ENGINE), happen)


def of_listener(subject: Subject) -> list[Fault]:
    """Of the listener."""

    def kill_and_forget() -> None:
        subject.kill()
        subject.forget()

    return [
        _between("listener killed", LISTENER, subject.kill, subject.start),
        _between("listener killed, state lost", LISTENER, kill_and_forget, subject.start),
        _between("listener restarted", LISTENER, subject.stop, subject.start),
        _between("listener paused", LISTENER, subject.pause, subject.resume),
    ]


def of_server(server: PrivateServer) -> list[Fault]:
    """Of a database's server."""
    return [
        _between("database killed", DATABASE, server.kill, server.start),
        _between("database restarted", DATABASE, server.terminate, server.start),
    ]


def of_file(path: Path, writer: Writer) -> list[Fault]:
    """Of a database that is a file."""
    away = path.with_name("away.db")
    return [
        _between(
            "database file away", DATABASE, lambda: path.rename(away), lambda: away.rename(path)
        ),
        _between("writer of the database restarted", DATABASE, writer.restart),
    ]


def of_connections(part: str, proxy: Proxy, chance: random.Random) -> list[Fault]:
    """Of the connections through a proxy."""

    def refuse() -> None:
        proxy.refuse()
        proxy.cut_all()

    @contextmanager
    def half_open() -> Iterator[None]:
        """What was open falls silent: for a while, until the end is told, or for ever."""
        proxy.freeze(new=False)
        yield
        chance.choice((proxy.thaw, proxy.cut_all, lambda: None))()

    return [
        _between(f"{part} cut", part, proxy.cut_all),
        _between(f"{part} truncated", part, lambda: proxy.truncate(chance.randrange(500))),
        _between(f"{part} refused", part, refuse, proxy.accept),
        _between(f"{part} silent", part, proxy.freeze, proxy.thaw),
        Fault(f"{part} half-open", (part,), half_open, heals=False, patience=PATIENCE),
    ]


def of_requests(proxy: FaultProxy, chance: random.Random) -> list[Fault]:
    """Of what the listener asks the engine."""

    def some(kind: str, decide: Callable[[], Action]) -> Fault:
        def hook(_: Request) -> Action | None:
            return decide() if chance.random() < HIT else None

        @contextmanager
        def happen() -> Iterator[None]:
            proxy.hook = hook
            yield
            proxy.hook = None

        return Fault(kind, (TO_ENGINE,), happen)

    def late() -> Action:
        return delay(chance.uniform(0.0, 0.5), response=chance.random() < 0.5)

    return [
        _between("event streams cut", TO_ENGINE, proxy.cut_streams),
        some("requests delayed", late),
        some("answers truncated", lambda: truncate(chance.randrange(600))),
        some("answers wrong", lambda: chance.choice(NONSENSE)),
    ]
