"""A sweep behind the button of DECNET's own interface: its function's name, arguments and report.

DECNET's API awaits a function with its repository, and shows the report. This is one with the same
face, and behind it is :func:`listener.sweep`, with all that holds for it but the grace: whoever
presses the button has decided, so two answers a second apart are enough. ``REAPER_…`` variables of
the process count (the state folder, the policy), as do the holds of a listener beside it.

The databases are the one that the URL of the repository's engine names, and those that the operator
has named, as for a command. They are asked through connections of our own: what a session of
DECNET's shows may be older than what is committed. What ``list_topologies()`` shows is one more
witness of life, and never one of death. Where it shows a row that the first database does not have,
a second later as well, the repository is at another one, and nothing is removed.

The event loop goes on meanwhile, for all that blocks is done in a thread of our own, and none of
the loop's is taken. There is one sweep at a time: a call for the same database and engine joins it,
any other waits. A thread cannot be stopped: where the call is cancelled its caller waits no longer,
and the sweep goes on to its end, each removal permitted as ever, in the log and in the history,
unless the process ends before.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.tls
import sqlalchemy as sa

from listener.core.evidence import LOOKS_APART
from listener.core.ownership import PREFIX
from listener.core.report import waits, would
from listener.core.resources import prefix_of
from listener.databases.urls import open_topologies
from listener.errors import ConfigurationError, ReaperError, presentable
from listener.runtime.build import open_engine, open_tables
from listener.runtime.command import sweep_command
from listener.runtime.sweep import reach, sweep
from listener.settings import Settings

_under_way: dict[Hashable, Future[Any]] = {}
"""The work in our threads that can be joined, by what it is about."""
_joining, _sweeping = threading.Lock(), threading.Lock()
Value = TypeVar("Value")

ENGINES = ("engine", "_engine")
"""What a repository may call its SQLAlchemy engine."""


@dataclass
class ReapReport:
    """What was found and removed; every list is sorted.

    Attributes:
        live_prefixes: of all rows that the repository shows, whether anything of theirs is on this
            host or not, and of those with something here in any database.
        orphan_prefixes: prefixes on this host with something to remove.
        containers_removed: names of the containers that were removed.
        networks_removed: names of the networks that were removed.
        errors: what is held or waits, what could not be removed and what else went wrong, one
            sentence each.
    """

    live_prefixes: list[str] = field(default_factory=list)
    orphan_prefixes: list[str] = field(default_factory=list)
    containers_removed: list[str] = field(default_factory=list)
    networks_removed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[str]]:
        """The same, as JSON can hold it."""
        return dataclasses.asdict(self)


async def reap_orphan_topology_resources(
    repo: Any, client: docker.DockerClient | docker.APIClient | None = None
) -> ReapReport:
    """Remove what is left on this host of topologies whose rows are gone.

    Nothing is raised but what cancels the call: a failure is in the report.

    Args:
        repo: DECNET's repository. It has ``list_topologies()``, whose rows have an ``id`` as an
            attribute or a key, and an SQLAlchemy engine of either kind, or ``db_path``.
        client: whose address and TLS are taken over; None: the engine is found as by a command
            without options.
    """
    report = ReapReport()
    try:
        ids = await _ids(repo)
        report.live_prefixes = sorted({prefix_of(id_) for id_ in ids})
        url = _url(repo)
        api: Any = getattr(client, "api", client)
        key = url, api and _host(api)
        try:
            swept = await _in_thread(key, partial(_sweep, url, api, ids, None))
        except _Missing as missing:
            await asyncio.sleep(LOOKS_APART)
            ids, (missed,) = await _ids(repo), missing.args
            swept = await _in_thread((*key, missed), partial(_sweep, url, api, ids, missed))
        # The repository may show its rows by the page; and others may have joined this sweep.
        live = sorted({*report.live_prefixes, *swept.live_prefixes})
        report = dataclasses.replace(copy.deepcopy(swept), live_prefixes=live)
    except ReaperError as error:
        report.errors.append(presentable(error))
    except Exception as error:  # the repository's own, or one of what is no repository
        report.errors.append(presentable(f"the sweep failed: {type(error).__name__}: {error}"))
    report.errors.sort()
    return report


async def _ids(repo: Any) -> frozenset[str]:
    """The ids of the rows that the repository shows."""
    listing = repo.list_topologies
    if inspect.iscoroutinefunction(listing):
        rows = await listing()
    else:
        rows = await _in_thread(object(), listing)
    if inspect.isawaitable(rows):
        rows = await rows
    ids = (row["id"] if isinstance(row, Mapping) else row.id for row in rows)
    return frozenset(str(id_).strip().lower() for id_ in ids)


class _Missing(Exception):
    """The repository shows rows that its database does not have; their ids."""


async def _in_thread(key: Hashable, work: Callable[[], Value]) -> Value:
    """What comes of some work in a thread of its own, which no process waits for to end.

    Args:
        key: what is under way by the same key is joined, and nothing begun.
        work: it goes on when nobody waits for it any more.
    """
    with _joining:
        future: Future[Value] | None = _under_way.get(key)
        if future is None:
            future = Future()
            future.set_running_or_notify_cancel()  # so that no caller's end cancels it
            threading.Thread(
                target=_work, args=(key, future, work), name="reap", daemon=True
            ).start()
            _under_way[key] = future
    return await asyncio.wrap_future(future)


def _work(key: Hashable, future: Future[Value], work: Callable[[], Value]) -> None:
    error: BaseException | None = None
    try:
        result = work()
    except BaseException as raised:  # whoever waits for it gets it
        error = raised
    with _joining:
        del _under_way[key]
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _sweep(
    url: str,
    client: docker.APIClient | None,
    ids: frozenset[str],
    missed: frozenset[str] | None,
) -> ReapReport:
    """Sweep, one at a time.

    Args:
        url: of the repository's database.
        client: whose address and TLS are taken over.
        ids: of the rows that the repository shows.
        missed: those of them that its database did not have a second ago; None at the first look.

    Raises:
        _Missing: the database does not have some, which may have been deleted just now.
        ReaperError: or does not have them yet; or anything else went wrong.
    """
    flags: dict[str, object] = {"grace": 0.0}
    tls = None
    if client is not None:
        tls = _tls(client)
        flags |= {"docker_host": _host(client), "docker_tls_verify": False, "docker_cert_path": ""}
    variable = os.environ.get("REAPER_CONFIG")
    config = Path(variable) if variable else None
    settings = _of_all_databases(url, Settings.from_environment(flags=flags, config=config))
    with _sweeping:
        missing = _missing(settings, ids)
        if missed is None and missing:
            raise _Missing(missing)
        if missed is not None and (missing := missing & missed):
            raise ConfigurationError(
                f"the repository shows {len(missing)} topologies, such as {min(missing)}, that the"
                " database of its engine's URL, or db_path, does not have, so nobody knows where"
                " its database is, and nothing is removed; pass DECNET's own repository"
            )
        release = sweep_command(settings, config=config, environment=os.environ)
        engine = open_engine(settings, tls=tls)
        swept = sweep(settings, engine=engine, alive=ids)
    errors = swept.errors + [f"dry run: would remove {would(e)}" for e in swept.would_remove]
    errors += [f"topology {w['prefix']} waits: {waits(w)}" for w in swept.waiting]
    for held in swept.held:
        remedy = f"; to remove it, run {release} --confirm {held['token']}" if held["token"] else ""
        errors.append(f"topology {held['prefix']} is held: {held['reason']}{remedy}")
    return ReapReport(
        swept.live_prefixes,
        swept.orphan_prefixes,
        swept.containers_removed,
        swept.networks_removed,
        errors,
    )


def _of_all_databases(url: str, settings: Settings) -> Settings:
    """With the repository's database first, and after it those that the operator has named.

    Raises:
        ConfigurationError: one of them cannot be used.
    """
    given = [("the repository", url)]
    if settings.database_url or settings.database_url_file or settings.decnet_url:
        given += settings.databases
    urls: dict[str, str] = {}
    for source, each in given:
        try:
            with closing(open_topologies(each)) as table:
                urls.setdefault(table.name, each)
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error}") from error
    return dataclasses.replace(settings, database_url=tuple(urls.values()), database_url_file="")


def _missing(settings: Settings, ids: frozenset[str]) -> frozenset[str]:
    """Those of these rows that the repository's database does not have.

    Raises:
        NoAnswer: there was none within the timeout.
    """
    prefixes = {prefix for id_ in ids if PREFIX.fullmatch(prefix := prefix_of(id_))}
    (table,) = open_tables(dataclasses.replace(settings, database_url=settings.database_url[:1]))
    with closing(table):
        answer = reach(partial(table.ask, prefixes), settings.timeout)
    return frozenset(id_ for id_ in ids - answer.ids if prefix_of(id_) in prefixes)


def _url(repo: Any) -> str:
    """The URL of the repository's database, with its password.

    Raises:
        ConfigurationError: it does not say.
    """
    for name in ENGINES:
        if (engine := getattr(repo, name, None)) is not None:
            return sa.make_url(engine.url).render_as_string(hide_password=False)
    if path := getattr(repo, "db_path", None):
        return sa.URL.create("sqlite", database=str(path)).render_as_string()
    raise ConfigurationError(
        "the repository has neither an SQLAlchemy engine nor db_path, so where its database is"
        " nobody knows; pass DECNET's own"
    )


def _host(api: docker.APIClient) -> str:
    """Where a client's engine is, as Docker's tools write it.

    Raises:
        ConfigurationError: it is reached by SSH.
    """
    if api.base_url == "http+docker://ssh":
        raise ConfigurationError(
            "the client reaches its engine by SSH, which is not spoken here; forward the engine's"
            " socket with ssh -L, and pass a client of that"
        )
    if api.base_url.startswith("http+docker://"):  # the SDK keeps the socket in its adapter
        adapter: Any = api.get_adapter(api.base_url)
        return f"unix://{adapter.socket_path}"
    return f"tcp://{api.base_url.partition('://')[2]}"


def _tls(api: docker.APIClient) -> docker.tls.TLSConfig | None:
    """The client's certificates; None if it does not speak TLS."""
    if not api.base_url.startswith("https://"):
        return None
    certificate: Any = api.cert
    authority = api.verify if isinstance(api.verify, str) else None
    return docker.tls.TLSConfig(certificate, authority, verify=bool(api.verify))
