"""What doctor says to a host behind relays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.relay import ScriptedRelay, changed
from tests.support.process import call


@pytest.fixture
def options(url: str, tmp_path: Path) -> list[str]:
    """Of a host without Docker, which is not what is asked about."""
    docker = f"unix://{tmp_path}/absent.sock"
    return ["--json", "--timeout", "0", "--docker-host", docker, "--database-url", url]


def findings(options: list[str]) -> dict[str, dict[str, Any]]:
    told = json.loads(call("doctor", *options).stdout)
    return {check["id"]: check for check in told["checks"]}


def test_a_relay_that_answers_and_announces(options: list[str], relay: ScriptedRelay) -> None:
    found = findings(options)
    assert found["database.identity"]["message"] == f"postgresql {relay.identity}"
    asked = [found[id_]["status"] for id_ in found if id_.startswith(("database.", "feed."))]
    assert asked == ["ok"] * len(asked)
    assert found["feed.push"]["message"] == "it tells of deletions by relay"


def test_a_database_that_may_be_behind(options: list[str], relay: ScriptedRelay) -> None:
    relay.lie = changed(
        behind="the database is a copy; give the origin's URL",
        no_status="the database has no status; add one",
    )
    found = findings(options)
    behind, status = found["database.current"], found["database.status"]
    assert (behind["status"], behind["remedy"]) == ("warning", "give the origin's URL")
    assert behind["message"].startswith("it says that the database is a copy, so only rows")
    assert status["message"].startswith("it says that the database has no status, so nothing")


def test_a_database_that_does_not_answer(options: list[str], relay: ScriptedRelay) -> None:
    relay.lie = changed(
        kind="refusal", refused="it is a replica; ask the primary", aspect="replica"
    )
    found = findings(options)
    assert found["database.table"]["status"] == "ok"
    assert found["database.replica"]["status"] == "fault"
    assert found["database.replica"]["remedy"] == "ask the primary"


def test_no_relay(options: list[str]) -> None:
    found = findings(options)["database.reachable"]
    assert found["status"] == "fault"
    assert found["remedy"].startswith("start one")
