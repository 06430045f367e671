"""What is served over HTTP, as far as the status tells it: whether it lives, is well, is ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from listener.telemetry.http import Response, Routes


def routes(status: Callable[[], Mapping[str, Any]]) -> Routes:
    """The pages by their paths.

    Args:
        status: the status as it is now.
    """

    def well() -> Response:
        return _verdict(status()["problems"])

    def ready() -> Response:
        told = status()
        sides = (told["docker"], *told["databases"])
        missing = [f"{side['name']} is down" for side in sides if not side["up"]]
        if not told["ready"]:
            missing.append("the first sweep is not done")
        return _verdict(missing)

    return {
        "/livez": lambda: _verdict([]),
        "/healthz": well,
        "/readyz": ready,
        "/status.json": lambda: Response(json.dumps(status()).encode(), "application/json"),
    }


def _verdict(faults: Sequence[str]) -> Response:
    """Ok, or what is wrong, a line each."""
    text = "".join(f"{line}\n" for line in faults or ["ok"])
    return Response(text.encode(), status=503 if faults else 200)
