"""What a listener could say: whole statuses, and the parts of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

REASONS = {
    "alive": "its row exists",
    "orphan": "its row is gone",
    "reaping": "its row is gone",
    "waiting": "its row is absent, the grace runs",
    "held": "the database is not vouched for",
    "unknown": "no database has answered yet",
}
"""By every state that there is."""

Json = dict[str, Any]


def topology(number: int, state: str = "alive", containers: int = 6, networks: int = 2) -> Json:
    """A topology, the only one with this number."""
    prefix = f"{number:08x}"
    return {
        "prefix": prefix,
        "state": state,
        "reason": REASONS[state],
        "wait_s": 18.4 if state == "waiting" else None,
        "removing": {"begun": containers + networks + 3, "left": containers + networks}
        if state == "reaping"
        else None,
        "ids": [f"{prefix}-0000-4000-8000-000000000000"],
        "resources": [
            *(
                {
                    "kind": "container",
                    "id": f"{number:08x}{n:04x}{'c0de' * 13}",
                    "name": f"decky-{number % 1000:03d}-{('ssh', 'http', 'smb')[n % 3]}-{n}",
                    "subnets": [],
                }
                for n in range(containers)
            ),
            *(
                {
                    "kind": "network",
                    "id": f"{number:08x}{n:04x}{'feed' * 13}",
                    "name": f"decnet_t_{prefix}_lan{n + 1}",
                    "subnets": [f"10.{number // 128 % 256}.{2 * number % 256 + n}.0/24"],
                }
                for n in range(networks)
            ),
        ],
    }


def reap(number: int, seconds_ago: float, duration_ms: float = 705.0, **changes: object) -> Json:
    """The reap of the topology with this number."""
    return {
        "time": time.time() - seconds_ago,
        "prefix": f"{number:08x}",
        "duration_ms": duration_ms,
        "hint_to_gone_ms": duration_ms * 1.1,
        "containers": 6,
        "networks": 2,
        "images": 0,
        "evidence": "witnessed: its row was seen before and is gone",
        "errors": [],
        **changes,
    }


def side(name: str, **changes: object) -> Json:
    """Docker or a database, up."""
    return {
        "name": name,
        "up": True,
        "since": time.time() - 7380,
        "reason": None,
        "proof_age_s": 1.2,
        "connections": 1,
        **changes,
    }


def database(name: str, **changes: object) -> Json:
    """A database, up."""
    return side(name, **{"feed": "wal", "answer_age_s": 3.4, "unheard": 0, "refused": 0, **changes})


def status(topologies: Sequence[Json] = (), **changes: object) -> Json:
    """A listener that is well, with these topologies."""
    now = time.time()
    held = [t["prefix"] for t in topologies if t["state"] == "held"]
    return {
        "state": "holding" if held else "ready",
        "state_reason": f"{len(held)} topologies are held until an operator confirms"
        if held
        else "",
        "version": "1.0.0",
        "host": "edge-7",
        "time": now,
        "started": now - 7400,
        "ready": True,
        "dry_run": False,
        "problems": [],
        "docker": side(
            "Docker",
            address="unix:///var/run/docker.sock",
            context=None,
            engine={
                "product": "Docker Engine",
                "version": "28.5.2",
                "name": "edge-7",
                "rootless": False,
                "image_store": "classic",
            },
        ),
        "databases": [database("the sqlite database '/var/lib/decnet/decnet.db'")],
        "topologies": [*topologies],
        "held": {
            "prefixes": held,
            "token": "1f2e3d4c5b6a" if held else "",
            "command": "topology-reaper sweep --confirm 1f2e3d4c5b6a" if held else "",
        },
        "torn_down": [],
        "queue": {"depth": 0, "working": 0, "oldest_s": 0.0, "longest_work_s": 0.0, "retries": 0},
        "subnets": [
            *(
                {"network": r["name"], "subnet": subnet, "prefix": t["prefix"]}
                for t in topologies
                for r in t["resources"]
                for subnet in r["subnets"]
            ),
            {"network": "bridge", "subnet": "172.17.0.0/16", "prefix": None},
            {"network": "monitoring_default", "subnet": "172.18.0.0/16", "prefix": None},
        ],
        "reaps": [],
        "sweeps": {
            "count": 12,
            "interval_s": 300.0,
            "last": {"time": now - 100, "cause": "timer", "duration_ms": 12.3},
        },
        **changes,
    }


def everything() -> Json:
    """A listener that has seen better days: every state and every notice at once."""
    states = [*REASONS, "alive", "alive", "held"]
    numbers = [0x3C68D34A + 0x01ABCDEF * n for n in range(len(states))]
    found = [
        topology(n, state, 5 + i, i % 3)
        for i, (n, state) in enumerate(zip(numbers, states, strict=True))
    ]
    reaps = [
        reap(0x5EED0000 + 37 * n, 20 + 45.0 * n * n, 300 + 170 * (n * 7 % 9)) for n in range(14)
    ]
    reaps[2] |= {
        "errors": ["container decky-009-ssh: device or resource busy"],
        "hint_to_gone_ms": None,
    }
    return status(
        sorted(found, key=lambda t: str(t["prefix"])),
        state="degraded",
        state_reason="the mysql database 'decnet' on db.example is down for 2 min,"
        " nothing is removed",
        problems=["the mysql database 'decnet' on db.example is down", "feed-1 is stuck"],
        ready=False,
        dry_run=True,
        databases=[
            database("the sqlite database '/var/lib/decnet/decnet.db'", unheard=2),
            database(
                "the mysql database 'decnet' on db.example",
                feed=None,
                up=False,
                since=time.time() - 131,
                reason="Can't connect to MySQL server on 'db.example' (timed out)",
                proof_age_s=None,
                answer_age_s=None,
            ),
        ],
        queue={"depth": 3, "working": 1, "oldest_s": 1.4, "longest_work_s": 0.8, "retries": 2},
        reaps=reaps,
    )
