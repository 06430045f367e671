"""The status, for a person at a terminal (by Rich).

What is shown comes from others, the names of containers among it, so nothing of it is ever taken
for markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from listener.core.report import told as left_over
from listener.engine.about import About
from listener.runtime.state.history import moment
from listener.telemetry.status import Overall, duration

_STYLES = {
    "alive": "green",
    "orphan": "yellow",
    "reaping": "bold yellow",
    "waiting": "cyan",
    "held": "bold red",
    "unknown": "dim",
}
SHOWN_REAPS = 8


def status(told: Mapping[str, Any], *, fold: bool = False) -> RenderableType:
    """The status of a listener, or of a relay, as its socket tells it.

    Args:
        told: by it.
        fold: the command that releases what is held, which else is one line that can be copied.
    """
    if "relay" in told:
        return _relay(told)
    docker = told["docker"]
    context = f" (context {docker['context']})" if docker.get("context") else ""
    docker = {**docker, "name": f"Docker {docker['address']}{context}"}
    parts: list[RenderableType] = [*_head(told), "", *_sides(told, docker, *told["databases"])]
    for problem in told["problems"]:
        if problem not in told["state_reason"]:
            parts.append(Text(f"problem: {problem}", style="bold red"))
    parts += ["", _topologies(told["topologies"])]
    if prefixes := told["held"]["prefixes"]:
        them = "it" if len(prefixes) == 1 else "them"
        parts += ["", Text(f"held: {' '.join(prefixes)}; to remove {them}:", style="red")]
        command = Text(f"  {told['held']['command']}")
        if not fold:
            command.no_wrap, command.overflow = True, "ignore"
        parts.append(command)
    parts += [Text(f"{left['prefix']}: {left_over(left)}") for left in told["torn_down"]]
    parts += ["", Text(_work(told), style="dim")]
    if told["reaps"]:
        parts += ["", _reaps(told)]
    return Group(*parts)


def _relay(told: Mapping[str, Any]) -> RenderableType:
    refused = ", ".join(f"{reason} {count:,}" for reason, count in told["refused"].items() if count)
    return Group(
        *_head(told),
        Text(f"relay {told['relay']} named {told['name']}, at the NATS broker {told['broker']}"),
        "",
        *_sides(told, *told["databases"], told["answers"], told["announces"]),
        "",
        Text(f"{told['hosts']:,} hosts, interested in {told['interests']:,} prefixes"),
        Text(
            f"{told['asked']:,} questions taken, and the database asked {told['gathered']:,} times;"
            f" {told['announced']:,} announcements; refused: {refused or 'nothing'}"
        ),
    )


def _head(told: Mapping[str, Any]) -> Iterator[Text]:
    state, reason = told["state"], told["state_reason"]
    said = f"{state}: {reason}" if reason else state
    yield Text(said, style="bold green" if state == Overall.READY else "bold red")
    if told.get("dry_run"):
        yield Text("dry run: nothing is removed", style="bold cyan")
    yield Text(
        f"{moment(told['time'])} on {told['host']}, topology-reaper {told['version']},"
        f" running for {duration(told['time'] - told['started'])}"
    )


def _sides(told: Mapping[str, Any], *sides: Mapping[str, Any]) -> Iterator[Text]:
    for side in sides:
        since = duration(told["time"] - side["since"])
        notes = [f"up for {since}" if side["up"] else f"DOWN for {since}"]
        if side["proof_age_s"] is not None:
            notes.append(f"heard of {_ago(side['proof_age_s'])}")
        if side.get("engine"):
            notes.append(str(About(**side["engine"])))
        if side.get("feed"):
            notes.append(f"told by {side['feed']}")
        if side.get("unheard"):
            notes.append(f"{side['unheard']} missed deletions")
        if side["reason"]:
            notes.append(side["reason"])
        yield Text(f"{side['name']}: {', '.join(notes)}", style="" if side["up"] else "bold red")


def _topologies(topologies: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not topologies:
        return Text("no topology has anything on this host")
    table = _table("topology", "state", "resources", "why")
    for topology in topologies:
        state, resources = topology["state"], str(len(topology["resources"]))
        words = state
        if topology["wait_s"] is not None:
            words += f" {duration(topology['wait_s'])}"
        if removing := topology["removing"]:
            resources = f"{removing['left']} of {removing['begun']}"
        style = _STYLES.get(state, "")
        table.add_row(topology["prefix"], Text(words, style), resources, Text(topology["reason"]))
    return table


def _work(told: Mapping[str, Any]) -> str:
    """What it is at, and when it looked at everything last."""
    queue, sweep = told["queue"], told["sweeps"]["last"]
    line = f"{queue['working']} in work, {queue['depth']} in the queue"
    if sweep is not None:
        line += (
            f"; last sweep {_ago(told['time'] - sweep['time'])} ({sweep['cause']}),"
            f" took {sweep['duration_ms']:.0f} ms"
        )
    return line


def _reaps(told: Mapping[str, Any]) -> Table:
    today = moment(told["time"]).split()[0]
    table = _table("last reaps", "topology", "took", "removed", "why")
    for reap in told["reaps"][:SHOWN_REAPS]:
        table.add_row(
            moment(reap["time"]).removeprefix(f"{today} "),
            reap["prefix"],
            f"{reap['duration_ms']:.0f} ms",
            str(reap["containers"] + reap["networks"] + reap["images"]),
            Text("; ".join([reap["evidence"], *reap["errors"]])),
        )
    return table


def _table(*headings: str) -> Table:
    """A table whose last column alone is folded where the screen is narrow."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(
            heading,
            no_wrap=heading != headings[-1],
            justify="right" if heading in ("resources", "took", "removed") else "left",
        )
    return table


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"
