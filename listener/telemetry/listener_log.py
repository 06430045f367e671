"""The log lines of where a listener stands: that it is ready, what it holds, what it missed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from loguru import logger

from listener.control.observer import Observer, Sweep
from listener.core.evidence import State
from listener.core.once import Once
from listener.core.outcome import Screening
from listener.core.unproven import MOST_REMEMBERED


class ListenerLog(Observer):
    """Says where a listener stands, when that changes: that it is ready, what it holds and misses.

    Args:
        sweep_command: how an operator begins a sweep that releases what is held.
    """

    def __init__(self, sweep_command: str = "topology-reaper sweep") -> None:
        self._sweep_command = sweep_command
        self._held: tuple[Mapping[str, str], str] = {}, ""
        self._forgotten, self._unread = Once(), Once()

    def listed(self, cause: str, resources: int) -> None:
        """Say it to whoever debugs."""
        logger.bind(event="listed", cause=cause).debug(
            "listed: {} resources of topologies", resources
        )

    def screened(self, screening: Screening, sweep: Sweep | None) -> None:  # noqa: ARG002
        """Say what has changed since the last time."""
        # The token too: of another table it is another one, though the same topologies are held.
        if (screening.held, screening.token) != self._held:
            before, self._held = self._held[0], (dict(screening.held), screening.token)
            self._say_no_longer_held(before.keys() - screening.held.keys(), screening)
            self._say_held(screening)
        if self._forgotten.is_new(screening.forgotten) and screening.forgotten:
            logger.bind(event="forgotten", count=screening.forgotten).warning(
                "more than {:,} topologies and prefixes had a row within a day; the oldest are"
                " forgotten, and count as never seen ({} so far)",
                MOST_REMEMBERED,
                screening.forgotten,
            )
        if self._unread.is_new(screening.unread) and screening.unread:
            logger.bind(event="unread", error="; ".join(screening.unread)).warning(
                "--reap-torn-down has no effect where the status cannot be read: {}",
                "; ".join(screening.unread),
            )

    def ready(self, screening: Screening) -> None:
        """Say it, and how many topologies of this host are what."""
        longest = max((verdict.wait for verdict in screening.waiting.values()), default=0.0)
        logger.bind(event="ready").info(
            "ready: topologies on this host: {} alive, {} to remove, {} waiting{}, {} held",
            len(screening.live),
            len(screening.orphans),
            len(screening.waiting),
            f" for up to {longest:,.0f} s" if longest else "",
            len(screening.held),
        )

    def missed(self, prefix: str, count: int) -> None:
        """Warn that no feed told."""
        logger.bind(event="unheard", prefix=prefix, count=count).warning(
            "only a sweep found that topology {} is deleted; no feed told of it ({} so far)",
            prefix,
            count,
        )

    def _say_held(self, screening: Screening) -> None:
        if screening.held:  # one line, for one token releases them all
            logger.bind(
                event="held", prefix=" ".join(sorted(screening.held)), token=screening.token
            ).error(
                "held and not removed: {}; if all of it is to go, run {} --confirm {}",
                _by_reason(screening.held),
                self._sweep_command,
                screening.token,
            )

    def _say_no_longer_held(self, prefixes: Collection[str], screening: Screening) -> None:
        reasons = {}
        for prefix in prefixes:
            verdict = screening.weakest(prefix)
            if verdict is None or verdict.state is not State.HELD:  # else a listing will tell
                reasons[prefix] = verdict.evidence if verdict else "nothing of it is left here"
        if reasons:
            logger.bind(event="released", prefix=" ".join(sorted(reasons))).info(
                "no longer held: {}", _by_reason(reasons)
            )


def _by_reason(reasons: Mapping[str, str]) -> str:
    """Prefixes, each with its reason, those with the same reason together."""
    prefixes: dict[str, list[str]] = {}
    for prefix, reason in sorted(reasons.items()):
        prefixes.setdefault(reason, []).append(prefix)

    def clause(those: Sequence[str], reason: str) -> str:
        each = "each " if len(those) > 1 and re.search(r"\bits?\b", reason) else ""
        return f"{', '.join(those)}, {each}because {reason}"

    return "; ".join(clause(those, reason) for reason, those in prefixes.items())
