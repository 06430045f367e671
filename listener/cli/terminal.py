"""The status, for a person at a terminal (by Rich).

What is shown comes from others, the names of containers among it, so nothing of it is ever taken
for markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from listener.core.report import told as left_over
from listener.engine.about import About
from listener.runtime.state.history import moment

_STYLES = {
    "alive": "green",
    "orphan": "yellow",
    "reaping": "bold yellow",
    "waiting": "cyan",
    "held": "bold red",
    "unknown": "dim",
}
SHOWN_REAPS = 8


def status(told: Mapping[str, Any]) -> RenderableType:
    """The status of a listener, as its socket tells it."""
    parts: list[RenderableType] = [_head(told), *_sides(told)]
    for problem in told["problems"]:
        parts.append(Text(f"problem: {problem}", style="bold red"))
    parts += ["", _topologies(told["topologies"])]
    if prefixes := told["held"]["prefixes"]:
        command = told["held"]["command"]
        parts.append(Text(f"held: {' '.join(prefixes)}; to remove them: {command}", style="red"))
    parts += [Text(f"{left['prefix']}: {left_over(left)}") for left in told["torn_down"]]
    queue, sweep = told["queue"], told["sweeps"]["last"]
    line = f"{queue['depth']} waiting to be looked at"
    if sweep is not None:
        line += (
            f"; the last sweep, {sweep['cause']}, took {sweep['duration_ms']:.0f} ms,"
            f" {_ago(told['time'] - sweep['time'])}"
        )
    parts += ["", Text(line, style="dim")]
    if told["reaps"]:
        parts += ["", _reaps(told["reaps"][:SHOWN_REAPS])]
    return Group(*parts)


def _head(told: Mapping[str, Any]) -> Text:
    text = Text(f"topology-reaper {told['version']} on {told['host']}", style="bold")
    text.append(f"  up {_duration(told['time'] - told['started'])}", style="not bold")
    words = "ready" if told["ready"] else "not ready"
    text.append(f"  {words}", style="green" if told["ready"] else "bold yellow")
    if told["dry_run"]:
        text.append("  dry run: nothing is removed", style="bold cyan")
    return text


def _sides(told: Mapping[str, Any]) -> Iterator[Text]:
    docker = told["docker"]
    context = f" (context {docker['context']})" if docker.get("context") else ""
    docker = {**docker, "name": f"Docker {docker['address']}{context}"}
    for side in (docker, *told["databases"]):
        since = _duration(told["time"] - side["since"])
        notes = [f"up for {since}" if side["up"] else f"DOWN for {since}"]
        if side["proof_age_s"] is not None:
            notes.append(f"heard of {_ago(side['proof_age_s'])}")
        if side.get("engine"):
            notes.append(str(About(**side["engine"])))
        if side.get("feed"):
            notes.append(f"told by {side['feed']}")
        if side.get("unheard"):
            notes.append(f"{side['unheard']} deletions unheard")
        if side["reason"]:
            notes.append(side["reason"])
        yield Text(f"{side['name']}: {', '.join(notes)}", style="" if side["up"] else "bold red")


def _topologies(topologies: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not topologies:
        return Text("no topology has anything on this host")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("topology")
    table.add_column("state")
    table.add_column("containers", justify="right")
    table.add_column("networks", justify="right")
    table.add_column("why")
    for topology in topologies:
        kinds = Counter(resource["kind"] for resource in topology["resources"])
        state = topology["state"]
        table.add_row(
            topology["prefix"],
            Text(state, style=_STYLES.get(state, "")),
            str(kinds["container"]),
            str(kinds["network"]),
            Text(topology["reason"]),
        )
    return table


def _reaps(reaps: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("last reaps")
    table.add_column("topology")
    for heading in ("took", "containers", "networks"):
        table.add_column(heading, justify="right")
    table.add_column("why")
    for reap in reaps:
        table.add_row(
            moment(reap["time"]),
            reap["prefix"],
            f"{reap['duration_ms']:.0f} ms",
            str(reap["containers"]),
            str(reap["networks"]),
            Text("; ".join([reap["evidence"], *reap["errors"]])),
        )
    return table


def _ago(seconds: float) -> str:
    return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
