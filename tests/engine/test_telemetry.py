"""What an operator can see of a real listener and of a real sweep."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import docker
import pytest
from private_engine import PrivateEngine

from listener.telemetry.healthcheck import read_status
from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import (
    PATIENCE,
    call,
    command,
    environment,
    eventually,
    full_pipe,
)
from tests.support.rows import Rows
from tests.support.schema import check


def status() -> dict[str, Any]:
    """What the listener with this test's state directory tells."""
    done = call("status", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    check("status", told)
    return told


def history() -> list[dict[str, Any]]:
    """What was removed."""
    return [json.loads(line) for line in call("history", "--json").stdout.splitlines()]


def test_a_topology_is_seen_alive_and_then_in_the_history(
    run: Run, api: docker.APIClient, rows: Rows, tmp_path: Path
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    topology, other = deploy(api, doomed), plant(api, live)
    listener = run()
    listener.start()
    listener.await_log("feed")
    told = status()
    assert {t["prefix"]: t["state"] for t in told["topologies"]} == {
        topology.prefix: "alive",
        live[:8]: "alive",
    }
    (shown,) = (t for t in told["topologies"] if t["prefix"] == topology.prefix)
    assert {resource["name"] for resource in shown["resources"]} == set(topology.named)
    assert shown["ids"] == [doomed]
    subnets = {s["network"] for s in told["subnets"] if s["prefix"] == topology.prefix}
    assert subnets == set(topology.networks)
    assert told["docker"]["up"]
    assert [database["feed"] for database in told["databases"]] == ["wal"]
    assert told["sweeps"]["last"]["cause"] == "start-up"

    rows.delete(doomed)
    gone(api, topology)
    listener.await_log("removed", count=8)
    eventually(lambda: len(read_status(tmp_path / "state")["reaps"]) == 1, "the reap is told")
    told = read_status(tmp_path / "state")
    assert [t["prefix"] for t in told["topologies"]] == [live[:8]]
    (reap,) = told["reaps"]
    assert (reap["containers"], reap["networks"], reap["errors"]) == (6, 2, [])
    assert {"duration_ms", "hint_to_gone_ms"} <= reap.keys()
    assert all(s["prefix"] != topology.prefix for s in told["subnets"])
    assert exists(api, other)
    removed = history()
    assert {entry["name"] for entry in removed} == set(topology.named)
    assert {entry["prefix"] for entry in removed} == {topology.prefix}
    assert all("witnessed" in entry["evidence"] for entry in removed)


def test_addresses_in_use_follow_the_events(
    run: Run, api: docker.APIClient, rows: Rows, tmp_path: Path
) -> None:
    run("--sweep-interval", "100000").start()
    id_ = new_id()
    rows.insert(id_)
    topology = deploy(api, id_)
    foreign = api.create_network("monitoring")["Id"]
    (used,) = api.inspect_network(foreign)["IPAM"]["Config"]

    def told() -> dict[str, str | None]:
        """Of each network that was made here the prefix, or of a foreign one the subnet."""
        state = read_status(tmp_path / "state")
        assert state["sweeps"]["count"] == 1, "nothing was listed anew"
        known = {s["network"]: s["prefix"] or s["subnet"] for s in state["subnets"]}
        return {name: said for name, said in known.items() if name != "bridge"}

    ours = dict.fromkeys(topology.networks, topology.prefix)
    eventually(lambda: told() == {**ours, "monitoring": used["Subnet"]}, "all are told")
    rows.delete(id_)
    gone(api, topology)
    eventually(lambda: told() == {"monitoring": used["Subnet"]}, "what goes is not")
    api.remove_network(foreign)
    eventually(lambda: told() == {}, "nor what others remove")


def test_what_a_sweep_removes_beside_a_listener_is_in_the_same_history(
    run: Run, api: docker.APIClient, rows: Rows, engine: PrivateEngine, url: str
) -> None:
    rows.insert(live := new_id())
    plant(api, live)
    orphan = plant(api, new_id())
    run("--grace", "1000").start()
    done = call("sweep", "--docker-host", engine.host, "--database-url", url, "--grace", "0")
    assert done.returncode == 0, done.stderr
    assert {entry["id"] for entry in history()} == {orphan}


def test_an_idle_listener_says_nothing_through_many_sweeps(
    run: Run, api: docker.APIClient, rows: Rows, tmp_path: Path
) -> None:
    rows.insert(live := new_id())
    plant(api, live)
    plant(api, new_id())  # of which nothing is known: it waits for the grace
    listener = run("--sweep-interval", "0.05", "--grace", "1000", "--log-level", "INFO")
    listener.start()
    for event in ("feed", "engine"):  # told beside the first sweep, before it or after
        listener.await_log(event)
    begun, said = read_status(tmp_path / "state")["sweeps"]["count"], len(listener.lines)
    eventually(
        lambda: read_status(tmp_path / "state")["sweeps"]["count"] > begun + 20, "many sweeps"
    )
    # What was removed right before the start comes and goes once more by the replay of its events.
    replayed = ("held", "released")
    assert not [line for line in listener.lines[said:] if line.get("event") not in replayed]


@pytest.mark.parametrize("read", [False, True])
def test_a_standard_error_that_nobody_reads_holds_up_no_removal_and_no_end(
    api: docker.APIClient, rows: Rows, engine: PrivateEngine, url: str, tmp_path: Path, read: bool
) -> None:
    ids = [new_id() for _ in range(10)]
    rows.insert(*ids)
    orphans = [plant(api, id_) for id_ in ids]
    reader, writer = full_pipe()
    options = ("--docker-host", engine.host, "--database-url", url, "--http", "off")
    process = subprocess.Popen(command("run", *options), env=environment(), stderr=writer)
    os.close(writer)
    with os.fdopen(reader) as log:
        try:

            def is_ready() -> bool:
                with suppress(OSError):
                    return bool(read_status(tmp_path / "state")["ready"])
                return False

            eventually(is_ready, "it is ready")
            rows.delete(*ids)
            removed(api, *orphans)
            said = []
            if read:  # what waits is written, before the end and at it
                said = list(islice((line for line in log if "removed container" in line), 9))
            process.terminate()
            said += log if read else ()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
    assert sum("removed container" in line for line in said) == (10 if read else 0)


def test_a_sweep_shows_its_progress_on_a_terminal_and_only_there(
    api: docker.APIClient, rows: Rows, engine: PrivateEngine, url: str
) -> None:
    rows.insert(live := new_id())
    plant(api, live)
    options = ("--docker-host", engine.host, "--database-url", url, "--grace", "0")
    sweep = command("sweep", *options, "--json")

    plant(api, new_id())
    ours, its = pty.openpty()
    process = subprocess.Popen(
        sweep, stdout=subprocess.PIPE, stderr=its, env={**environment(), "TERM": "xterm"}
    )
    os.close(its)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    report, _ = process.communicate(timeout=PATIENCE)
    assert len(json.loads(report)["orphan_prefixes"]) == 1
    assert b"removing topologies" in shown
    assert b"removed container" in shown

    plant(api, new_id())
    quiet = subprocess.run(sweep, env=environment(), capture_output=True, timeout=PATIENCE)
    assert len(json.loads(quiet.stdout)["orphan_prefixes"]) == 1
    assert b"removing topologies" not in quiet.stderr
    assert b"\x1b" not in quiet.stderr


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes to it any more
        return b""
