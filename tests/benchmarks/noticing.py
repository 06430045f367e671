"""How soon a deletion leads to the first request for a removal, and what unrelated commits cost.

A proxy before the engine's socket notes when each request came. The topologies are deployed but not
started, which changes nothing of the way to that first request. By turns the database is quiet, and
another writer commits unrelated rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.reaping import floor_seconds
from tests.benchmarks.samples import ratios, turns
from tests.benchmarks.stage import FEEDS, Running, Source, Stage
from tests.support.decnet import new_id
from tests.support.process import PATIENCE
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows

COMMITS = 200
"""A second."""
AHEAD = 0.5
"""Seconds of unrelated commits before a deletion among them."""


def noticing(stage: Stage) -> Mapping[str, Measured]:
    """Every feed in turn, with its own listener."""
    measured: dict[str, Measured] = {}
    floor = floor_seconds(stage)
    for feed in FEEDS:
        with (
            stage.source(feed) as source,
            FaultProxy(stage.engine.host, listen=stage.directory / f"{feed}.sock") as proxy,
            stage.listener(source, proxy.host) as running,
        ):
            quiet: list[float] = []
            noisy: list[float] = []
            for seconds in turns([quiet, noisy], stage.size.rounds):
                noise = _noise(source) if seconds is noisy else nullcontext()
                seconds.append(_first_request(stage, source, running, proxy, noise))
            with Rows(source.url) as writer:
                shares = [
                    _share_of_a_core(running, writer, stage.size.window)
                    for _ in range(stage.size.rounds)
                ]
            measured |= {
                f"request.{feed}": Measured.of([100 * seconds / floor for seconds in quiet]),
                f"request.{feed}.seconds": Measured.of(quiet),
                f"commits.{feed}.cpu": Measured.of(shares),
                f"commits.{feed}.noticed": Measured.of(ratios(noisy, quiet)),
            }
    return measured


def _first_request(
    stage: Stage,
    source: Source,
    running: Running,
    proxy: FaultProxy,
    noise: AbstractContextManager[None],
) -> float:
    """Seconds from the commit that deletes a topology to the first request to remove a part."""
    id_ = new_id()
    source.rows.insert(id_)
    (topology,) = stage.deploy([id_], start=False)
    running.await_alive(topology)
    proxy.clear()
    with noise:
        committed = source.rows.delete(id_)
        stage.observer.last(topology.ids)
    first = next(request.at for request in proxy.requests if request.method == "DELETE")
    return first - committed / 1e9


@contextmanager
def _noise(source: Source) -> Iterator[None]:
    """Another writer commits unrelated rows, for a while already when the block begins."""
    stop = threading.Event()

    def write() -> None:
        with Rows(source.url) as writer:
            while not stop.is_set():
                writer.noise(round(COMMITS * AHEAD), COMMITS)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(AHEAD)
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


def _share_of_a_core(running: Running, writer: Rows, seconds: float) -> float:
    """What the listener takes of a processor while unrelated rows are committed, in percent."""
    writer.noise(1)
    began, before = time.monotonic(), cpu_seconds(running.pid)
    writer.noise(round(COMMITS * seconds), COMMITS)
    return 100 * (cpu_seconds(running.pid) - before) / (time.monotonic() - began)


ROW = Row(
    "noticing",
    [
        figure
        for feed, kind in FEEDS.items()
        for figure in (
            Figure(f"request.{feed}", f"{kind}: commit → first request", 3, "% of floor"),
            Figure(f"request.{feed}.seconds", f"{kind}: commit → first request: seconds", unit="s"),
            Figure(f"commits.{feed}.cpu", f"{kind}: 200 commits a second", 1.5, "% of a core"),
            Figure(f"commits.{feed}.noticed", f"{kind}: noticed among these", 1.5, "× quiet"),
        )
    ],
    noticing,
)
