"""What doctor says of DECNET's own configuration and files, beside the databases that are given."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from listener.cli.doctor import doctor
from listener.cli.doctor.decnet import examine
from listener.core.findings import Finding, Status
from listener.settings import Settings, decnet
from tests.support.decnet import new_id
from tests.support.rows import Rows

Look = Callable[..., list[Finding]]
MYSQL = 'DECNET_DB_TYPE=mysql  # ours\nexport DECNET_DB_HOST="db.example"\nDECNET_DB_NAME=\n'
PASSWORD = "DECNET_DB_PASSWORD=s3cret\nDECNET_JWT_SECRET=s3cret\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `decnet init` installs to; no other place is looked at."""
    monkeypatch.setattr(decnet, "HOME", tmp_path / "opt")
    monkeypatch.setattr(decnet, "INI", tmp_path / "decnet.ini")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "usr"))
    monkeypatch.setenv("PATH", "/nowhere")
    decnet.HOME.mkdir()
    return decnet.HOME


@pytest.fixture
def second(home: Path) -> Iterator[Rows]:
    """Another database of DECNET's, at its usual place, with its writer."""
    with Rows(home / "decnet.db") as rows:
        rows.create_table()
        yield rows


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Looks, with a database of one's own, which is not reached, or with what is given."""

    def look(**different: Any) -> list[Finding]:
        found = list(
            examine(Settings(**{"database_url": f"sqlite:///{tmp_path}/ours", **different}))
        )
        assert "s3cret" not in str(found)
        return found

    return look


def well(found: list[Finding]) -> list[str]:
    """The ids, where all is well."""
    assert not [f for f in found if f.status is not Status.OK]
    return [f.id for f in found]


def assert_warning(found: list[Finding], id_: str, message: str, remedy: str) -> None:
    """This alone is not as it should be, and it says what and what to do."""
    (flaw,) = [f for f in found if f.status is not Status.OK]
    assert (flaw.id, flaw.status) == (id_, Status.WARNING)
    assert message in flaw.message
    assert remedy in str(flaw.remedy)


def test_a_second_file_with_topologies_is_told_of_and_left_as_it_is(
    look: Look, home: Path, second: Rows
) -> None:
    def times() -> dict[Path, int]:
        of_memory = home / "decnet.db-shm"  # which a reader's lock changes
        return {p: p.stat().st_mtime_ns for p in (home, *home.iterdir()) if p != of_memory}

    assert well(look()) == ["decnet.files"], "it is empty"
    second.insert(new_id(), new_id())
    for _in_use in (True, False):
        before = times()
        message = f"{home}/decnet.db is not given and holds 2 topologies"
        assert_warning(look(), "decnet.files", message, "--policy witnessed")
        assert times() == before
        second.close()
    assert well(look(database_url=f"sqlite:///{home}/decnet.db")) == ["decnet.files"]
    (home / "decnet.db").rename(home / "moved.db")
    (home / "decnet.db").symlink_to("moved.db")
    assert well(look(database_url=f"sqlite:///{home}/moved.db")) == ["decnet.files"]


def test_a_second_file_that_cannot_be_looked_at(look: Look, home: Path) -> None:
    (home / "decnet.db").mkdir()
    assert_warning(look(), "decnet.files", "decnet.db is a folder, and it is not", "--policy witn")
    (home / "decnet.db").rmdir()
    with closing(sqlite3.connect(home / "decnet.db")) as other:
        other.execute("CREATE TABLE logs (id)")
    assert well(look()) == ["decnet.files"]


def test_what_this_user_may_not_look_at_is_not_taken_for_well(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder of mode 0700; who runs the tests may look everywhere."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        found = look()
    assert_warning(found, "decnet.files", "with topologies, this user may not see", "as root")


def test_a_password_that_spoils_its_url_is_not_shown(look: Look, home: Path) -> None:
    for login in ("decnet:hun@ters3cret", "dec/net:s3cret"):
        told = f"DECNET_DB_TYPE=mysql\nDECNET_DB_URL=mysql+asyncmy://{login}@db.example/decnet\n"
        (home / ".env.local").write_text(told)
        assert_warning(look(), "decnet.config", "set to a DECNET_DB_URL that is none", "mend it")


def test_beside_the_package_as_well(look: Look, tmp_path: Path) -> None:
    packages = tmp_path / "usr/lib/python3.11/site-packages"
    (packages / "decnet").mkdir(parents=True)
    with Rows(packages / "decnet.db") as rows:
        rows.create_table()
        rows.insert(new_id())
    assert_warning(look(), "decnet.files", f"{packages}/decnet.db is not given", "--policy witn")


def test_a_variable_that_nothing_reads(look: Look, home: Path) -> None:
    (home / ".env.local").write_text(f"{PASSWORD}DECNET_DB_BACKEND=mysql\n")
    remedy = "set DECNET_DB_TYPE"
    message = f"DECNET_DB_BACKEND is set in {home}/.env.local, and nothing"
    assert_warning(look(), "decnet.backend", message, remedy)
    (home / ".env.local").write_text("# DECNET_DB_BACKEND=mysql\n")
    assert well(look()) == ["decnet.files"]
    variables = (("DECNET_DB_BACKEND", "mysql"),)
    found = look(decnet_variables=variables)
    assert_warning(found, "decnet.backend", "is set in the environment, and", remedy)


def test_a_database_that_is_not_the_one_that_decnet_is_set_to(look: Look, home: Path) -> None:
    remedy = "give its URL, unless it is one of these"
    (home / ".env.local").write_text(MYSQL + PASSWORD)
    message = f"the DECNET in {home} is set to db.example:3306/decnet, which is not given"
    assert_warning(look(), "decnet.config", message, remedy)
    (home / ".env.local").write_text(PASSWORD)
    decnet.INI.write_text("[database]\ntype = mysql\nport = 3307\n")
    assert_warning(look(), "decnet.config", "is set to localhost:3307/decnet, which is not", remedy)
    (home / ".env.local").write_text("DECNET_DB_URL=mysql+asyncmy://u:s3cret@h:1/d\n")
    assert_warning(look(), "decnet.config", "is set to h:1/d, which is not", remedy)
    (home / ".env.local").write_text("DECNET_DB_URL=s3cret\n")
    assert_warning(look(), "decnet.config", "a DECNET_DB_URL that is none", "mend it")
    (home / ".env.local").write_text("DECNET_DB_TYPE=sqlite\n")
    assert well(look()) == ["decnet.files"]


def test_a_server_that_is_given_by_another_of_its_names(look: Look, home: Path) -> None:
    decnet.INI.write_text("[database]\ntype = mysql\n")
    url = "mysql://reaper@127.0.0.1:3306/decnet"
    assert well(look(database_url=url)) == ["decnet.config", "decnet.files"]
    (home / ".env").write_text("DECNET_DB_TYPE=sqlite\n")
    assert well(look(database_url=url)) == ["decnet.files"]
    with Rows(home / "decnet.db") as rows:
        rows.create_table()
    message = f"the DECNET in {home} is set to SQLite, and no SQLite file is given"
    assert_warning(look(database_url=url), "decnet.config", message, f"give its file {home}/decn")


def test_a_configuration_that_cannot_be_read(look: Look, tmp_path: Path) -> None:
    said = "none.ini cannot be read: No such file"
    found = look(decnet_config=str(tmp_path / "none.ini"))
    assert_warning(found, "decnet.config", said, "give DECNET's ini file")


def test_it_is_among_what_doctor_says(look: Look, tmp_path: Path) -> None:
    database = tmp_path / "ours"
    elsewhere = {"docker_context": "none", "docker_config": str(tmp_path)}  # nothing is reached
    found = doctor(Settings(database_url=f"sqlite:///{database}", timeout=0, **elsewhere))  # type: ignore[arg-type]
    assert dict(found.sections)["DECNET"] == look()
