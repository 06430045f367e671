"""What the pages say of a status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from listener.telemetry.http.pages import routes
from listener.telemetry.metrics import Metrics

from .status import STATUS

DOWN = {"name": "Docker", "up": False}
WELL = dict(STATUS)
OK = (200, "ok\n")
METRICS = b"topology_reaper_ready 1\n"


def told(path: str, status: dict[str, Any]) -> tuple[int, str]:
    response = routes(lambda: status, lambda: METRICS)[path]()
    assert response.content_type == "text/plain; charset=utf-8"
    return response.status, response.body.decode()


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
def test_a_listener_that_is_well_is_ok(path: str) -> None:
    assert told(path, WELL) == OK


def test_it_is_healthy_until_there_are_problems_whichever_side_is_down_just_now() -> None:
    status = WELL | {"docker": DOWN, "ready": False}
    assert told("/healthz", status) == OK
    status["problems"] = ["Docker is down", "watch is stuck"]
    assert told("/healthz", status) == (503, "Docker is down\nwatch is stuck\n")


@pytest.mark.parametrize(
    ("state", "reason", "answer"),
    [
        ("holding", "1 topology is held until an operator confirms", OK),
        (
            "starting",
            "the first sweep is not done",
            (503, "starting: the first sweep is not done\n"),
        ),
        (
            "degraded",
            "the SQLite file /ß\udcff is down",
            (503, "degraded: the SQLite file /ß\\udcff is down\n"),
        ),
    ],
)
def test_readyz_and_the_metric_are_what_the_status_says(
    state: str, reason: str, answer: tuple[int, str]
) -> None:
    change = {"state": state, "state_reason": reason, "ready": answer == OK}
    status = WELL | change
    assert told("/readyz", status) == answer
    ready = Metrics(lambda: status).render()
    assert f"topology_reaper_ready {float(answer == OK)}\n".encode() in ready


def test_the_status_is_told_as_it_is_when_it_is_asked_for() -> None:
    status: dict[str, Any] = {}
    pages = routes(lambda: status, lambda: METRICS)
    status["problems"] = ["ß"]
    response = pages["/status.json"]()
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body) == status


def test_the_metrics_are_as_they_are_rendered_and_say_their_form() -> None:
    response = routes(lambda: WELL, lambda: METRICS)["/metrics"]()
    assert (response.status, response.body) == (200, METRICS)
    assert response.content_type.startswith("text/plain; version=")
