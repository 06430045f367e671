"""What a listener that is well tells of itself, and of a host with one topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATUS: Mapping[str, Any] = {
    "state": "ready",
    "state_reason": "",
    "version": "1.2.3",
    "host": "edge-7",
    "time": 10_000.0,
    "started": 2_000.0,
    "ready": True,
    "dry_run": False,
    "problems": [],
    "docker": {
        "name": "Docker",
        "address": "unix:///run/docker.sock",
        "context": "rootless",
        "engine": {
            "product": "Docker Engine",
            "version": "28.5.2",
            "name": "edge-7",
            "rootless": True,
            "image_store": "containerd",
        },
        "up": True,
        "since": 9_000.0,
        "reason": None,
        "proof_age_s": 1.25,
        "connections": 1,
    },
    "databases": [
        {
            "name": "the SQLite file /d.db",
            "label": "sqlite/d.db",
            "feed": "wal",
            "up": True,
            "since": 9_000.0,
            "reason": None,
            "proof_age_s": 1.0,
            "connections": 1,
            "answer_age_s": 1.0,
            "unheard": 0,
            "refused": 0,
        }
    ],
    "topologies": [
        {
            "prefix": "aaaaaaaa",
            "state": "alive",
            "reason": "[bold]its row exists[/]",
            "wait_s": None,
            "removing": None,
            "ids": [],
            "resources": [{"kind": "container"}, {"kind": "container"}, {"kind": "network"}],
        }
    ],
    "held": {"prefixes": [], "token": ""},
    "torn_down": [],
    "queue": {"depth": 0, "working": 0, "oldest_s": 0.0, "longest_work_s": 0.0, "retries": 0},
    "subnets": [],
    "reaps": [
        {
            "time": 9_990.0,
            "prefix": "bbbbbbbb",
            "duration_ms": 705.0,
            "hint_to_gone_ms": 712.0,
            "containers": 6,
            "networks": 2,
            "images": 0,
            "evidence": "witnessed",
            "errors": [],
        }
    ],
    "sweeps": {
        "count": 1,
        "interval_s": 300.0,
        "last": {"time": 9_940.0, "cause": "timer", "duration_ms": 12.3},
    },
}
