"""A database of each kind, the tools that its operators have, and what a listener then holds.

Nothing here asks how the listener recognises a database: rows are written by one process, dumps are
made and restored by the command-line tools that come with each database, and what became of it is
read from the engine, from the log and from the one-shot commands.

The grace is zero everywhere, so that whatever is not held would be gone at once.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import docker
import pytest
import sqlalchemy as sa
from debian_packages import ensure
from private_engine import PrivateEngine

import listener
from listener import Report, Settings
from listener.errors import ConfigurationError
from tests.engine.conftest import Run, exists
from tests.engine.push.conftest import plant
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess, call, eventually
from tests.support.rows import Rows

ANOTHER = "the table is not the one that was there before"
"""Why something is held after another table took the place of the one that was known."""
OFTEN = ("--grace", "0", "--sweep-interval", "0.3", "--poll-interval", "0.05")
"""Options of a listener that sweeps all the time and waits for nothing."""

Hosted = dict[str, list[str]]
"""By topology id: the ids of its container and its network."""


class Tools(ABC):
    """What comes with a database: to save what it holds, and to put it back over what is there.

    Args:
        url: the administrator's.
        folder: for the backups.
    """

    programs: ClassVar[Mapping[str, str]]
    """What it takes, and Debian's package of each."""

    def __init__(self, url: str, folder: Path) -> None:
        ensure(self.programs, "a dump and its restoration")
        self._url = sa.make_url(url)
        self._folder = folder

    @abstractmethod
    def backup(self) -> Path:
        """Save everything in the way that is usual."""

    @abstractmethod
    def restore(self, backup: Path) -> None:
        """Put a backup back over what is there, as a whole."""

    @abstractmethod
    def dump(self) -> str:
        """SQL that drops what is there and makes it anew, row by row."""

    @abstractmethod
    def client(self) -> Sequence[str]:
        """The command that executes what it reads."""

    def environment(self) -> dict[str, str]:
        """For the tools."""
        return dict(os.environ)

    def execute(self, sql: str) -> None:
        """Execute statements as an operator does."""
        self.run(self.client(), sql)

    def run(self, command: Sequence[str], text: str = "") -> str:
        """What a tool prints, which has to succeed."""
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=self.environment()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stages(self, dump: str) -> Iterator[tuple[str, str]]:
        """Restore a dump as a slow client does, in four stages.

        Yields:
            The name of the stage that begins (``no table``, ``no row``, ``half``, ``restored``),
            and what is yet to come.
        """
        lines = dump.splitlines(keepends=True)
        made = next(
            n for n, line in enumerate(lines) if re.match(r"CREATE TABLE \S*topologies", line)
        )
        rows = [n for n, line in enumerate(lines) if re.match(r"INSERT INTO \S*topologies", line)]
        ends = {"no table": made, "no row": rows[0], "half": rows[len(rows) // 2]}
        with subprocess.Popen(
            self.client(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=self.environment(),
        ) as client:
            assert client.stdin is not None
            sent = 0
            for stage, end in ends.items():
                client.stdin.writelines(lines[sent:end])
                client.stdin.flush()
                sent = end
                yield stage, "".join(lines[end:])
            client.stdin.writelines(lines[sent:])
        assert client.returncode == 0
        yield "restored", ""


class SqliteTools(Tools):
    """SQLite's own shell."""

    programs: ClassVar[Mapping[str, str]] = {"sqlite3": "sqlite3"}

    @property
    def _file(self) -> str:
        return str(self._url.database)

    def backup(self) -> Path:
        backup = self._folder / "backup.db"
        self.run(["sqlite3", self._file, f".backup '{backup}'"])
        return backup

    def restore(self, backup: Path) -> None:
        self.run(["sqlite3", "-cmd", ".timeout 10000", self._file, f".restore '{backup}'"])

    def dump(self) -> str:
        tables = ("topologies", "attacks")
        drops = "".join(f"DROP TABLE {table};\n" for table in tables)
        selects = [c for t in tables for c in (f".mode insert {t}", f"SELECT * FROM {t};")]
        return drops + self.run(["sqlite3", self._file, ".schema", *selects])

    def client(self) -> Sequence[str]:
        return ("sqlite3", "-bail", "-cmd", ".timeout 10000", self._file)


class PostgresTools(Tools):
    """pg_dump and psql."""

    programs: ClassVar[Mapping[str, str]] = {
        "pg_dump": "postgresql-client",
        "psql": "postgresql-client",
    }

    def backup(self) -> Path:
        backup = self._folder / "backup.sql"
        backup.write_text(self._dump())
        return backup

    def restore(self, backup: Path) -> None:
        self.run([*self.client(), "--file", str(backup)])

    def dump(self) -> str:
        return self._dump("--inserts")

    def client(self) -> Sequence[str]:
        return ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", self._where)

    def _dump(self, *options: str) -> str:
        return self.run(["pg_dump", "--clean", "--if-exists", *options, self._where])

    @property
    def _where(self) -> str:
        return self._url.render_as_string(hide_password=False)


class MariaTools(Tools):
    """mariadb-dump and mariadb."""

    programs: ClassVar[Mapping[str, str]] = {
        "mariadb": "mariadb-client",
        "mariadb-dump": "mariadb-client",
    }

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "MYSQL_PWD": str(self._url.password)}

    def backup(self) -> Path:
        backup = self._folder / "backup.sql"
        backup.write_text(self._dump())
        return backup

    def restore(self, backup: Path) -> None:
        self.execute(backup.read_text())

    def dump(self) -> str:
        return self._dump("--skip-extended-insert", "--skip-add-locks")

    def client(self) -> Sequence[str]:
        return ("mariadb", *self._where)

    def _dump(self, *options: str) -> str:
        return self.run(["mariadb-dump", *self._where[:1], *options, *self._where[1:]])

    @property
    def _where(self) -> Sequence[str]:
        url = self._url
        server = (f"--host={url.host}", f"--port={url.port}", f"--user={url.username}")
        return ("--no-defaults", *server, str(url.database))


TOOLS: Mapping[str, Callable[[str, Path], Tools]] = {
    "sqlite": SqliteTools,
    "postgresql": PostgresTools,
    "mysql": MariaTools,
}
"""By the scheme of a URL."""


@dataclass(frozen=True)
class OneShot:
    """Sweeps and explanations of this engine and a database, as commands and as a library.

    A command takes most of a second until it has begun; what is asked often is asked in here.
    """

    host: str
    url: str
    state_dir: str

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        where = ("--docker-host", self.host, "--database-url", self.url)
        return call(*arguments, *where, "--grace", "0")

    def command(self, *options: str) -> tuple[int, dict[str, Any]]:
        """The exit status and the report of the command ``sweep``."""
        done = self.call("sweep", "--json", *options)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    def sweep(self, *prefixes: str, confirm: str | None = None, dry_run: bool = False) -> Report:
        """Sweep from in here.

        Raises:
            ConfigurationError: it is not the token of what is held.
        """
        settings = Settings(
            docker_host=self.host,
            database_url=(self.url,),
            grace=0.0,
            state_dir=self.state_dir,
            dry_run=dry_run,
        )
        return listener.sweep(settings, prefixes=prefixes or None, confirm=confirm)

    def tokens(self, *prefixes: str) -> dict[str, str]:
        """By prefix, the token under which it is held."""
        report = self.sweep(*prefixes, dry_run=True)
        return {entry["prefix"]: entry["token"] for entry in report.held}

    def refuses(self, token: str, *prefixes: str) -> None:
        """See that a token is worth nothing."""
        with pytest.raises(ConfigurationError, match="does not fit what is held"):
            self.sweep(*prefixes, confirm=token)


@pytest.fixture
def url(database_url: str) -> str:
    """Each kind of database in turn."""
    return database_url


@pytest.fixture
def rows(table: Rows) -> Rows:
    """Its table, able to push, written by another process."""
    return table


@pytest.fixture
def tools(url: str, tmp_path: Path) -> Tools:
    """The tools of its operators."""
    return TOOLS[url.partition(":")[0]](url, tmp_path)


@pytest.fixture
def oneshot(engine: PrivateEngine, url: str, tmp_path: Path) -> OneShot:
    """The one-shot commands, on the same database as the listener."""
    return OneShot(engine.host, url, str(tmp_path / "state"))


@pytest.fixture
def process(run: Run) -> ListenerProcess:
    """A listener that sweeps all the time; not started yet."""
    return run(*OFTEN)


def host(api: docker.APIClient, *topology_ids: str) -> Hosted:
    """A container that never ran and a network of each of these topologies."""
    return {
        id_: [plant(api, id_), str(api.create_network(f"decnet_t_{id_[:8]}_lan")["Id"])]
        for id_ in topology_ids
    }


def hosted(api: docker.APIClient, rows: Rows, count: int) -> Hosted:
    """So many topologies with rows, and what they have on this host."""
    ids = [new_id() for _ in range(count)]
    rows.insert(*ids)
    return host(api, *ids)


def everything(*topologies: Hosted) -> list[str]:
    """The ids of everything that they have."""
    return [id_ for hosted in topologies for ids in hosted.values() for id_ in ids]


def prefixes(topologies: Hosted) -> set[str]:
    """Their prefixes."""
    return {id_[:8] for id_ in topologies}


def lost(api: docker.APIClient, topologies: Hosted) -> list[str]:
    """What they no longer have."""
    there = {entry["Id"] for entry in [*api.containers(all=True), *api.networks()]}
    return [id_ for id_ in everything(topologies) if id_ not in there]


def all_gone(api: docker.APIClient, topologies: Hosted) -> None:
    """Wait until they have nothing any more."""
    expected = sorted(everything(topologies))
    eventually(lambda: sorted(lost(api, topologies)) == expected, "all of it is gone")


def looked(process: ListenerProcess, times: int = 2) -> None:
    """Wait until it has looked at everything so often since now; every other look is asked for."""
    for _ in range(times):
        listed = len(process.logged("listed"))
        process.signal(signal.SIGUSR1)
        process.await_log("listed", count=listed + 2)


def holds(process: ListenerProcess, topologies: Hosted, since: int = 0) -> dict[str, Any]:
    """Wait until it says that it holds exactly these; returns the line.

    Args:
        process: the process.
        topologies: that it has to hold.
        since: how many such lines there were before.
    """
    expected = prefixes(topologies)

    def said() -> list[dict[str, Any]]:
        lines = process.logged("held")[since:]
        return [line for line in lines if set(line["prefix"].split()) == expected]

    eventually(lambda: bool(said()), f"{sorted(expected)} are held")
    return said()[-1]


def released_by_its_token_alone(
    api: docker.APIClient,
    process: ListenerProcess,
    oneshot: OneShot,
    held: Hosted,
    reason: str,
    tmp_path: Path,
) -> None:
    """See that all these are held, that it is told everywhere, and what releases them.

    Args:
        api: the engine.
        process: a listener that holds them.
        oneshot: for the same engine and database.
        held: two topologies or more, everything on this host that is without a row.
        reason: what is said of them.
        tmp_path: for another database.
    """
    line = holds(process, held)
    token = line["token"]
    assert line["level"] == "ERROR"
    assert reason in line["message"]
    assert f"topology-reaper sweep --confirm {token}" in line["message"]
    status, report = oneshot.command()
    assert status == 1
    assert {entry["prefix"] for entry in report["held"]} == prefixes(held)
    assert {(entry["token"], entry["reason"]) for entry in report["held"]} == {(token, reason)}
    one = min(prefixes(held))
    explained = oneshot.call("explain", one)
    assert explained.returncode == 0, explained.stderr
    assert f"held: {reason}" in explained.stdout

    elsewhere = tmp_path / "elsewhere.db"
    with closing(sqlite3.connect(elsewhere)) as connection:
        connection.execute("CREATE TABLE topologies (id TEXT PRIMARY KEY)")
    there = replace(oneshot, url=f"sqlite:///{elsewhere}").tokens(*prefixes(held))
    assert there.keys() == prefixes(held), "the same topologies, of another database"
    for wrong in ("0" * len(token), there[one], oneshot.tokens(one)[one]):
        assert wrong != token
        oneshot.refuses(wrong)
    oneshot.refuses(token, one)
    looked(process)
    assert process.stop() == 0
    told = len(process.logged("held"))
    process.start()
    assert holds(process, held, told)["token"] == token
    looked(process)
    assert not lost(api, held)
    assert not process.logged("removed")

    status, report = oneshot.command("--confirm", token)
    assert status == 0
    assert {name.split("_")[2] for name in report["containers_removed"]} == prefixes(held)
    assert {name.split("_")[2] for name in report["networks_removed"]} == prefixes(held)
    all_gone(api, held)


def goes_on(
    api: docker.APIClient, process: ListenerProcess, rows: Rows, tmp_path: Path, *live: str
) -> None:
    """See that a topology that is deployed, witnessed and deleted now is removed at once.

    Args:
        api: the engine.
        process: the listener.
        rows: of the database as it is now.
        tmp_path: where the listener keeps what it saw.
        live: ids of containers and networks that stay.
    """
    state = tmp_path / "state"
    doomed = hosted(api, rows, 1)
    (id_,) = doomed
    eventually(
        lambda: any(id_ in ledger.read_text() for ledger in state.glob("ledger-*.json")),
        "it is witnessed",
    )
    rows.delete(id_)

    def removed() -> list[dict[str, Any]]:
        return [line for line in process.logged("removed") if line["prefix"] == id_[:8]]

    eventually(lambda: len(removed()) == 2, "what was deleted now is removed")
    assert all(line["evidence"].startswith("witnessed") for line in removed())
    all_gone(api, doomed)
    assert exists(api, *live)
