"""How fast events are taken in, and whether any is lost in a storm.

A proxy takes the engine's place as the source of events. For the rate it sends them as fast as they
are taken. For the storm it drops what a subscriber is too slow for, as the daemon does: first the
SDK's bare loop shows at what rate nothing is lost, then the installed command is given the same
events at that rate, with all that it has to do about each topology that appears.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tests.benchmarks.consumers import LAST
from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.lives import Lives
from tests.benchmarks.samples import ratios, turns
from tests.benchmarks.stage import FIRST, Stage
from tests.support.decnet import new_id
from tests.support.process import environment, eventually
from tests.support.proxy import LAST_CHUNK, Action, FaultProxy, stream
from tests.support.storm import Storm

IN_ONE_GO = 200
"""Events that are sent at once: the source must not be what is measured."""


@contextmanager
def _consumer(kind: str, host: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """A consumer that has subscribed; what it says next is when it had the last event."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.consumers", kind, host, str(count)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "subscribed\n"
        yield process
        process.kill()


def _end(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def decoding(stage: Stage) -> Mapping[str, Measured]:
    """The rate by turns, then the storm."""
    lives = Lives(stage)
    ids = [new_id() for _ in range(stage.size.events // (2 * lives.size))]
    events = [*lives.lived(ids), *lives.born([LAST])]
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    until = {"bare": len(events), "ours": lives.size}
    with FaultProxy(stage.engine.host, listen=stage.directory / "events.sock") as proxy:
        for kind in turns(list(rates), stage.size.rounds):
            begin = threading.Event()
            proxy.hook = lambda r, e=begin: _at_once(e, events) if r.is_stream else None
            with _consumer(kind, proxy.host, until[kind]) as process:
                began = time.monotonic_ns()
                begin.set()
                rates[kind].append(len(events) / (_end(process) - began) * 1e9)
        return {
            "events.rate": Measured.of(ratios(rates["ours"], rates["bare"])),
            "events.ours": Measured.of(rates["ours"]),
            "events.bare": Measured.of(rates["bare"]),
            **_storm(stage, lives, proxy),
        }


def _at_once(begin: threading.Event, events: Sequence[bytes]) -> Action:
    """Send all of these as soon as it begins, a chunk each as the daemon does, many in one go."""
    chunks = [b"%x\r\n%s\n\r\n" % (len(event) + 1, event) for event in events]
    blobs = [b"".join(chunks[n : n + IN_ONE_GO]) for n in range(0, len(chunks), IN_ONE_GO)]

    def send() -> Iterator[bytes]:
        begin.wait()
        yield from (*blobs, LAST_CHUNK)

    return replace(stream(()), pieces=send())


def _storm(stage: Stage, lives: Lives, proxy: FaultProxy) -> Mapping[str, Measured]:
    ids = [new_id() for _ in range(stage.size.storm // lives.size)]
    events = list(lives.born(ids))
    with _storming(proxy) as storm, _consumer("bare", proxy.host, len(events)) as process:
        began = time.monotonic_ns()
        lost_by_bare = _publish(storm, events)
        rate = len(events) / (_end(process) - began) * 1e9
    assert not lost_by_bare, "the bare loop loses nothing"
    with stage.source(FIRST) as source:
        source.rows.insert(*ids)
        with _storming(proxy) as storm, stage.listener(source, proxy.host) as running:
            began = time.monotonic_ns()
            lost = _publish(storm, events, rate)
            reached = len(events) / (time.monotonic_ns() - began) * 1e9

            def known() -> int:
                return sum(len(told["resources"]) for told in running.status()["topologies"])

            eventually(lambda: known() == len(events) - lost, "it has taken in the storm")
    note = f"{len(events)} events at {reached:,.0f} a second"
    return {"events.lost": Measured(lost, note=note), "events.storm": Measured(rate)}


@contextmanager
def _storming(proxy: FaultProxy) -> Iterator[Storm]:
    """A source of events in the engine's place."""
    storm = Storm()
    proxy.hook = lambda request: stream(storm.subscribe()) if request.is_stream else None
    yield storm
    storm.close()


def _publish(storm: Storm, events: Sequence[bytes], rate: float = math.inf) -> int:
    """Publish all, at most so many a second; returns how many were dropped."""
    before, began = storm.dropped, time.monotonic()
    for number, event in enumerate(events):
        ahead = began + number / rate - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
        storm.publish(event)
    return storm.dropped - before


ROW = Row(
    "decoding",
    [
        Figure("events.rate", "event handling", 0.7, "× bare loop", at_least=True),
        Figure("events.ours", "events a second", unit="/s"),
        Figure("events.bare", "events a second, the bare loop", unit="/s"),
        Figure("events.lost", "events lost in a storm", 0),
        Figure("events.storm", "the storm: events a second", unit="/s"),
    ],
    decoding,
)
