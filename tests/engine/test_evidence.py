"""What counts as a deletion: over restarts, with several databases, with a delay, in a dry run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, exists, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import call
from tests.support.rows import Rows

FOR_EVER = ("--grace", "100000", "--sweep-interval", "100000")
"""Options with which an absence proves nothing."""


@pytest.fixture
def doomed(api: docker.APIClient, rows: Rows) -> Topology:
    """A topology with a row; nothing else on the host has one."""
    topology_id = new_id()
    rows.insert(topology_id)
    return deploy(api, topology_id)


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Rows]:
    """Another database."""
    with Rows(tmp_path / "second.db") as writer:
        writer.create_table()
        yield writer


def state_of(tmp_path: Path) -> str:
    """Where this test's processes keep what they know."""
    assert os.environ["REAPER_STATE_DIR"] == str(tmp_path / "state")
    return str(tmp_path / "state")


def test_what_was_seen_outlives_a_kill(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    listener = run(*FOR_EVER)
    listener.start()
    listener.kill()
    rows.delete(doomed.id)
    listener.start()
    gone(api, doomed)
    assert {line["evidence"].partition(":")[0] for line in listener.await_log("removed")} == {
        "witnessed"
    }


def test_without_its_state_it_has_seen_nothing(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology, tmp_path: Path
) -> None:
    listener = run(*FOR_EVER)
    listener.start()
    listener.kill()
    rows.delete(doomed.id)
    for ledger in Path(state_of(tmp_path)).glob("ledger-*"):
        ledger.write_text("damaged")
    listener.start()
    (held,) = listener.await_log("held")
    assert held["prefix"] == doomed.prefix
    assert [line["level"] for line in listener.logged("state")] == ["WARNING"]
    doomed.assert_intact(api)


def test_another_file_put_in_place_between_two_runs_is_noticed(
    api: docker.APIClient,
    engine: PrivateEngine,
    database: Path,
    rows: Rows,
    run: Run,
    doomed: Topology,
) -> None:
    listener = run(*FOR_EVER)
    listener.start()
    assert listener.stop() == 0
    rows.close()
    database.rename(database.with_suffix(".old"))
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    with Rows(database) as other:
        other.create_table()
        listener.start()
        (held,) = listener.await_log("held")
        assert "not the one that was there" in held["message"]
        doomed.assert_intact(api)
        where = ("--docker-host", engine.host, "--database-url", f"sqlite:///{database}")
        done = call("sweep", "--json", "--confirm", held["token"], *where)
        assert done.returncode == 0, done.stderr
    gone(api, doomed)


def test_a_second_listener_remembers_nothing_and_says_so(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    first, second = run(), run()
    first.start()
    second.start()
    (warning,) = second.logged("state")
    assert "another listener uses it" in warning["message"]
    assert not first.logged("state")
    rows.delete(doomed.id)
    gone(api, doomed)
    for listener in (first, second):
        assert not listener.logged("failed")
        assert listener.stop() == 0


def test_with_several_databases_a_row_in_any_is_life(
    api: docker.APIClient,
    rows: Rows,
    run: Run,
    doomed: Topology,
    second: Rows,
    tmp_path: Path,
) -> None:
    theirs = new_id()
    second.insert(theirs)
    staying = deploy(api, theirs, decky_numbers=(3, 4))
    listener = run("--database-url", f"sqlite:///{tmp_path / 'second.db'}", "--grace", "1")
    listener.start()
    second.insert(doomed.id)
    rows.delete(doomed.id)
    rows.insert(new_id())
    listener.await_log("ready")
    doomed.assert_intact(api)
    second.delete(doomed.id)
    gone(api, doomed)
    staying.assert_intact(api)


def test_a_dry_run_says_once_what_it_would_remove(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    listener = run("--dry-run", "--sweep-interval", "0.5")
    listener.start()
    rows.delete(doomed.id)
    (would,) = listener.await_log("would_remove")
    assert would["prefix"] == doomed.prefix
    assert sorted(would["ids"]) == sorted(
        [*doomed.bases.values(), *doomed.services.values(), *doomed.networks.values()]
    )
    listener.await_log("listed", count=len(listener.logged("listed")) + 3)
    assert len(listener.logged("would_remove")) == 1
    doomed.assert_intact(api)


def test_a_delay_puts_a_reap_off_and_a_row_that_returns_cancels_it(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    listener = run("--delay", "3", "--sweep-interval", "0.5")
    listener.start()
    rows.delete(doomed.id)
    listener.await_log("listed", count=len(listener.logged("listed")) + 2)
    rows.insert(doomed.id)
    listener.await_log("listed", count=len(listener.logged("listed")) + 8)
    doomed.assert_intact(api)
    rows.delete(doomed.id)
    gone(api, doomed)


def test_what_was_made_from_a_topologys_image_is_never_said_to_be_held(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    rows.insert(new_id())  # somebody's on another host
    labels = {"decnet.topology.id": new_id()}
    evidence = api.create_container("busybox", ["sleep", "1"], labels=labels)["Id"]
    api.commit(evidence, "seized")
    api.remove_container(evidence)
    listener = run(*FOR_EVER)
    listener.start()
    analysis = api.create_container("seized", ["sleep", "1"], name="analysis")["Id"]
    held = deploy(api, new_id())
    (said,) = listener.await_log("held")
    assert said["prefix"] == held.prefix
    assert exists(api, analysis)
    api.remove_container(analysis)
    api.remove_image("seized")


def test_with_the_policy_witnessed_what_was_never_seen_stays(
    api: docker.APIClient, rows: Rows, run: Run, doomed: Topology
) -> None:
    stranger = deploy(api, new_id(), decky_numbers=(3, 4))
    listener = run("--policy", "witnessed", "--grace", "0", "--sweep-interval", "0.5")
    listener.start()
    (held,) = listener.await_log("held")
    assert held["prefix"] == stranger.prefix
    rows.delete(doomed.id)
    gone(api, doomed)
    stranger.assert_intact(api)


def test_everything_is_explained(
    api: docker.APIClient, engine: PrivateEngine, url: str, doomed: Topology
) -> None:
    def explain(what: str) -> str:
        done = call(
            *("explain", what, "--grace", "0"),
            *("--docker-host", engine.host, "--database-url", url),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    orphan = deploy(api, new_id(), decky_numbers=(3, 4))
    foreign = api.create_container("busybox", ["sleep", "9"], name="mine")["Id"]
    service, base = next(iter(doomed.services)), next(iter(doomed.bases))
    for what in (service, base, next(iter(doomed.networks)), doomed.services[service][:12]):
        text = explain(what)
        assert doomed.prefix in text
        assert "alive: its row exists; it stays" in text
    assert f"label decnet.topology.id='{doomed.id}': counts" in explain(service)
    assert "removes it now" in explain(next(iter(orphan.services)))
    assert "belongs to no topology" in explain(foreign)
    text = explain(orphan.prefix)
    for name in (*orphan.bases, *orphan.services, *orphan.networks):
        assert f"{name!r}" in text
    assert f"has no row for {orphan.prefix}" in text
    assert "nothing on this host belongs to 00000000" in explain("00000000")
    for topology in (doomed, orphan):
        topology.assert_intact(api)
    assert exists(api, foreign)


def test_what_is_held_is_explained_with_the_command_that_releases_it(
    api: docker.APIClient, engine: PrivateEngine, url: str, rows: Rows
) -> None:
    rows.insert(new_id())
    held = deploy(api, new_id())
    where = ("--docker-host", engine.host, "--database-url", url)
    done = call("explain", held.prefix, *where)
    (command,) = set(re.findall(r"until (.*)", done.stdout))
    assert command.startswith("topology-reaper sweep --prefix")
    report = call(*command.split()[1:], "--json", *where)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["orphan_prefixes"] == [held.prefix]
    gone(api, held)
