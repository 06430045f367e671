"""On what it was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import docker


def describe(api: docker.APIClient) -> dict[str, str]:
    """What one has to know of the machine, by what it is about."""
    engine: dict[str, Any] = api.info()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{_model()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "Docker Engine": f"{engine['ServerVersion']}, {engine['Driver']}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown distribution")
