"""The demo of a fleet, as `make demo-fleet` runs it: a relay and three hosts, seen from outside.

The hosts are private engines, each with a listener whose database is a relay. Between that and them
is a NATS broker, behind it a database in a file. One topology is deployed on two of the hosts,
another one on the third. Another process deletes the row of the first; what went and when is told
by the engines' own events, and who had been told of it by the relay and the listeners.

Whatever happens, nothing of it is left: the engines end with this process, and so do the others,
which the kernel kills if need be.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import docker
from debian_packages import PackageError, ensure, system_environment
from private_engine import IMAGE, EngineError, PrivateEngine

from listener.cli import demo
from listener.databases.sqlite import table as sqlite
from listener.errors import ReaperError
from listener.telemetry.healthcheck import read_status

HOSTS = ("host-1", "host-2", "host-3")
CONCERNED, OTHER = HOSTS[:2], HOSTS[2]
QUIET = 1.0
"""Seconds without a question after which all that is asked at a start has been asked."""


class Background:
    """A program that runs until it is closed.

    Args:
        folder: for its log and its state; called as it is to be called here.
        argv: the whole command line.
    """

    def __init__(self, folder: Path, *argv: str) -> None:
        folder.mkdir()
        self.folder, self._log = folder, folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=system_environment("DOCKER_", "REAPER_", "DECNET_"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def status(self) -> dict[str, Any]:
        """What it tells of itself.

        Raises:
            OSError: it does not yet.
        """
        return read_status(self.folder)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds, whatever OSError it may raise before.

        Raises:
            ReaperError: it never did, or the program has ended; with the end of its log.
        """
        deadline = time.monotonic() + demo.PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        log = self._log.read_text(errors="replace").splitlines()[-5:]
        raise ReaperError("\n".join([f"{self.folder.name} {what}; the end of its log:", *log]))


def run(folder: Path, stack: ExitStack) -> None:
    """Run the demo.

    Args:
        folder: for all files.
        stack: ends what it begins.

    Raises:
        EngineError: a private engine cannot be had.
        PackageError: another program cannot be had.
        ReaperError: what was to be shown did not happen.
    """
    ensure({"nats-server": "nats-server"}, "the demo of a fleet")
    print("a database, a relay, a NATS broker and three hosts, all of them private\n", flush=True)
    engines = _engines(stack)
    apis = {
        name: stack.enter_context(closing(docker.APIClient(engine.host, version="auto")))
        for name, engine in engines.items()
    }
    database = folder / "decnet.db"
    sqlite.create(database)
    doomed, staying = demo.Topology(), demo.Topology()
    demo.insert_row(database, doomed)
    demo.insert_row(database, staying)
    on = {name: demo.Topology(doomed.id if name in CONCERNED else staying.id) for name in HOSTS}
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        list(pool.map(lambda name: demo.deploy(apis[name], on[name], IMAGE), HOSTS))
    for name in HOSTS:
        print(f"{name} has topology {on[name].prefix}: {on[name].counts}")
    relay, listeners = _start(folder, stack, database, engines)
    print(f"the relay knows the {len(HOSTS)} hosts, and their listeners all of that\n")

    committed = demo.delete_row(database, doomed)
    print(f"another process has deleted the row of {doomed.prefix} and committed\n")
    print("          after  what its engine removed", flush=True)

    def tell(name: str) -> float:
        def say(line: str) -> None:  # in one piece, for two threads do
            print(f"{name} {line}\n", end="", flush=True)

        return demo.tell_removals(apis[name], on[name], committed, say)

    with ThreadPoolExecutor(len(CONCERNED)) as pool:
        took = max(pool.map(tell, CONCERNED))
    print(
        f"\n{' and '.join(CONCERNED)} are clean: all was gone {took * 1000:.0f} ms after the commit"
    )
    told = relay.status()
    print(f"the relay has announced it to {told['announced']} of {told['hosts']} hosts")
    before = committed - _asked_at(listeners[OTHER])
    if before >= 0:
        print(f"{OTHER} was not woken: its listener last asked {before:.1f} s before the commit")
    else:
        print(f"{OTHER} was not told, and asked by itself, as every minute while nothing happens")
    left = demo.present(apis[OTHER], on[OTHER])
    print(f"{OTHER} has {len(left)} of {len(on[OTHER].names)} resources of {staying.prefix}")
    if told["announced"] != len(CONCERNED) or len(left) < len(on[OTHER].names):
        raise ReaperError("a host was told of what does not concern it, or lost what is alive")


def _engines(stack: ExitStack) -> dict[str, PrivateEngine]:
    """An engine for each host, all started at once."""
    engines = {name: PrivateEngine() for name in HOSTS}
    for engine in engines.values():
        stack.callback(engine.stop)
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        list(pool.map(PrivateEngine.start, engines.values()))
    return engines


def _start(
    folder: Path, stack: ExitStack, database: Path, engines: dict[str, PrivateEngine]
) -> tuple[Background, dict[str, Background]]:
    """The broker, the relay and a listener for each host, all quiet; returns the latter two."""

    def start(name: str, *argv: str) -> Background:
        return stack.enter_context(closing(Background(folder / name, *argv)))

    def command(name: str, kind: str, *options: str) -> Background:
        common = ("--state-dir", str(folder / name), "--http", "off", "--log-level", "WARNING")
        return start(name, sys.executable, "-m", "listener", kind, *options, *common)

    where = ("--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", str(folder / "broker"))
    broker = start("broker", "nats-server", *where)
    broker.wait(lambda: bool(_ports(broker)), "did not start")
    (nats,) = json.loads(_ports(broker))["nats"]
    relay = command("relay", "relay", "--database-url", f"sqlite:///{database}", "--nats", nats)
    relay.wait(lambda: bool(relay.status()["ready"]), "did not become ready")
    listeners = {
        name: command(
            *(name, "run", "--docker-host", engine.host),
            *("--database-url", f"{nats}/decnet?host={name}"),
        )
        for name, engine in engines.items()
    }
    for listener in listeners.values():
        listener.wait(partial(_is_quiet, listener), "did not become ready")
    relay.wait(lambda: relay.status()["interests"] == len(HOSTS), "did not hear of all hosts")
    return relay, listeners


def _ports(broker: Background) -> str:
    """Where the broker listens, as JSON; empty as long as it does not say."""
    return "".join(file.read_text() for file in broker.folder.glob("*.ports"))


def _is_quiet(listener: Background) -> bool:
    """Whether it knows its topology to be alive, and has asked all that is to be asked for that."""
    told = listener.status()
    (database,) = told["databases"]
    alive = [topology["state"] for topology in told["topologies"]] == ["alive"]
    return bool(alive and database["feed"] and database["answer_age_s"] > QUIET)


def _asked_at(listener: Background) -> float:
    """When it last had an answer, in seconds since the epoch."""
    told = listener.status()
    age: float = told["databases"][0]["answer_age_s"]
    return float(told["time"]) - age


def main() -> int:
    """The command line, which takes no options; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # and clean up
    try:
        with tempfile.TemporaryDirectory(prefix="demo-fleet-") as folder, ExitStack() as stack:
            run(Path(folder), stack)
    except (EngineError, PackageError, ReaperError) as error:
        print(f"demo-fleet: {error}", file=sys.stderr)
        return 3 if isinstance(error, EngineError | PackageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
