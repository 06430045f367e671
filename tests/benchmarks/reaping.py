"""From the commit until everything is gone, every contender by turns on the same host.

Each turn deploys the topologies anew. Time begins with the commit, as the writer tells it, or where
nobody waits for one with the call; it ends with the engine's own event for the last resource that
goes. Every contender has a database of its own, and the listener's has all rows, so that whatever
the others remove it takes to be alive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import NotFound

from tests.benchmarks import contenders
from tests.benchmarks.contenders import Contender
from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.observer import since_epoch
from tests.benchmarks.samples import median, percentile90, ratios, turns
from tests.benchmarks.stage import FEEDS, FIRST, Source, Stage
from tests.support.decnet import Topology, new_id

TIMER = 60.0
"""Seconds between two sweeps of a reference that nobody calls."""
WAITS = (5 / 6, 3 / 6, 1 / 6)
"""Of the timer, how much is left at the commit, by round."""
MOST, MOST_OF_MANY = 1.10, 1.15


@dataclass
class Entrant:
    """A contender with what it needs, and what came out.

    Attributes:
        remove: called right after the commit.
        source: where the rows are deleted; None for one that waits for no commit.
        took: by round, seconds until the last resource went that goes.
        left: by round, the names of the containers, networks and volumes that stayed.
        note: what that is, in numbers.
    """

    remove: Contender
    source: Source | None = None
    took: list[float] = field(default_factory=list)
    left: list[set[str]] = field(default_factory=list)
    note: str = ""

    @property
    def measured(self) -> Measured:
        """How long it took, and what stayed."""
        return Measured.of(self.took, self.note)

    @property
    def most_left(self) -> Measured:
        """How much stayed in the worst round."""
        return Measured(max(map(len, self.left)), note=self.note)


class Race:
    """One listener on the host, and the others beside it.

    Args:
        stage: where.
        stack: ends what is made for it.
        feed: of the listener.
    """

    def __init__(self, stage: Stage, stack: ExitStack, feed: str) -> None:
        self._stage = stage
        self._stack = stack
        self._alive = stack.enter_context(stage.source(feed))
        self._listener = stack.enter_context(stage.listener(self._alive))
        self.floor = Entrant(contenders.floor(stage.api))
        self.listener = Entrant(contenders.listener(stage.observer), self._alive)

    def docker_cli(self) -> Entrant:
        """The Docker CLI, as another entrant."""
        source = self._stack.enter_context(self._stage.source(FIRST))
        return Entrant(contenders.docker_cli(self._stage.engine.host), source)

    def reference(self) -> Entrant:
        """The reference, as another entrant."""
        source = self._stack.enter_context(self._stage.source(FIRST))
        client = docker.DockerClient(self._stage.engine.host, version="auto", timeout=600)
        self._stack.callback(client.close)
        path = Path(source.url.removeprefix("sqlite:///"))
        return Entrant(contenders.reference(client, path), source)

    def run(self, entrants: Sequence[Entrant], rounds: int, count: int = 1) -> None:
        """Let them remove so many topologies by turns."""
        for entrant in turns(entrants, rounds):
            self.turn(entrant, count)

    def turn(self, entrant: Entrant, count: int = 1) -> None:
        """Let one of them."""
        stage, ids = self._stage, [new_id() for _ in range(count)]
        sources = {self._alive.url: self._alive}
        if entrant.source is not None:
            sources[entrant.source.url] = entrant.source
        for source in sources.values():
            source.rows.insert(*ids)
        topologies = stage.deploy(ids)
        self._listener.await_alive(*topologies)
        if entrant.source is None:
            began = time.time_ns()
        else:
            began = since_epoch(entrant.source.rows.delete(*ids))
        entrant.remove(topologies)
        left = {name for topology in topologies for name in topology.remaining(stage.api)}
        named = {n: id_ for t in topologies for n, id_ in t.named.items()}
        gone = [id_ for name, id_ in named.items() if name not in left]
        entrant.took.append((stage.observer.last(gone) - began) / 1e9)
        entrant.left.append(left)
        if left:
            containers = {name for t in topologies for name in (*t.bases, *t.services)}
            entrant.note = f"leaves {len(left & containers)} of {len(containers)} containers"
            _clear(stage.api, topologies)
        for source in sources.values():
            source.rows.delete(*ids)


@contextmanager
def race(stage: Stage, feed: str) -> Iterator[Race]:
    """A race with a listener that hears by this feed."""
    with ExitStack() as stack:
        yield Race(stage, stack, feed)


def _clear(api: docker.APIClient, topologies: Sequence[Topology]) -> None:
    """Remove whatever is there of these."""
    for topology in topologies:
        for id_ in topology.containers:
            with suppress(NotFound):
                api.remove_container(id_, v=True, force=True)
        for id_ in topology.networks.values():
            with suppress(NotFound):
                api.remove_network(id_)


def compared(name: str, listener: Entrant, floor: Entrant) -> dict[str, Measured]:
    """How the listener compares with the floor of the same turns."""
    excess = percentile90(listener.took) / percentile90(floor.took)
    return {
        f"{name}.gone": Measured.of(ratios(listener.took, floor.took)),
        f"{name}.gone.p90": Measured(excess),
        f"{name}.left": listener.most_left,
        f"{name}.seconds": listener.measured,
    }


def alone(stage: Stage) -> Mapping[str, Measured]:
    """One topology, with nothing else on the host."""
    measured: dict[str, Measured] = {}
    for feed in stage.size.feeds:
        with race(stage, feed) as racing:
            entrants = [racing.floor, racing.listener]
            others: dict[str, Entrant] = {}
            if feed == FIRST:
                others = {"docker-cli": racing.docker_cli(), "reference": racing.reference()}
            racing.run([*entrants, *others.values()], stage.size.rounds)
            stage.floors += racing.floor.took
            measured |= compared(f"alone.{feed}", racing.listener, racing.floor)
            measured |= {f"alone.{name}": entrant.measured for name, entrant in others.items()}
            if others and not stage.quick:
                measured["alone.reference.timer"] = _on_a_timer(
                    racing, others["reference"]
                ).measured
    measured["alone.floor"] = Measured.of(stage.floors)
    return measured


def _on_a_timer(racing: Race, reference: Entrant) -> Entrant:
    """The reference where nobody calls it: the commit comes at different times of its interval."""
    timed = Entrant(reference.remove, reference.source)
    for wait in WAITS:

        def remove(topologies: Sequence[Topology], wait: float = wait) -> None:
            time.sleep(wait * TIMER)
            reference.remove(topologies)

        timed.remove = remove
        racing.turn(timed)
    return timed


def floor_seconds(stage: Stage) -> float:
    """What the engine itself takes for one topology."""
    if not stage.floors:
        with race(stage, FIRST) as racing:
            racing.run([racing.floor], stage.size.rounds)
            stage.floors += racing.floor.took
    return median(stage.floors)


def crowded(stage: Stage) -> Mapping[str, Measured]:
    """One topology beside many other containers."""
    assert stage.crowd
    with race(stage, FIRST) as racing:
        others = {"docker-cli": racing.docker_cli(), "reference": racing.reference()}
        racing.run([racing.floor, racing.listener, *others.values()], stage.size.rounds)
        return {
            **compared("crowded", racing.listener, racing.floor),
            **{f"crowded.{name}": entrant.measured for name, entrant in others.items()},
            "crowded.floor": racing.floor.measured,
        }


def many(stage: Stage) -> Mapping[str, Measured]:
    """Many topologies deleted in one transaction."""
    with race(stage, FIRST) as racing:
        entrants = [racing.floor, racing.listener]
        racing.run(entrants, stage.size.long_rounds, stage.size.topologies)
        return {
            "many.gone": Measured.of(ratios(racing.listener.took, racing.floor.took)),
            "many.left": racing.listener.most_left,
            "many.seconds": racing.listener.measured,
            "many.floor": racing.floor.measured,
        }


def figures_of(name: str, what: str, *, minutes: bool = False) -> list[Figure]:
    """What is measured of a race, called so."""
    return [
        Figure(f"{name}.gone", f"{what}: commit → all gone", MOST, "× floor", minutes=minutes),
        Figure(f"{name}.gone.p90", f"{what}: its p90", MOST, "× floor's", minutes=minutes),
        Figure(f"{name}.left", f"{what}: resources left", 0, minutes=minutes),
        Figure(f"{name}.seconds", f"{what}: seconds", unit="s", minutes=minutes),
    ]


ALONE = Row(
    "alone",
    [
        *(
            figure
            for feed, kind in FEEDS.items()
            for figure in figures_of(
                f"alone.{feed}", f"one topology, {kind}", minutes=feed != FIRST
            )
        ),
        Figure("alone.floor", "one topology, the floor: seconds", unit="s"),
        Figure("alone.docker-cli", "one topology, Docker CLI: seconds", unit="s"),
        Figure("alone.reference", "one topology, reference at the commit: seconds", unit="s"),
        Figure(
            "alone.reference.timer",
            "one topology, reference every 60 s: seconds",
            unit="s",
            minutes=True,
        ),
    ],
    alone,
)
CROWDED = Row(
    "crowded",
    [
        *figures_of("crowded", "one topology in a crowd"),
        Figure("crowded.floor", "one topology in a crowd, the floor: seconds", unit="s"),
        Figure("crowded.docker-cli", "one topology in a crowd, Docker CLI: seconds", unit="s"),
        Figure("crowded.reference", "one topology in a crowd, reference: seconds", unit="s"),
    ],
    crowded,
)
MANY = Row(
    "many",
    [
        Figure("many.gone", "many topologies at once", MOST_OF_MANY, "× floor", minutes=True),
        Figure("many.left", "many topologies: resources left", 0, minutes=True),
        Figure("many.seconds", "many topologies: seconds", unit="s", minutes=True),
        Figure("many.floor", "many topologies, the floor: seconds", unit="s", minutes=True),
    ],
    many,
)
