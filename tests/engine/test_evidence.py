"""What counts as a deletion: over a restart, with several databases, and by each option."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import ListenerProcess, call
from tests.support.rows import Rows


@pytest.fixture
def doomed(api: docker.APIClient, rows: Rows) -> Topology:
    """A topology with a row; nothing else on the host has one."""
    rows.insert(topology_id := new_id())
    return deploy(api, topology_id)


def look_again(listener: ListenerProcess) -> None:
    """Have it look at everything twice more."""
    for _ in range(2):
        listed = len(listener.logged("listed"))
        listener.signal(signal.SIGUSR1)
        listener.await_log("listed", count=listed + 1)


def test_what_was_seen_outlives_a_kill(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    listener = run("--grace", "100000", "--sweep-interval", "100000")
    listener.start()
    listener.kill()
    rows.delete(doomed.id)
    listener.start()
    gone(api, doomed)
    evidence = {line["evidence"].partition(":")[0] for line in listener.await_log("removed")}
    assert evidence == {"witnessed"}


def test_with_several_databases_a_row_in_any_is_life(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path
) -> None:
    ours, theirs = new_id(), new_id()
    rows.insert(ours)
    with Rows(tmp_path / "second.db") as second:
        second.create_table()
        second.insert(ours, theirs)
        moved, staying = plant(api, ours), plant(api, theirs)
        listener = run("--database-url", f"sqlite:///{tmp_path / 'second.db'}")
        listener.start()
        rows.delete(ours)
        look_again(listener)
        assert exists(api, moved, staying)
        second.delete(ours)
        removed(api, moved)
        assert exists(api, staying)


def test_a_dry_run_says_once_what_it_would_remove(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    listener = run("--dry-run")
    listener.start()
    rows.delete(doomed.id)
    (would,) = listener.await_log("would_remove")
    assert would["prefix"] == doomed.prefix
    assert sorted(would["ids"]) == sorted(doomed.ids)
    look_again(listener)
    assert len(listener.logged("would_remove")) == 1
    doomed.assert_intact(api)


def test_a_delay_puts_a_reap_off(api: docker.APIClient, rows: Rows, run: Run) -> None:
    rows.insert(id_ := new_id())
    container = plant(api, id_)
    listener = run("--delay", "100000")
    listener.start()
    rows.delete(id_)
    look_again(listener)
    assert exists(api, container)
    listener.kill()
    run("--delay", "0.5").start()
    removed(api, container)


def test_with_the_policy_witnessed_what_was_never_seen_stays(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    rows.insert(id_ := new_id())
    seen, stranger = plant(api, id_), plant(api, new_id())
    listener = run("--policy", "witnessed", "--grace", "0")
    listener.start()
    listener.await_log("held")
    rows.delete(id_)
    removed(api, seen)
    assert exists(api, stranger)


def test_everything_is_explained_with_what_would_release_it(
    api: docker.APIClient, engine: PrivateEngine, url: str, doomed: Topology
) -> None:
    where = ("--docker-host", engine.host, "--database-url", url)

    def explain(what: str, *options: str) -> str:
        done = call("explain", what, *options, *where)
        assert done.returncode == 0, done.stderr
        return done.stdout

    orphan = plant(api, new_id())
    service = next(iter(doomed.services))
    alive = explain(service)
    assert "alive: its row exists; it stays" in alive
    assert f"label decnet.topology.id='{doomed.id}': counts" in alive
    gone = explain(orphan, "--grace", "0")
    assert "a sweep would remove it now; no listener answers in " in gone
    doomed.assert_intact(api)
    assert exists(api, orphan)


def test_what_a_running_listener_makes_of_it_is_said_beside_what_a_sweep_would(
    api: docker.APIClient, engine: PrivateEngine, url: str, run: Run, doomed: Topology
) -> None:
    where = ("--grace", "0", "--docker-host", engine.host, "--database-url", url)
    orphan = plant(api, absent := new_id())
    run("--grace", "100000").start()
    for what in (orphan, absent[:8]):
        said = call("explain", what, *where).stdout.splitlines()
        assert said[-1].startswith(f"topology {absent[:8]}: orphan: absent for more than the grace")
        assert "; a sweep would remove it now; the listener waits" in said[-1]
        assert said[-1].endswith(": its row is absent, the grace runs")
    told = json.loads(call("explain", "--json", absent[:8], *where).stdout)
    (topology,) = told["topologies"]
    assert (topology["sweep"]["state"], topology["listener"]["state"]) == ("orphan", "waiting")
    assert [thing["id"] for thing in told["things"]] == [orphan]
    said = call("explain", doomed.prefix, *where).stdout.splitlines()
    assert said[-1].endswith(": alive: its row exists; it stays; the listener keeps it")
    assert said.count(f"  belongs to {doomed.id}") == 2, "once for the bases, once for the services"
    assert exists(api, orphan)


def test_what_is_held_is_explained_with_the_command_that_releases_it(
    api: docker.APIClient, engine: PrivateEngine, url: str, rows: Rows
) -> None:
    rows.insert(new_id())
    held = new_id()
    container = plant(api, held)
    where = ("--docker-host", engine.host, "--database-url", url)
    done = call("explain", held[:8], *where)
    (command,) = set(re.findall(r"until (.*)", done.stdout))
    report = call(*shlex.split(command)[1:], "--json")
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["orphan_prefixes"] == [held[:8]]
    assert not exists(api, container)
