"""contrib/decnet/recipes.md, tried: what is typed, and what the listener then does and says."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
import sqlalchemy as sa
from debian_packages import ensure

from tests.engine.conftest import Run, exists, gone, witnessed
from tests.engine.push.conftest import planted, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows

PAGE = (Path(__file__).parents[2] / "contrib" / "decnet" / "recipes.md").read_text()
STUCK = "3c68d34a-5b0e-4a57-9d0f-6f2f3d1f6c11"
"""The id in the page's SQL."""
ALONE = ("--sweep-interval", "100000", "--grace", "100000")
"""Options with which no sweep and no grace helps."""


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """DECNET's kinds of databases."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def rows(url: str) -> Iterator[Rows]:
    """The table of topologies."""
    with Rows(url) as writer:
        writer.create_table()
        yield writer


def typed(url: str, script: str) -> None:
    """Type it into the database's own shell."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as shell:
            shell.executescript(script)
        return
    ensure({"mariadb": "mariadb-client"}, "a shell of MariaDB")
    server = sa.make_url(url)
    account = (f"--host={server.host}", f"--port={server.port}", f"--user={server.username}")
    subprocess.run(
        ["mariadb", "--no-defaults", *account, server.database or ""],
        env={**os.environ, "MYSQL_PWD": server.password or ""},
        input=script,
        text=True,
        check=True,
    )


def says(listener: ListenerProcess, *messages: str) -> None:
    """Wait until it has said what the page quotes with these words; `…` differs each time."""
    blocks = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    for words in messages:
        (quote,) = [line for line in lines if words in line]
        pattern = re.compile(".+?".join(map(re.escape, quote.split("…"))))

        def said(pattern: re.Pattern[str] = pattern) -> bool:
            return any(pattern.fullmatch(str(line["message"])) for line in [*listener.lines])

        eventually(said, f"it says: {quote}")


def seen(state: Path, ids: Iterable[str]) -> None:
    """Wait until a listener has seen these rows."""
    eventually(lambda: {*ids} <= witnessed(state), "it has seen the rows")


def test_a_teardown_that_is_stuck(
    api: docker.APIClient, rows: Rows, run: Run, url: str, tmp_path: Path
) -> None:
    (script,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    live = new_id()
    rows.insert(live)
    rows.insert(STUCK, status="tearing_down")
    for child in re.findall(r"FROM (\w+) WHERE topology_id", script):
        key = "topology_id VARCHAR(36) REFERENCES topologies (id)"  # as DECNET's: no ON DELETE
        rows.execute(f"CREATE TABLE {child} ({key})")
        rows.execute(f"INSERT INTO {child} VALUES (?)", STUCK)
    orphan, staying = deploy(api, STUCK), deploy(api, live, decky_numbers=(3,))
    listener = run(*ALONE)
    listener.start()
    seen(tmp_path / "state", [STUCK, live])
    if not url.startswith("sqlite"):
        with pytest.raises(sqlite3.IntegrityError):
            rows.delete(STUCK)
    typed(url, script)
    gone(api, orphan)
    staying.assert_intact(api)
    says(listener, "removing topology", "done with topology")
    says(listener, "decnet_t_3c68d34a_decky-001", "decky-001-ssh", "decnet_t_3c68d34a_lan1")
    assert all(f"`{line['evidence']}`" in PAGE for line in listener.logged("removed"))


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_database_that_was_reset(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path
) -> None:
    here = planted(api, rows, 2)
    listener = run(*ALONE)
    listener.start()
    assert listener.await_log("feed")[0]["feed"] == "binlog"
    seen(tmp_path / "state", here)
    rows.execute("TRUNCATE TABLE topologies")
    removed(api, *here.values())

    here = planted(api, rows, 2)
    seen(tmp_path / "state", here)
    rows.execute("DROP TABLE topologies")
    says(listener, "has no table 'topologies'")
    rows.create_table()
    says(listener, "held and not removed")
    assert exists(api, *here.values())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_sqlite_file_that_was_deleted(
    api: docker.APIClient, rows: Rows, run: Run, url: str, tmp_path: Path
) -> None:
    here = planted(api, rows, 2)
    listener = run(*ALONE)
    listener.start()
    seen(tmp_path / "state", here)
    rows.close()
    file = Path(url.removeprefix("sqlite:///"))
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    says(listener, "does not exist")
    with Rows(file) as new:
        new.create_table()
        says(listener, "is not the file that it was")
        listener.stop()
        listener.start()
        says(listener, "held and not removed")
    assert exists(api, *here.values())
