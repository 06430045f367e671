"""What is served over HTTP: whether it lives, is well, is ready; its status, metrics and page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from listener.telemetry.http.answers import Response, Routes, page
from listener.telemetry.metrics import CONTENT_TYPE


def routes(
    status: Callable[[], Mapping[str, Any]],
    metrics: Callable[[], bytes],
    *,
    to_look_at: bool = True,
) -> Routes:
    """The pages by their paths.

    Args:
        status: the status as it is now.
        metrics: the metrics, as Prometheus reads them.
        to_look_at: whether one of them is for people, which shows a listener.
    """
    html = files("listener.telemetry.http").joinpath("page.html").read_bytes()

    def well() -> Response:
        return _verdict(status()["problems"])

    def ready() -> Response:
        told = status()
        return _verdict([] if told["ready"] else [f"{told['state']}: {told['state_reason']}"])

    return {
        **({"/": lambda: page(html)} if to_look_at else {}),
        "/livez": lambda: _verdict([]),
        "/healthz": well,
        "/readyz": ready,
        "/metrics": lambda: Response(metrics(), CONTENT_TYPE),
        "/status.json": lambda: Response(json.dumps(status()).encode(), "application/json"),
    }


def _verdict(faults: Sequence[str]) -> Response:
    """Ok, or what is wrong, a line each."""
    text = "".join(f"{line}\n" for line in faults or ["ok"])
    return Response(text.encode(errors="backslashreplace"), status=503 if faults else 200)
