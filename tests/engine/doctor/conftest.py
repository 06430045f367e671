"""Looking at a set-up that is healthy but for what a test breaks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from private_engine import PrivateEngine

from listener.cli.doctor import Diagnosis, doctor
from listener.core.findings import Finding, Status
from listener.databases.urls import open_topologies
from listener.settings import Settings
from listener.settings.option import flag_of
from tests.servers.conftest import SECRET, Side
from tests.support.process import call
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB

OWNER, GROUP = 27017, 27018
"""The uid and gid that own a SQLite file, and the gid that may use the engine's socket."""
AS_ROOT = {"process.user", "database.rights"}
"""What there is to warn of in a test that is root, and an administrator of the database."""

Look = Callable[..., Diagnosis]


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


@pytest.fixture
def healthy(engine: PrivateEngine, rows: Rows, url: str, tmp_path: Path) -> dict[str, Any]:
    """The settings of a healthy set-up, with a SQLite file that its writer has open."""
    assert rows
    return {
        "docker_host": engine.host,
        "database_url": url,
        "state_dir": str(tmp_path / "state"),
        "timeout": 0,
    }


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder of the owner's, on a path that anybody may walk."""
    folder = Path(tempfile.mkdtemp(prefix="decnet-"))
    os.chown(folder, OWNER, OWNER)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def socket_group(engine: PrivateEngine) -> Iterator[None]:
    """The engine's socket may be used by the group."""
    before = engine.socket.stat()
    os.chown(engine.socket, 0, GROUP)
    engine.socket.chmod(0o660)  # Podman's is its owner's alone
    yield
    os.chown(engine.socket, 0, before.st_gid)
    engine.socket.chmod(before.st_mode)


def make_able(side: Side) -> None:
    """Have a database on a server tell of deletions."""
    if side.on_postgres:
        with closing(open_topologies(side.url)) as topologies:
            topologies.change_triggers("install")


@pytest.fixture
def look(healthy: dict[str, Any]) -> Look:
    """Looks at the healthy set-up, but for what is given."""

    def look(**different: Any) -> Diagnosis:
        found = doctor(Settings(**{**healthy, **different}))
        assert SECRET not in found.to_text() + found.to_json()
        return found

    return look


def diagnose(settings: Mapping[str, Any], *, user: int = 0, group: int = 0) -> Diagnosis:
    """What the command finds, as this user, in a process of its own."""
    arguments = ["doctor", "--json"]
    for name, value in settings.items():
        arguments += [flag_of(name), str(value)]
    done = call(*arguments, user=(user, group or user) if user else None)
    assert done.stderr == "", done.stderr[-900:]
    sections: dict[str, list[Finding]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found = sections.setdefault(check.pop("subject"), [])
        found.append(Finding(**{**check, "status": Status(check["status"])}))
    diagnosis = Diagnosis(list(sections.items()))
    assert done.returncode == diagnosis.exit_status
    return diagnosis


def only(diagnosis: Diagnosis, id_: str, status: Status) -> Finding:
    """The only thing that is not well, and it is so bad."""
    flaws = {f.id: f for f in diagnosis.findings if f.status is not Status.OK}
    for harmless in AS_ROOT - {id_}:
        flaws.pop(harmless, None)
    assert list(flaws) == [id_], flaws
    assert flaws[id_].status is status
    assert flaws[id_].remedy
    return flaws[id_]


def assert_fault(diagnosis: Diagnosis, exit_status: int, id_: str, message: str, do: str) -> None:
    """This is the only thing that is wrong, and it says what and what to do."""
    found = only(diagnosis, id_, Status.FAULT)
    assert message in found.message
    assert do in str(found.remedy)
    assert diagnosis.exit_status == exit_status


def assert_warning(diagnosis: Diagnosis, id_: str, message: str, do: str) -> None:
    """This is the only thing that is not as it should be, and it says what and what to do."""
    found = only(diagnosis, id_, Status.WARNING)
    assert message in found.message
    assert do in str(found.remedy)
    assert diagnosis.exit_status == 0
