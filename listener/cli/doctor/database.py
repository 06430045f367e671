"""One database: whether it can be asked, and how it would tell of deletions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

from listener.core.findings import Finding, failed, fault, ok, warning
from listener.core.numbers import plain
from listener.databases.base import Inspected, Topologies
from listener.errors import NoAnswer, PushUnavailable
from listener.runtime.sweep import reach
from listener.settings import Settings

_ASK_AGAIN = "see that it runs, and that every part of the URL is right"
_GRANT = "see that it is DECNET's database, and that this user may read the table"


def examine(table: Topologies, settings: Settings) -> Iterator[Finding]:
    """Everything about it."""
    yield from table.outside()
    try:
        found, answered = reach(partial(_ask, table, settings), settings.timeout)
    except NoAnswer as error:
        yield failed("database.reachable", error, _ASK_AGAIN)
        return
    yield from found
    if answered:
        yield _feed(table, settings)


def _ask(table: Topologies, settings: Settings) -> tuple[list[Finding], bool]:
    """What the table says, and whether its answer may be trusted.

    Raises:
        NoAnswer: it cannot be reached.
    """
    try:
        inspected = table.inspect()
        identity = ok("database.identity", inspected.identity)
        found = [*_proven(table, inspected), _current(inspected, settings), identity]
        return [*found, *inspected.findings, _status(table, settings)], True
    except NoAnswer as error:
        if error.aspect == "reachable":
            raise
        return list(_proven(table, error)), False


def _proven(table: Topologies, answer: Inspected | NoAnswer) -> Iterator[Finding]:
    """What the answer proves, up to the first that does not hold."""
    for aspect, holds in table.proves.items():
        id_ = f"database.{aspect}"
        if isinstance(answer, NoAnswer) and answer.aspect == aspect:
            yield failed(id_, answer, _GRANT)
            return
        if aspect == "replica" and isinstance(answer, Inspected) and answer.replica:
            message = "it is a replica, which may lag behind, and is believed with --allow-replica"
            yield warning(id_, message, "give the primary's URL")
        else:
            yield ok(id_, f"it {holds}")


def _current(inspected: Inspected, settings: Settings) -> Finding:
    """Whether a row that is not there may be one that has not come yet."""
    id_ = "database.current"
    if settings.allow_replica:
        return ok(id_, "it is believed whether it is current or not, as --allow-replica says")
    if inspected.behind:
        why, _, remedy = inspected.behind.partition("; ")
        consequence = "so only rows that were seen in it count as deleted"
        return warning(id_, f"it {why}, {consequence}", remedy or "give the origin's URL")
    return ok(id_, "it is the origin of its rows")


def _status(table: Topologies, settings: Settings) -> Finding:
    """Whether it shows which topologies are torn down.

    Raises:
        NoAnswer: it has given none this time.
    """
    if said := table.ask(()).no_status:
        why, _, remedy = said.removeprefix(f"{table.name} ").partition("; ")
        why = f"it {why}, so nothing is known of torn_down"
        if settings.reap_torn_down:
            return warning("database.status", why, remedy)
        return ok("database.status", f"{why}; if that is to be known, {remedy}")
    return ok("database.status", "it shows which rows are torn_down")


def _feed(table: Topologies, settings: Settings) -> Finding:
    """How deletions will be heard of: connected once, and ended at once."""
    interval = f"every {plain(settings.poll_interval)} s"
    if settings.feed == "poll":
        return ok("feed.poll", f"it is asked {interval}, as --feed poll says")
    feed = table.push(look_every=settings.poll_interval, check_every=settings.sweep_interval)
    stopped = threading.Event()
    stopped.set()
    try:
        feed.connect()
        feed.follow(lambda deleted=None, *, torn_down=False: None, stopped)  # noqa: ARG005
    except PushUnavailable as error:
        remedy = error.remedy or "give --feed poll if that will do"
        if settings.feed == "push":
            return fault("feed.push", error.problem, remedy)
        return warning("feed.push", f"it would be asked {interval}: {error.problem}", remedy)
    except NoAnswer as error:
        return failed("feed.push", error, _ASK_AGAIN)
    return ok("feed.push", f"it tells of deletions by {feed.name}")
