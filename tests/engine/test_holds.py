"""What one listener holds no other one removes, and the command that it logs releases it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from listener import Settings, sweep
from tests.engine.conftest import Run, exists, witnessed
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess, call, eventually
from tests.support.rows import Rows

AT_ONCE = ("--grace", "0")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def paste(command: str, *variables: str) -> str:
    """What a command prints in a shell of root's that has nothing in its environment."""
    shell = ["env", "-i", f"PATH={PATH}", *variables, "sh", "-c", command]
    done = subprocess.run(shell, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def command_in(message: str) -> str:
    """The command that releases what is held, as the log has it."""
    return message.partition("if all of it is to go, run ")[2]


@pytest.fixture
def held(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path
) -> Iterator[tuple[ListenerProcess, str, str]]:
    """A listener, and the id and the container of a topology that it holds for another table."""
    rows.insert(known := new_id(), doomed := new_id())
    neighbour, container = plant(api, known), plant(api, doomed)
    listener = run(*AT_ONCE)
    listener.start()
    eventually(lambda: {known, doomed} <= witnessed(tmp_path / "state"), "both are witnessed")
    listener.signal(signal.SIGSTOP)
    rows.delete(doomed)
    rows.execute("ALTER TABLE topologies ADD COLUMN restored TEXT")
    listener.signal(signal.SIGCONT)
    listener.await_log("held")
    yield listener, doomed, container
    assert exists(api, neighbour)


def test_no_sweep_and_no_other_listener_removes_what_one_holds_until_its_command_is_pasted(
    api: docker.APIClient,
    engine: PrivateEngine,
    url: str,
    run: Run,
    held: tuple[ListenerProcess, str, str],
    tmp_path: Path,
) -> None:
    listener, doomed, container = held
    assert listener.process is not None
    who = f"the listener with pid {listener.process.pid} and the state folder {tmp_path}/state"

    where = ("--docker-host", engine.host, "--database-url", url)
    elsewhere = ("--state-dir", str(tmp_path / "other"))
    swept = call("sweep", "--json", *AT_ONCE, *where, *elsewhere)
    assert swept.returncode == 1
    (entry,) = json.loads(swept.stdout)["held"]
    assert entry["prefix"] == doomed[:8]
    assert entry["reason"].startswith(f"{who} holds it: the table is not")
    assert who in call("explain", container, *AT_ONCE, *where, *elsewhere).stdout

    folder = str(tmp_path / "new")
    library = Settings(docker_host=engine.host, database_url=url, state_dir=folder, grace=0)
    (entry,) = sweep(library).held
    assert entry["reason"].startswith(who)

    second = run(*AT_ONCE, *elsewhere)
    second.start()
    (line,) = second.await_log("held")
    assert who in line["message"]
    assert exists(api, container)

    paste(command_in(listener.logged("held")[-1]["message"]))
    removed(api, container)
    for one in (listener, second):
        (over,) = one.await_log("released")
        assert over["prefix"] == doomed[:8]


def test_a_frozen_listener_delays_nothing_that_was_witnessed(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path
) -> None:
    rows.insert(known := new_id(), doomed := new_id())
    neighbour, container, stranger = (plant(api, id_) for id_ in (known, doomed, new_id()))
    frozen = run("--grace", "100000")
    other = run(*AT_ONCE, "--state-dir", str(tmp_path / "other"))
    frozen.start()
    frozen.signal(signal.SIGSTOP)
    other.start()
    (line,) = other.await_log("peer")
    assert line["level"] == "WARNING"
    rows.delete(doomed)
    removed(api, container)
    assert exists(api, neighbour, stranger)
    frozen.signal(signal.SIGCONT)
    removed(api, stranger)
    other.await_log("peer", count=2)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_the_logged_command_works_in_a_plain_shell_beside_the_unit_of_systemd(
    api: docker.APIClient,
    engine: PrivateEngine,
    table: Rows,
    database_url: str,
    tmp_path: Path,
    run: Run,
) -> None:
    assert table
    if database_url.startswith("sqlite"):
        database = f"REAPER_DATABASE_URL={database_url}"
    else:  # with a password, so it stands in a file
        file = tmp_path / "database-url"
        file.write_text(f"{database_url}\n")
        database = f"REAPER_DATABASE_URL_FILE={file}"
    unit = (
        *("env", "-i", f"PATH={PATH}", f"STATE_DIRECTORY={tmp_path / 'unit'}", database),
        *(f"DOCKER_HOST={engine.host}", "REAPER_LOG_FORMAT=json", "REAPER_HTTP=off"),
        *("sh", "-c", 'exec "$0" run', str(Path(sys.executable).with_name("topology-reaper"))),
    )
    stranger = plant(api, new_id())  # with no row beside it: nothing vouches for this database
    listener = run(within=unit)
    listener.start()
    (line,) = listener.await_log("held")
    paste(command_in(line["message"]))
    removed(api, stranger)
