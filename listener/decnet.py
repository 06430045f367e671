"""A sweep behind the button of DECNET's own interface: its function's name, arguments and report.

DECNET's API awaits a function with its repository, and shows the report. This is one with the same
face, and behind it is :func:`listener.sweep`, with all that holds for it but the grace: whoever
presses the button has decided, so two answers a second apart are enough. ``REAPER_…`` variables of
the process count (the state folder, the policy), as do the holds of a listener beside it.

The database is the one that the repository's engine is at, and it is asked through a connection of
our own: what a session of DECNET's shows may be older than what is committed. What
``list_topologies()`` shows is one more witness of life, and never one of death.

The event loop goes on meanwhile, for all that blocks is done in a thread. A thread cannot be
stopped: where the call is cancelled its caller waits no longer, and the sweep goes on to its end,
each removal permitted as ever, in the log and in the history.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.tls
import sqlalchemy as sa

from listener.core.resources import prefix_of
from listener.errors import ConfigurationError, ReaperError, presentable
from listener.runtime.build import open_engine
from listener.runtime.command import sweep_command
from listener.runtime.sweep import sweep
from listener.settings import Settings

ENGINES = ("engine", "_engine")
"""What a repository may call its SQLAlchemy engine."""


@dataclass
class ReapReport:
    """What was found and removed; every list is sorted.

    Attributes:
        live_prefixes: of all rows, whether anything of theirs is on this host or not.
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
        await asyncio.to_thread(_sweep, report, repo, client, ids)
    except ReaperError as error:
        report.errors.append(presentable(error))
    except Exception as error:  # the repository's own, or one of what is no repository
        report.errors.append(presentable(f"the sweep failed: {type(error).__name__}: {error}"))
    report.errors.sort()
    return report


async def _ids(repo: Any) -> frozenset[str]:
    """The ids of the rows that the repository shows."""
    listing = repo.list_topologies
    rows = listing() if inspect.iscoroutinefunction(listing) else await asyncio.to_thread(listing)
    if inspect.isawaitable(rows):
        rows = await rows
    return frozenset(str(row["id"] if isinstance(row, Mapping) else row.id) for row in rows)


def _sweep(
    report: ReapReport,
    repo: Any,
    client: docker.DockerClient | docker.APIClient | None,
    alive: Collection[str],
) -> None:
    """Sweep, and report it."""
    flags: dict[str, object] = {"database_url": (_url(repo),), "grace": 0.0}
    tls = None
    if client is not None:
        api = client if isinstance(client, docker.APIClient) else client.api
        tls = _tls(api)
        flags |= {"docker_host": _host(api), "docker_tls_verify": False, "docker_cert_path": ""}
    variable = os.environ.get("REAPER_CONFIG")
    config = Path(variable) if variable else None
    settings = Settings.from_environment(flags=flags, config=config)
    release = sweep_command(settings, config=config, environment=os.environ)
    engine = open_engine(settings, tls=tls, list_timeout=settings.timeout)
    swept = sweep(settings, engine=engine, alive=alive)
    report.orphan_prefixes = swept.orphan_prefixes
    report.containers_removed = swept.containers_removed
    report.networks_removed = swept.networks_removed
    report.errors += swept.errors
    report.errors += [f"dry run: would remove {what}" for what in swept.would_remove]
    for held in swept.held:
        remedy = f"; to remove it, run {release} --confirm {held['token']}" if held["token"] else ""
        report.errors.append(f"topology {held['prefix']} is held: {held['reason']}{remedy}")


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
