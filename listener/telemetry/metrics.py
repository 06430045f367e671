"""What Prometheus reads: counters and histograms of what happened, gauges of how things stand.

What happened is counted as it is observed. How things stand is taken from the status document when
somebody asks, so that page, command and metrics never disagree. Names follow Prometheus'
conventions, and those of the queue the metrics of Kubernetes' controller-runtime. Times that a
scrape would make stale are exported as moments, not as ages.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from listener.control.observer import Observer, Reconciled, Sweep
from listener.core.outcome import Result, Screening
from listener.core.resources import Kind

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_PREFIX = "topology_reaper"
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REAPS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
CAUSES = ("start-up", "reconnect", "silence", "timer", "asked")
ENDS = ("complete", "unfinished")
STATES = ("alive", "orphan", "reaping", "waiting", "held", "unknown")


class RelayMetrics:
    """The metrics of one relay, in a registry of their own.

    Args:
        status: how things stand, as ``/status.json`` tells it.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._registry.register(_Relaying(status))

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return prometheus.generate_latest(self._registry)


class Metrics(Observer):
    """The metrics of one listener, in a registry of their own.

    Args:
        status: how things stand, as ``/status.json`` tells it.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        self._registry.register(_Standing(status))
        self._sweeps = self._counter("sweeps", "Full sweeps.", cause=CAUSES)
        self._sweep_time = self._histogram(
            "sweep_duration_seconds", "Time of a sweep's listing and question.", _FAST
        )
        self._screenings = self._counter("screenings", "Questions about all topologies at once.")
        self._reaps = self._counter("reaps", "Topologies that were worked on.", result=ENDS)
        self._removals = self._counter(
            "removals", "What became of each resource that was to go.", kind=Kind, result=Result
        )
        self._retries = self._counter("removal_retries", "Attempts at a removal but the first.")
        self._reap_time = self._histogram(
            "reap_duration_seconds", "Time of a whole reap, successful or not.", _REAPS
        )
        self._hint_to_gone = self._histogram(
            "hint_to_gone_seconds", "Time from the first hint until a topology was gone.", _REAPS
        )
        self._commit_to_hint = self._histogram(
            "commit_to_hint_seconds",
            "Time from a commit until its hint, where the database lets it be known (SQLite).",
            _FAST,
        )

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return prometheus.generate_latest(_WithoutCreated(self._registry))

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:  # noqa: ARG002
        """Count it."""
        self._screenings.inc()
        if sweep is not None:
            self._sweeps.labels(sweep.cause).inc()
            self._sweep_time.observe(sweep.seconds)

    def reconciled(self, done: Reconciled) -> None:
        """Count what was removed, and how long it took."""
        outcome = done.outcome
        for removal in outcome.removals:
            self._removals.labels(removal.resource.kind.value, removal.result.value).inc()
            self._retries.inc(removal.attempts - 1)
        if not (outcome.worked or outcome.ended):
            return
        self._reaps.labels("unfinished" if outcome.unfinished else "complete").inc()
        if any(removal.result is Result.REMOVED for removal in outcome.removals):
            self._reap_time.observe(done.seconds)
        if not outcome.unfinished:
            self._hint_to_gone.observe(done.since_noticed)

    def hinted(self, seconds: float) -> None:
        """A commit was heard of so many seconds after it was written."""
        self._commit_to_hint.observe(seconds)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> prometheus.Counter:
        """A counter that is 0 for each value of its labels: so that the first event is a growth."""
        counter = prometheus.Counter(
            f"{_PREFIX}_{name}", text, tuple(labels), registry=self._registry
        )
        for values in product(*labels.values()) if labels else ():
            counter.labels(*values)
        return counter

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> prometheus.Histogram:
        return prometheus.Histogram(
            f"{_PREFIX}_{name}", text, buckets=tuple(buckets), registry=self._registry
        )


class _WithoutCreated(Collector):
    """What a registry holds, less a second series for each that tells since when it has been.

    The library can leave those out as well, but only for a whole process, and we may be guests.
    """

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class _FromStatus(Collector):
    """What is taken from the status document."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that nobody asks for the status before there is any."""
        return ()


class _Standing(_FromStatus):
    """Gauges of a listener."""

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        topologies, queue = status["topologies"], status["queue"]
        yield from _process(status)
        yield _gauge("dry_run", "Whether nothing is removed.", status["dry_run"])
        states = Tally(topology["state"] for topology in topologies)
        yield _gauges(
            "topologies",
            "Topologies on this host. In a dry run orphan is what would be reaped.",
            ("state",),
            {(state,): states[state] for state in STATES},
        )
        resources = Tally(
            (resource["kind"], topology["state"])
            for topology in topologies
            for resource in topology["resources"]
        )
        yield _gauges(
            "resources",
            "Containers and networks of topologies on this host.",
            ("kind", "state"),
            {key: resources[key] for key in product((Kind.CONTAINER, Kind.NETWORK), STATES)},
        )
        yield _gauge("held_topologies", "Held topologies.", len(status["held"]["prefixes"]))
        yield _gauge(
            "torn_down_resources",
            "Containers and networks here of topologies whose row is torn_down.",
            sum(leftover["resources"] for leftover in status["torn_down"]),
        )
        yield _gauge(
            "subnets", "Subnets in use by the networks on this host.", len(status["subnets"])
        )
        yield from _sides(status, {"docker": status["docker"]})
        yield _counters(
            "unheard_deletions",
            "Deletions that a sweep found and push should have told of.",
            ("database",),
            {(d["label"],): d["unheard"] for d in status["databases"]},
        )
        yield _counters(
            "refused_messages",
            "Messages of relays that were none to be believed.",
            ("database",),
            {(d["label"],): d["refused"] for d in status["databases"]},
        )
        yield _gauge("workqueue_depth", "Topologies that wait to be looked at.", queue["depth"])
        yield _gauge(
            "workqueue_oldest_age_seconds",
            "For how long the first of them could have been taken already.",
            queue["oldest_s"],
        )
        yield _gauge(
            "workqueue_longest_running_seconds",
            "How long the longest work has been going on.",
            queue["longest_work_s"],
        )
        yield _counters(
            "workqueue_retries", "Work that was not finished.", (), {(): queue["retries"]}
        )


class _Relaying(_FromStatus):
    """Gauges and counters of a relay."""

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _process(status)
        yield from _sides(status, {side: status[side] for side in ("answers", "announces")})
        yield _gauge("relay_hosts", "Hosts that were heard lately.", status["hosts"])
        yield _gauge("relay_interests", "Prefixes that hosts have named.", status["interests"])
        for name, text in (
            ("asked", "Questions of hosts that were taken."),
            ("gathered", "Questions to the database."),
            ("announced", "Messages about deletions to hosts."),
        ):
            yield _counters(f"relay_{name}", text, (), {(): status[name]})
        refused: _Values = {(reason,): count for reason, count in status["refused"].items()}
        yield _counters("relay_refused", "Messages that were refused.", ("reason",), refused)


def _process(status: Mapping[str, Any]) -> Iterator[Metric]:
    """What there is to say of any process."""
    yield _info("build", "The version.", version=status["version"])
    yield _gauge("ready", "What /readyz says.", status["ready"])
    yield _gauge("healthy", "Whether the health check passes.", not status["problems"])


def _sides(status: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """What there is to say of the databases, and of these others, by their labels."""
    labels = [((str(d["label"]),), d) for d in status["databases"]]
    sides = [*(((label,), side) for label, side in others.items()), *labels]
    yield _gauges("stream_up", "Whether a side is up.", ("side",), {k: s["up"] for k, s in sides})
    yield _moments(
        "last_proof_timestamp_seconds",
        "When a side last proved to be alive.",
        ("side",),
        {k: s["proof_age_s"] for k, s in sides},
        status["time"],
    )
    yield _counters(
        "connections",
        "Connections made to a side.",
        ("side",),
        {k: s["connections"] for k, s in sides},
    )
    yield _moments(
        "database_last_answer_timestamp_seconds",
        "When a database last gave a true answer.",
        ("database",),
        {k: d["answer_age_s"] for k, d in labels},
        status["time"],
    )
    yield _gauges(
        "feed_info",
        "By what deletions are heard of.",
        ("database", "feed"),
        {(d["label"], d["feed"]): 1 for _, d in labels if d["feed"]},
    )


_Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
_Values = Mapping[tuple[str, ...], float]


def _family(
    kind: _Family, name: str, text: str, labels: tuple[str, ...], values: _Values
) -> Metric:
    family = kind(f"{_PREFIX}_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


_gauges = partial(_family, GaugeMetricFamily)
_counters = partial(_family, CounterMetricFamily)


def _gauge(name: str, text: str, value: float) -> Metric:
    return _gauges(name, text, (), {(): value})


def _moments(
    name: str,
    text: str,
    labels: tuple[str, ...],
    ages: Mapping[tuple[str, ...], float | None],
    now: float,
) -> Metric:
    """Moments from ages; what never was is left out."""
    return _gauges(name, text, labels, {k: now - a for k, a in ages.items() if a is not None})


def _info(name: str, text: str, **labels: str) -> Metric:
    return _gauges(f"{name}_info", text, tuple(labels), {tuple(labels.values()): 1})
