"""A real run on a small scale: what the listener does, seen from outside.

Two topologies in DECNET's shape are deployed on the engine at hand, their rows in a database of the
demo's own. A listener that knows only their prefixes is started, another process deletes one row,
and the engine's own events tell what went and when. The other topology is then removed by bare API
calls in the best order with every id known, which gives the engine's floor to compare with.
"""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import docker
import docker.errors

from listener.cli.options import Command, read_settings, with_settings
from listener.core import ownership
from listener.core.numbers import plain
from listener.core.resources import prefix_of
from listener.databases.sqlite import table as sqlite
from listener.engine.events import EVENT_FILTERS, GONE
from listener.errors import EngineError, ReaperError
from listener.runtime.build import open_engine
from listener.runtime.daemon import Listener
from listener.settings import Settings
from listener.telemetry import logs

PATIENCE = 60.0
"""Seconds after which the demo gives up."""

WORKERS = 4

_DELETE = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1])
database.execute("DELETE FROM topologies WHERE id = ?", sys.argv[2:])
database.commit()
print(time.time())
"""


@click.command("demo", cls=Command)
@with_settings("docker_host", "docker_context")
@click.option(
    "--image",
    default="busybox",
    show_default=True,
    help="An image that can sleep; pulled if absent.",
)
def command(config: Path | None, image: str, **options: object) -> None:
    """See it work on two small topologies.

    They are deployed, one row is deleted, and what is removed is shown as it goes. It has a
    database and names of its own: nothing else on the host is touched.

    \b
    Examples:
      topology-reaper demo
      topology-reaper demo --docker-host unix:///run/docker.sock --image busybox
    """  # noqa: D301
    logs.set_up("WARNING", "text")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # and clean up
    run(read_settings(config, options), image, click.echo)


def run(settings: Settings, image: str, say: Callable[[str], None]) -> None:
    """Run the demo; whatever happens, nothing of it is left behind.

    Args:
        settings: where Docker is.
        image: an image with a ``sleep``; pulled if the engine lacks it.
        say: prints one line.

    Raises:
        EngineError: Docker cannot be reached, or cannot run the demo, as Podman, whose events do
            not tell all that goes.
        ReaperError: the listener did not do what it should.
    """
    engine = open_engine(settings)
    say(f"topology-reaper demo on {engine.address}\n")
    with ExitStack() as stack:
        stack.enter_context(_errors())
        _need_image(engine.api, image)
        if engine.is_podman:
            raise EngineError(f"demo: {engine.host} is Podman; give --docker-host a Docker Engine")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="topology-reaper-"))
        database = Path(folder, "decnet.db")
        sqlite.create(database)
        doomed, staying = Topology(), Topology()
        for topology, fate in ((doomed, "its row will be deleted"), (staying, "its row stays")):
            insert_row(database, topology)
            stack.enter_context(_deployed(engine.api, topology, image))
            say(f"deployed topology {topology.prefix}: {topology.counts} ({fate})")
        listener = Listener(
            replace(
                settings,
                database_url=f"sqlite:///{database}",
                database_url_file="",
                state_dir=folder,
                http="off",
                dry_run=False,  # what is set for the host is no reason to show nothing
                delay=0.0,
            ),
            prefixes=[doomed.prefix, staying.prefix],
        )
        with listener:
            if not listener.wait_ready(PATIENCE):
                raise ReaperError("demo: the listener did not become ready")
            say("the listener runs and knows both\n")
            committed = delete_row(database, doomed)
            say(f"another process has deleted the row of {doomed.prefix} and committed\n")
            say("   after  what the engine removed")
            took = tell_removals(engine.api, doomed, committed, say)
        left = present(engine.api, staying)
        say(f"\nstayed: {len(left)} of {len(staying.names)} resources of {staying.prefix}")
        if len(left) != len(staying.names):
            raise ReaperError("demo: a topology whose row exists lost something")
        alone = _remove(engine.api, staying)
        say(f"everything of {doomed.prefix} was gone {took * 1000:.0f} ms after the commit.")
        added = (took / alone - 1) * 100
        say(
            f"The engine alone, told every id beforehand, took {alone * 1000:.0f} ms for the same"
            f" removals; with the listener it was {abs(added):.0f} %"
            f" {'more' if added > 0 else 'less'}."
        )


@dataclass
class Topology:
    """One deployed topology: by name, the ids of what Docker runs for it."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    networks: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Of its id."""
        return prefix_of(self.id)

    @property
    def names(self) -> dict[str, str]:
        """By id: every resource's name."""
        parts = (self.bases, self.services, self.networks)
        return {id_: name for part in parts for name, id_ in part.items()}

    @property
    def counts(self) -> str:
        """How much that is, in words."""
        parts = (self.networks, self.bases, self.services)
        return "{} networks, {} base and {} service containers".format(*map(len, parts))


def insert_row(database: Path, topology: Topology) -> None:
    """Give it a row, which DECNET does before it deploys anything of it."""
    with contextlib.closing(sqlite3.connect(database)) as rows, rows:
        rows.execute("INSERT INTO topologies (id, name) VALUES (?, 'demo')", (topology.id,))


@contextmanager
def _deployed(api: docker.APIClient, topology: Topology, image: str) -> Iterator[None]:
    try:
        deploy(api, topology, image)
        yield
    finally:
        _remove(api, topology)


def deploy(api: docker.APIClient, topology: Topology, image: str) -> None:
    """Deploy a topology as DECNET does: networks, bases and services."""
    lans = [ownership.network_name(topology.prefix, lan) for lan in ("lan1", "lan2")]
    for name in lans:
        topology.networks[name] = api.create_network(name, driver="bridge")["Id"]

    def start(into: dict[str, str], name: str, labels: dict[str, str], network: str) -> str:
        labels[ownership.ID_LABEL] = topology.id
        labels[ownership.PROJECT_LABEL] = ownership.project(topology.prefix)
        host = api.create_host_config(
            network_mode=network, restart_policy={"Name": "unless-stopped"}
        )
        created = api.create_container(
            image, ["sleep", "1000000"], name=name, labels=labels, host_config=host
        )
        into[name] = created["Id"]
        api.start(into[name])
        return into[name]

    # Service containers carry no prefix in their names; a part of it keeps two demos apart.
    for decky in (f"demo-{topology.prefix[:4]}-001", f"demo-{topology.prefix[:4]}-002"):
        name = ownership.network_name(topology.prefix, decky)
        labels = {ownership.DECKY_LABEL: decky, ownership.ROLE_LABEL: "base"}
        base = start(topology.bases, name, labels, lans[0])
        for service in ("ssh", "http"):
            labels = {
                ownership.DECKY_LABEL: decky,
                ownership.SERVICE_LABEL: "true",
                ownership.SERVICE_NAME_LABEL: service,
            }
            start(topology.services, f"{decky}-{service}", labels, f"container:{base}")
    api.connect_container_to_network(next(iter(topology.bases.values())), lans[1])


def delete_row(database: Path, topology: Topology) -> float:
    """Delete its row in another process; returns when, in seconds since the epoch."""
    child = subprocess.run(  # noqa: S603 - our own interpreter, our own words
        [sys.executable, "-c", _DELETE, str(database), topology.id],
        check=True,
        capture_output=True,
    )
    return float(child.stdout)


def tell_removals(
    api: docker.APIClient, topology: Topology, committed: float, say: Callable[[str], None]
) -> float:
    """Say what goes and when, by the engine's events; returns after how many seconds all had."""
    waiting = topology.names
    after = 0.0
    events = api.events(
        since=int(committed) - 1,
        until=int(committed + PATIENCE),
        filters=EVENT_FILTERS,
        decode=True,
    )
    with contextlib.closing(events):
        for event in events:
            name = waiting.get(event["Actor"]["ID"])
            if event["Action"] in GONE and name is not None:
                del waiting[event["Actor"]["ID"]]
                after = event["timeNano"] / 1e9 - committed
                say(f"{after * 1000:5.0f} ms  {event['Type']:9}  {name}")
            if not waiting:
                return after
    raise ReaperError(f"demo: {', '.join(waiting.values())} was not removed in {plain(PATIENCE)} s")


def present(api: docker.APIClient, topology: Topology) -> set[str]:
    """The ids of what is there of it; of its containers, those that run."""
    listed = [*api.containers(), *api.networks()]
    return {found["Id"] for found in listed} & set(topology.names)


def _remove(api: docker.APIClient, topology: Topology) -> float:
    """Remove a topology by bare calls in the best order; returns how many seconds it took."""

    def container(id_: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_container(id_, v=True, force=True)

    def network(id_: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_network(id_)

    started = time.monotonic()
    services = list(topology.services.values())
    with ThreadPoolExecutor(WORKERS) as pool:
        bases = [pool.submit(container, id_) for id_ in topology.bases.values()]
        early = max(0, WORKERS - len(bases))
        jobs = [pool.submit(container, id_) for id_ in services[:early]]
        wait(bases)
        jobs += [pool.submit(network, id_) for id_ in topology.networks.values()]
        jobs += [pool.submit(container, id_) for id_ in services[early:]]
    took = time.monotonic() - started
    for job in (*bases, *jobs):
        job.result()
    return took


def _need_image(api: docker.APIClient, image: str) -> None:
    try:
        api.inspect_image(image)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        try:
            api.pull(image, tag=None if ":" in image else "latest")
        except docker.errors.APIError:
            raise EngineError(
                f"--image: the engine has no image {image!r} and cannot pull it; name one that it"
                " has, with a sleep in it"
            ) from None


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(f"demo: the engine refused: {error.explanation}") from error
