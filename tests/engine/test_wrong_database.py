"""A backup that is older than some topologies is restored over the database, as operators do it.

With a grace of zero, whatever is not held is gone at once. By what each kind of database is known
again, and what else can happen to a table, is asked of the databases themselves, in
``tests/database`` and ``tests/servers``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
import sqlalchemy as sa
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.engine.conftest import Run, exists, witnessed
from tests.engine.push.conftest import plant, planted, removed
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess, call, eventually
from tests.support.rows import Rows

NEVER = ("--grace", "0", "--sweep-interval", "0.3")
"""Options with which nothing waits for anything."""


class Backup:
    """What an operator saves of a database, and puts back.

    Args:
        url: the administrator's.
        folder: where the backup lies.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = sa.make_url(url)
        self._file = folder / "backup"
        self._kind = self._url.get_backend_name()

    def save(self) -> None:
        """Save everything."""
        match self._kind:
            case "sqlite":
                shutil.copy(self._url.database or "", self._file)
            case "postgresql":
                self._file.write_text(self._call("pg_dump", "--clean", "--if-exists", self._dsn))
            case _:
                self._file.write_text(self._call("mariadb-dump", *self._account))

    def restore(self) -> None:
        """Put it back over what is there."""
        match self._kind:
            case "sqlite":
                database = Path(self._url.database or "")
                for part in database.parent.glob(f"{database.name}-*"):  # of the old one
                    part.unlink()
                shutil.copy(self._file, database)
            case "postgresql":
                self._call("psql", "--quiet", "--set=ON_ERROR_STOP=1", self._dsn, f"-f{self._file}")
            case _:
                self._call("mariadb", *self._account, f"--execute=source {self._file}")

    def _call(self, *command: str) -> str:
        packages = {"pg_dump": "postgresql-client", "psql": "postgresql-client"}
        ensure({command[0]: packages.get(command[0], "mariadb-client")}, "a backup")
        environment = {**os.environ, "MYSQL_PWD": self._url.password or ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def _dsn(self) -> str:
        return self._url.render_as_string(hide_password=False)

    @property
    def _account(self) -> Sequence[str]:
        url = self._url
        return (
            *("--no-defaults", f"--host={url.host}", f"--port={url.port}"),
            *(f"--user={url.username}", url.database or ""),
        )


@pytest.fixture
def url(database_url: str) -> str:
    """Each kind of database in turn."""
    return database_url


def held_for(
    listener: ListenerProcess, topologies: Iterable[str], since: int = 0
) -> dict[str, Any]:
    """Wait until exactly these are held; in the midst of a restore there may be more."""
    expected = {id_[:8] for id_ in topologies}

    def said() -> list[dict[str, Any]]:
        lines = listener.logged("held")[since:]
        return [line for line in lines if set(line["prefix"].split()) == expected]

    eventually(lambda: bool(said()), f"{expected} are held")
    return said()[-1]


@pytest.mark.parametrize(
    ("database_url", "asked"),
    [
        ("sqlite", "directly"),
        ("postgresql", "directly"),
        ("mariadb", "directly"),
        ("mariadb", "by a relay"),
    ],
    indirect=True,
)
def test_what_a_restored_backup_does_not_know_is_held_until_its_token_confirms_it(
    api: docker.APIClient,
    engine: PrivateEngine,
    table: Rows,
    url: str,
    asked: str,
    run: Run,
    tmp_path: Path,
) -> None:
    known = planted(api, table, 2)
    if url.startswith("sqlite"):
        table.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = Backup(url, tmp_path)
    backup.save()
    younger = planted(api, table, 2)
    listener = run(*NEVER, url=asked)
    listener.start()
    table.close()
    backup.restore()

    held = held_for(listener, younger)
    assert held["level"] == "ERROR"
    assert "not the one that was there before" in held["message"]
    assert listener.stop() == 0
    told = len(listener.logged("held"))
    listener.start()
    again = held_for(listener, younger, told)
    assert again["token"] == held["token"], "what is held outlives a restart"
    listener.await_log("listed", count=len(listener.logged("listed")) + 2)
    assert exists(api, *known.values(), *younger.values())
    assert not listener.logged("removed")

    options = ("--docker-host", engine.host, "--database-url", asked)
    released = call("sweep", "--confirm", again["token"], *options)
    assert released.returncode == 0, released.stderr
    removed(api, *younger.values())
    assert exists(api, *known.values())

    with Rows(url) as restored:
        restored.insert(doomed := new_id())
        container = plant(api, doomed)
        eventually(lambda: doomed in witnessed(tmp_path / "state"), "it is witnessed")
        restored.delete(doomed)
        removed(api, container)
    (line,) = listener.await_log("removed")
    assert line["evidence"].startswith("witnessed")
    assert exists(api, *known.values())
