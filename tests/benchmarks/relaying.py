"""Ten thousand hosts behind one relay: who hears of a deletion, and what all of that costs.

The relay is the installed command, before PostgreSQL. Hosts share a few processes, as
``tests/benchmarks/hosts.py`` says. First there are a thousand of them: a writer deletes rows by
turns in their database and in one that a single listener hears directly. Then there are ten
thousand. Each deletion concerns one of them. A deletion of more rows than a notification holds is
"any": all have to ask.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from listener.runtime.relay.announcing import ANY_SHARE, SPREAD
from tests.benchmarks import fleet, hosts, reaping
from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.processes import cpu_seconds, resident
from tests.benchmarks.samples import median, ratios, turns
from tests.benchmarks.stage import RELAYED, Relay, Stage
from tests.support.decnet import new_id
from tests.support.process import environment, eventually
from tests.support.rows import Rows

A_PROCESS = 2_500
"""So many hosts share one."""
COMMITS = 50
"""Deletions whose commits are timed; each takes milliseconds."""
ROWS = """
    INSERT INTO topologies
    SELECT lpad(to_hex(host), 4, '0') || lpad(to_hex(number), 4, '0')
        || '-0000-4000-8000-000000000000', 'of a host', 'active'
    FROM generate_series(0, ?) host, generate_series(0, ?) number
"""
OTHERS = """
    INSERT INTO topologies
    SELECT gen_random_uuid(), 'of none of them', 'active' FROM generate_series(1, 1000)
"""


class Crowd:
    """Hosts, in a few processes.

    Args:
        stage: has the broker.
        relay: theirs.
        stack: ends them.
    """

    def __init__(self, stage: Stage, relay: Relay, stack: ExitStack) -> None:
        self._stage, self._relay, self._stack = stage, relay, stack
        self._processes: list[subprocess.Popen[str]] = []
        self.count = 0

    def grow(self, count: int) -> None:
        """Be so many, all of which the relay knows and has answered."""
        while self.count < count:
            more = min(A_PROCESS, count - self.count)
            self._processes.append(self._stack.enter_context(self._process(more)))
            self.count += more
        self.await_answers()

    def progress(self) -> dict[str, Any]:
        """How far all of them are."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told: dict[str, Any] = {"taken": 0, "asked": 0, "answered": 0, "told": []}
        for process in self._processes:
            assert process.stdout is not None
            for name, value in json.loads(process.stdout.readline()).items():
                told[name] += value
        return told

    def await_answers(self, before: int = 0) -> None:
        """Wait until each has asked once, after so many questions, and been answered."""

        def answered() -> bool:
            now = self.progress()
            return bool(
                now["taken"] >= self.count
                and now["answered"] == now["asked"] >= before + self.count
            )

        eventually(answered, "all hosts are answered")

    def await_told(self, id_: str) -> tuple[str, int]:
        """Which host was told of this deletion, and when."""
        eventually(lambda: any(id_ in ids for _, _, ids in self.progress()["told"]), "one is told")
        return next((name, at) for name, at, ids in self.progress()["told"] if id_ in ids)

    @contextmanager
    def _process(self, count: int) -> Iterator[subprocess.Popen[str]]:
        how = map(str, (self._stage.nats.port, self._relay.name, self.count, count))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.hosts", *how],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def relaying(stage: Stage) -> Mapping[str, Measured]:
    """First a topology on one host, then ever more hosts."""
    with reaping.race(stage, RELAYED) as racing:
        racing.run([racing.floor, racing.listener], stage.size.rounds)
        stage.floors += racing.floor.took
        measured = reaping.compared("relay", racing.listener, racing.floor)
    few, many = stage.size.hosts
    with ExitStack() as stack:
        source = stack.enter_context(stage.source(RELAYED))
        assert source.relay is not None
        source.rows.execute(*_rows(stage))
        crowd = Crowd(stage, source.relay, stack)
        crowd.grow(few)
        measured |= _commits(stage, source.rows, crowd)
        crowd.grow(many)
        measured |= _deletions(stage, source.rows, crowd)
        measured |= _any(stage, source.rows, crowd, source.relay)
    return measured


def _rows(stage: Stage) -> tuple[str, int, int]:
    """The statement that makes the rows of all hosts."""
    return ROWS, stage.size.hosts[-1] - 1, hosts.PREFIXES - 1


def _commits(stage: Stage, relayed: Rows, crowd: Crowd) -> Mapping[str, Measured]:
    with stage.source("notify") as direct:
        direct.rows.execute(*_rows(stage))
        took: dict[Rows, list[float]] = {direct.rows: [], relayed: []}
        with fleet.followers(direct.url, 1) as processes:
            for number, rows in enumerate(turns([direct.rows, relayed], COMMITS)):
                rows.insert(id_ := new_id(hosts.prefixes(number)[0]))
                began = time.monotonic_ns()
                took[rows].append((rows.delete(id_) - began) / 1e6)
                if rows is relayed:
                    crowd.await_told(id_)
                else:
                    fleet.heard_by(processes, id_)
    one, through = took.values()
    note = f"one listener: {median(one):.2f} ms, through a relay: {median(through):.2f} ms"
    return {"relay.commit": Measured.of(ratios(through, one), note)}


def _deletions(stage: Stage, rows: Rows, crowd: Crowd) -> Mapping[str, Measured]:
    before = len(crowd.progress()["told"])
    heard: list[float] = []
    for number in range(stage.size.rounds):
        host = crowd.count - 1 - number
        committed = rows.delete(_id_of(host))
        name, at = crowd.await_told(_id_of(host))
        assert name == f"host-{host}"
        heard.append((at - committed) / 1e9)
    others = len(crowd.progress()["told"]) - before - len(heard)
    floor = reaping.floor_seconds(stage)
    return {
        "relay.heard": Measured.of([seconds / floor for seconds in heard]),
        "relay.heard.seconds": Measured.of(heard),
        "relay.others": Measured(others),
    }


def _any(stage: Stage, rows: Rows, crowd: Crowd, relay: Relay) -> Mapping[str, Measured]:
    questions: list[float] = []
    cpu: list[float] = []
    took: list[float] = []
    for _ in range(stage.size.long_rounds):
        time.sleep(ANY_SHARE * SPREAD * crowd.count)  # they are told no more often
        rows.execute(OTHERS)
        asked, gathered = crowd.progress()["asked"], relay.status()["gathered"]
        used = cpu_seconds(relay.pid)
        committed = rows.execute("DELETE FROM topologies WHERE name = 'of none of them'")
        crowd.await_answers(asked)
        took.append(time.monotonic() - committed / 1e9)
        cpu.append(cpu_seconds(relay.pid) - used)
        questions.append(relay.status()["gathered"] - gathered)
    return {
        "relay.any.questions": Measured.of(questions),
        "relay.any.cpu": Measured.of(cpu),
        "relay.any.seconds": Measured.of(took),
        "relay.memory": Measured(resident(relay.pid) / 2**20),
    }


def _id_of(host: int) -> str:
    return f"{hosts.prefixes(host)[0]}-0000-4000-8000-000000000000"


ROW = Row(
    "relaying",
    [
        *reaping.figures_of("relay", "one topology, through a relay"),
        Figure("relay.commit", "1,000 hosts, a relay: the writer's commit", 1.2, "× one listener"),
        Figure("relay.heard", "10,000 hosts, a relay: the one concerned hears", 0.05, "× floor"),
        Figure("relay.heard.seconds", "10,000 hosts, a relay: hears: seconds", unit="s"),
        Figure("relay.others", "10,000 hosts, a relay: others that are told", 0),
        Figure("relay.any.questions", "10,000 hosts told any: questions to PostgreSQL", 200),
        Figure("relay.any.cpu", "10,000 hosts told any: the relay's processor time", 5, "s"),
        Figure("relay.any.seconds", "10,000 hosts told any: all are answered", unit="s"),
        Figure("relay.memory", "a relay of 10,000 hosts: memory", unit="MiB"),
    ],
    relaying,
)
