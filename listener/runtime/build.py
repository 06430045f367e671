"""From the settings to Docker and the database; nothing is reached here."""

from __future__ import annotations

import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker.tls
import urllib3
from loguru import logger

from listener.core.evidence import Answer, Evidence, Memory
from listener.core.judge import Ask, Judge, Peers
from listener.core.status import DatabaseSide
from listener.databases.base import Topologies
from listener.databases.fallback import PushOrPoll
from listener.databases.feed import Feed, Interest
from listener.databases.poll import PollFeed
from listener.databases.server import READ_TIMEOUT
from listener.databases.urls import open_topologies
from listener.engine.client import Engine
from listener.engine.own import own_containers
from listener.errors import ConfigurationError, NoAnswer
from listener.runtime.contexts import Place, engine_place
from listener.runtime.health import Link
from listener.runtime.state.directory import StateDirectory
from listener.runtime.state.ledger import Ledger
from listener.settings import Settings


@dataclass(frozen=True)
class Database:
    """One database of topologies: how it is asked, and what is known about it."""

    topologies: Topologies
    memory: Memory | None
    evidence: Evidence
    ledger: Ledger


@dataclass(frozen=True)
class Heard:
    """A table that is asked, and that deletions are heard of from, for as long as we run."""

    topologies: Topologies
    label: str
    feed: Feed
    link: Link

    def asking(self, stop: threading.Event) -> Ask:
        """How to ask it so that its link learns of it; there is no answer once ``stop`` is set."""

        def ask(prefixes: Iterable[str]) -> Answer:
            if stop.is_set():
                raise NoAnswer("this process is stopping")
            began = time.monotonic()
            try:
                answer = self.topologies.ask(prefixes)
            except NoAnswer as error:
                self.link.failed(error, asked_at=began)
                raise
            self.link.answered()
            self.feed.answered(answer.identity)
            return answer

        return ask

    def status(self, *, missed: int) -> DatabaseSide:
        """What there is to know about it, as JSON can hold it.

        Args:
            missed: how many deletions push missed.
        """
        return {
            **self.link.status(),
            "name": self.topologies.name,
            "label": self.label,
            "feed": self.feed.name if self.link.connections else None,
            "answer_age_s": self.link.answer_age,
            "unheard": missed,
            "refused": self.topologies.refused,
        }


@dataclass(frozen=True)
class HeardDatabase(Database, Heard):
    """A database with what is known about it, for a listener."""


def open_state(settings: Settings) -> StateDirectory:
    """The folder for what outlives the process; locked if that can be had, else a warning."""
    state = StateDirectory(settings.state_path)
    if (why := state.lock()) is not None:
        logger.bind(event="state", error=why).warning(
            "--state-dir: {} cannot be used, so nothing outlives this process: {};"
            " give one that uid {} can write to and no other listener has",
            state.path,
            why,
            os.geteuid(),
        )
    return state


def open_tables(
    settings: Settings, *, once: bool = True, traceless: bool = False
) -> list[Topologies]:
    """The tables of topologies, none reached yet.

    Args:
        settings: where they are.
        once: for a command that ends, and gives up a server that is silent for its timeout.
        traceless: make no file beside a SQLite file that is not there, for who only looks.

    Raises:
        ConfigurationError: an option cannot be used.
    """
    opened = []
    patience = max(1, math.ceil(settings.timeout)) if once else READ_TIMEOUT
    for source, url in settings.databases:
        try:
            table = open_topologies(
                url,
                allow_replica=settings.allow_replica,
                traceless=traceless,
                patience=patience,
                nats_credentials=settings.nats_credentials,
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error}") from error
        opened.append(table)
    names = [topologies.name for topologies in opened]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"--database-url: {name} is given more than once")
    return opened


def open_databases(
    settings: Settings, tables: Sequence[Topologies], state: StateDirectory
) -> list[Database]:
    """Databases with what an earlier run knew about them.

    Args:
        settings: what is believed of them.
        tables: as they were opened.
        state: where an earlier run left what it knew.
    """
    names = {table.name for table in tables}
    return [_database(settings, state, table, names) for table in tables]


def hear(
    settings: Settings, databases: Sequence[Database], interest: Interest
) -> list[HeardDatabase]:
    """Databases with how a listener hears of deletions in each; nothing is connected yet.

    Args:
        settings: how they are heard.
        databases: as they were opened.
        interest: the prefixes on this host; of a change that concerns no other nobody is told.
    """
    tables = [database.topologies for database in databases]
    return [
        HeardDatabase(**{**vars(heard), **vars(database)})
        for database, heard in zip(databases, hear_tables(settings, tables, interest), strict=True)
    ]


def hear_tables(
    settings: Settings, tables: Sequence[Topologies], interest: Interest, *, precise: bool = False
) -> list[Heard]:
    """Tables with how deletions are heard of from each; nothing is connected yet.

    Args:
        settings: how they are heard.
        tables: as they were opened.
        interest: the prefixes that matter; of a change that concerns no other nobody is told.
        precise: see :meth:`Topologies.push`.
    """
    return [
        Heard(
            table,
            label,
            _feed(settings, table, interest, precise),
            Link("the database" if len(tables) == 1 else table.name),
        )
        for table, label in zip(tables, _labels(tables), strict=True)
    ]


def _labels(tables: Sequence[Topologies]) -> list[str]:
    """The label of each table; with its place only where two would have the same one."""
    short = [table.label for table in tables]
    labels = [t.label if short.count(t.label) == 1 else f"{t.label}@{t.place}" for t in tables]
    # Prometheus takes UTF-8 alone, and the name of a file may be anything.
    return [label.encode(errors="backslashreplace").decode() for label in labels]


def _database(
    settings: Settings, state: StateDirectory, topologies: Topologies, names: Collection[str]
) -> Database:
    # Under a name that is another database's by now there is that one's ledger.
    former = "" if topologies.former_name in names else topologies.former_name
    ledger = Ledger(state, topologies.name, former)
    memory = ledger.load(topologies.upgraded)
    evidence = Evidence(
        settings.grace,
        witnessed_only=settings.policy == "witnessed",
        memory=memory,
        now=time.monotonic(),
        same=topologies.same_table,
    )
    return Database(topologies, memory, evidence, ledger)


def open_judge(
    settings: Settings,
    databases: Sequence[Database],
    *,
    asks: Sequence[Ask] = (),
    peers: Callable[[], Peers],
    alive: Collection[str] = (),
) -> Judge:
    """The judge of what these databases say, with what earlier runs knew.

    Args:
        settings: for what they say of time.
        databases: as they were opened.
        asks: how to ask each, where that is more than to ask its table.
        peers: what other listeners hold.
        alive: the ids of rows that somebody else has just seen.
    """
    asks = asks or [database.topologies.ask for database in databases]
    return Judge(
        list(zip(asks, (database.evidence for database in databases), strict=True)),
        memories=[database.memory for database in databases],
        delay=settings.delay,
        torn_down_after=settings.reap_torn_down,
        now=time.monotonic(),
        peers=peers,
        alive=alive,
    )


def open_engine(
    settings: Settings, *, once: bool = True, tls: docker.tls.TLSConfig | None = None
) -> Engine:
    """The Docker Engine, not reached yet.

    Args:
        settings: where it is.
        once: for a command that ends: within its timeout it is reached or given up, and as long may
            the first list take, where that is more than usual.
        tls: for TLS, instead of what the settings name.

    Raises:
        ConfigurationError: no one engine is named, or the certificates for TLS cannot be read.
    """
    place = engine_place(settings)
    if tls is None and place.certificates is not None:
        tls = _tls(place, place.certificates)
    patience = max(1.0, settings.timeout) if once else math.inf
    return Engine(
        place.host,
        context=place.context,
        tls=tls,
        keep_volumes=settings.keep_volumes,
        timeout=settings.docker_timeout,
        connect_timeout=min(settings.docker_timeout, patience),
        list_timeout=settings.timeout if once else 0.0,
        own=own_containers(),
    )


def _tls(place: Place, folder: Path) -> docker.tls.TLSConfig:
    try:
        authority, certificate, key = (
            # A context may do without some of them, and has no others.
            str(folder / name) if not place.context or (folder / name).exists() else None
            for name in ("ca.pem", "cert.pem", "key.pem")
        )
        pair = (certificate, key) if certificate and key else None
        context = ssl.create_default_context(cafile=authority)
        if pair is not None:
            context.load_cert_chain(*pair, password=lambda: "")  # never ask at a terminal
    except OSError as error:
        source = "--docker-context" if place.context else "the variable DOCKER_CERT_PATH"
        raise ConfigurationError(
            f"{source}: {folder} has no usable ca.pem, cert.pem and key.pem"
            f" for TLS: {error.strerror or error}"
        ) from error
    if not place.verify:
        logger.bind(event="tls").warning(
            "{}: whoever answers at {} is taken for the engine, unless {} has its certificate"
            " verified",
            "--docker-context" if place.context else "--docker-host",
            place.host,
            "skip-tls-verify=false" if place.context else "DOCKER_TLS_VERIFY=1",
        )
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was said
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=authority, verify=place.verify)


def _feed(settings: Settings, topologies: Topologies, interest: Interest, precise: bool) -> Feed:
    """The feed that the settings ask for; which one it is in the end the database decides."""
    if settings.feed == "poll":
        return PollFeed(settings.poll_interval)
    push = topologies.push(
        look_every=settings.poll_interval,
        check_every=settings.sweep_interval,
        interest=interest,
        precise=precise,
    )
    if not topologies.may_refuse_push:
        return push
    poll = PollFeed(settings.poll_interval, lasting=settings.sweep_interval)
    required = settings.feed == "push"
    return PushOrPoll(push, poll, required=required, same=topologies.same_table)
