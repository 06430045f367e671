"""A world of real parts in which everything fails at random, and what has to be true all the same.

One private engine and one database, a proxy before each, and the listener as its own process behind
both. A round has a few faults, and at the same time topologies come and go. Faults of different
parts overlap; of the same part one waits for the other. In the end everything is back, a few more
topologies come and go, which a listener that fell deaf would not hear, and then

- whatever is without a row goes,
- whatever was somebody's all the time, or nobody's, is still there,
- the listener has removed nothing before its row was deleted, was surprised by nothing, and ends
  with status 0 when it is told to.

Rounds whose faults are noticed without a sweep have none: only the noticing can heal them.

One topology stays for ever and vouches for the database, so that nothing is ever held, whatever
happens to the listener and its state. The end of a world takes that away; then exactly what is left
is held, and released by its token.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import docker
from private_engine import PrivateEngine

from tests.conftest import make_table
from tests.engine.chaos import book, faults
from tests.engine.chaos.faults import PARTS, Fault
from tests.engine.chaos.parts import Subject, Writer
from tests.engine.chaos.traffic import Traffic, listed
from tests.engine.chaos.truth import Truth
from tests.support.decnet import new_id
from tests.support.process import PATIENCE, call, eventually
from tests.support.proxy import FaultProxy, Proxy
from tests.support.rows import Rows
from tests.support.servers import PrivateServer

LIVE_RESTORE = ("--live-restore",)
"""What the engine is told: without it Docker 20.10 now and then ends by itself after a start in the
midst of this."""
SWEEPS, NO_SWEEPS = "3", "100000"
"""Seconds between two of the listener's sweeps."""
OPERATORS, DEEDS = 2, 5
"""How many act at once in a round, and how often each."""
FAULTS = 4
"""The least number of faults in a round."""


class World(AbstractContextManager["World"]):
    """The parts, what goes wrong with them, and the book of what really happened.

    Args:
        engine: runs, and nothing else uses it.
        database: the path of a SQLite file to be, or the administrator's URL of a fresh database.
        server: the server of that URL.
        seed: of everything that is decided by chance.

    Attributes:
        counts: of what was seen.
        faults: how often each kind of fault happened.
    """

    def __init__(
        self,
        engine: PrivateEngine,
        database: Path | str,
        server: PrivateServer | None = None,
        *,
        seed: int,
    ) -> None:
        self.counts = Counter({"live resources lost": 0, "orphans left": 0})
        self._unproven: set[str] = set()
        """The prefixes that the listener held when it was stopped last."""
        self.faults: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._engine = engine
        self._truth = Truth()
        self._anchor = new_id()
        self._locks = {part: threading.Lock() for part in PARTS}
        with ExitStack() as ends:
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            # The SDK leaves a socket open on which it could not connect. A proxy always lets it.
            self._host = ends.enter_context(Proxy(engine.host, listen=folder / "own.sock")).host
            self._api = docker.APIClient(self._host, version="auto")
            ends.callback(self._api.close)
            with Rows(database) as rows:
                make_table(rows, str(database))
            self._write = ends.enter_context(Writer(database))
            to_engine = FaultProxy(engine.host, listen=folder / "engine.sock")
            ends.enter_context(to_engine)
            if server is None:
                self._url = f"sqlite:///{database}"
                of_database = faults.of_file(Path(database), self._write)
            else:
                proxy = ends.enter_context(Proxy(("127.0.0.1", server.port)))
                self._url = str(database).replace(f":{server.port}/", f":{proxy.port}/")
                of_database = [
                    *faults.of_server(server),
                    *faults.of_connections(faults.TO_DATABASE, proxy, self._another()),
                ]
            self._state = folder / "state"
            self._listener = ends.enter_context(Subject(to_engine.host, self._url, self._state))
            # The last one acts when a fault wants it to.
            self._traffic = [ends.enter_context(closing(self._new())) for _ in range(OPERATORS + 1)]
            self._traffic[0].deploy(self._anchor)
            self.kinds: Sequence[Fault] = [
                *faults.of_engine(engine),
                faults.of_engine_out_of_reach(engine, to_engine, self._traffic[-1].come_and_go),
                *faults.of_listener(self._listener),
                *faults.of_connections(faults.TO_ENGINE, to_engine, self._another()),
                *faults.of_requests(to_engine, self._another()),
                *of_database,
            ]
            self._ends = ends.pop_all()

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def play(self, rounds: int) -> None:
        """Play so many rounds, in which every kind of fault occurs if there are enough."""
        for hand in self._deal(rounds):
            try:
                self._round(hand)
            except BaseException as error:
                error.add_note(f"in the round of {', '.join(fault.kind for fault in hand)}")
                raise

    def play_one(self, *kinds: str) -> None:
        """Play one round of these kinds of fault, with sweeps and however long it takes."""
        hand = [fault for fault in self.kinds if fault.kind in kinds]
        self._round([replace(fault, heals=False, patience=PATIENCE) for fault in hand])

    def finish(self) -> None:
        """Nothing vouches for the database any more: what is left is held until it is confirmed."""
        traffic, listener = self._traffic[0], self._listener
        traffic.deploy(new_id())
        left = self._truth.rows
        listener.forget()
        for id_ in left:
            traffic.delete(id_)
        self._write(lambda rows: rows.insert(new_id()))  # somebody's on another host
        listener.begin(NO_SWEEPS)
        listener.start()
        (held,) = listener.process.await_log("held")
        wrong = set(held["prefix"].split()) ^ ({id_[:8] for id_ in left} | self._unproven)
        assert not wrong, f"{wrong} held, or not held, beside {sorted(left)}: {held['message']}"
        self.counts["topologies held, as they had to be"] += len(left)
        sweep = (
            *("sweep", "--json", "--docker-host", self._host, "--database-url", self._url),
            *("--state-dir", str(self._state)),
        )
        token = held["token"]
        while self._orphans():
            released = call(*sweep, "--confirm", token)
            assert released.returncode in (0, 1), released.stderr
            # On a busy machine an answer can be too old before it is used; what is left is held.
            for still in json.loads(call(*sweep).stdout)["held"]:
                token = still["token"]
        self._assert_nothing_lost()

    def report(self) -> str:
        """What was seen, a line each."""
        counts = {**self.counts, "faults": self.faults.total()}
        lines = [f"{count:9,}  {what}" for what, count in sorted(counts.items())]
        lines += [f"{count:9,}    {kind}" for kind, count in sorted(self.faults.items())]
        return "\n".join(lines)

    def _deal(self, rounds: int) -> list[list[Fault]]:
        """The faults of each round; those that take a sweep come in as few rounds as can be."""
        kinds = list(self.kinds)
        self._chance.shuffle(kinds)
        healing = [fault for fault in kinds if fault.heals]
        hands: list[list[Fault]] = [[] for _ in range(rounds)]
        hands[-1] += [fault for fault in kinds if not fault.heals]
        for number, fault in enumerate(healing):
            hands[number % len(hands)].append(fault)
        for hand in hands:
            hand += self._chance.sample(healing, max(0, FAULTS - len(hand)))
        return hands

    def _round(self, hand: Sequence[Fault]) -> None:
        heal = all(fault.heals for fault in hand)
        self._listener.begin(NO_SWEEPS if heal else SWEEPS)
        self._listener.start()
        self._listener.process.await_log("ready")
        with ThreadPoolExecutor(OPERATORS + len(hand)) as everybody:
            busy = [everybody.submit(self._go_wrong, fault, self._another()) for fault in hand]
            busy += [everybody.submit(self._act, traffic) for traffic in self._traffic[:OPERATORS]]
        for one in busy:
            one.result()
        self._traffic[0].act_calmly()
        self._await_the_end_of_orphans(max(fault.patience for fault in hand))
        self._unproven = self._listener.unproven()
        self._listener.stop()
        self._assert_nothing_lost()
        assert not self._listener.surprises()
        self.counts["rounds"] += 1

    def _await_the_end_of_orphans(self, patience: float) -> None:
        def none_left() -> bool:
            return not self._orphans()

        try:
            try:
                eventually(none_left, "everything orphaned is gone", patience)
            except AssertionError:
                if not self._engine_is_stuck():
                    raise
                self.counts["times that the engine never finished a removal"] += 1
                book.kill(self._engine)
                self._engine.start()
                eventually(none_left, "everything orphaned is gone")
        finally:
            self.counts["orphans left"] += len(self._orphans())

    def _engine_is_stuck(self) -> bool:
        """Whether it says of an orphan that it is at it, for ever: only its restart helps then.

        Docker 20.10 waits without end for the exit of a container that it takes for running.
        """
        for name in self._orphans():
            try:
                self._api.remove_container(name, force=True)
            except docker.errors.NotFound:
                continue  # a network
            except docker.errors.APIError as error:
                return bool(error.status_code == 409)
            return False
        return False

    def _act(self, traffic: Traffic) -> None:
        for _ in range(DEEDS):
            traffic.act()

    def _go_wrong(self, fault: Fault, chance: random.Random) -> None:
        time.sleep(chance.uniform(0.0, 1.0))
        with ExitStack() as ours:
            for part in sorted(fault.parts):  # in one order, so that nobody waits in a circle
                ours.enter_context(self._locks[part])
            with fault.happen():
                time.sleep(chance.uniform(0.1, 1.0))
        self.faults[fault.kind] += 1

    def _orphans(self) -> list[str]:
        return self._truth.orphans(listed(self._api), self._listener.unproven())

    def _assert_nothing_lost(self) -> None:
        staying, there = self._truth.staying(), listed(self._api)
        lost = [name for name, id_ in staying.items() if there.get(name) != id_]
        removed = {
            line["id"]: datetime.fromisoformat(line["time"]).timestamp()
            for line in self._listener.process.logged("removed")
        }
        self.counts["resources removed"] += len(removed)
        self.counts["resources that had to stay, and did"] += len(staying) - len(lost)
        self.counts["live resources lost"] += len(lost)
        assert not lost, lost
        early = self._truth.too_early(removed)
        assert not early, early

    def _another(self) -> random.Random:
        return random.Random(self._chance.random())

    def _new(self) -> Traffic:
        return Traffic(self._host, self._write, self._truth, self._anchor, self._another())
