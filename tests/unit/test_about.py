"""What an engine says of itself, by recorded answers without the fields that nobody looks at."""

from __future__ import annotations

from typing import Any

import pytest

from listener.engine.about import read

Json = dict[str, Any]
SECCOMP = "name=seccomp,profile=default"


def version(engine: str, number: str) -> Json:
    return {"Components": [{"Name": engine}, {"Name": "runc"}], "Version": number}


def info(*options: str, status: list[list[str]]) -> Json:
    return {"Name": "vm", "SecurityOptions": [SECCOMP, *options], "DriverStatus": status}


DEBIAN, SID = version("Engine", "20.10.24+dfsg1"), version("Engine", "28.5.2+dfsg4")
CLASSIC = [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            (DEBIAN, info(status=CLASSIC)),
            "Docker Engine 20.10.24+dfsg1 on vm, not rootless, with the classic image store",
        ),
        (
            (DEBIAN, info("name=rootless", status=CLASSIC)),
            "Docker Engine 20.10.24+dfsg1 on vm, rootless, with the classic image store",
        ),
        (
            (SID, info(status=[["driver-type", "io.containerd.snapshotter.v1"]])),
            "Docker Engine 28.5.2+dfsg4 on vm, not rootless, with the containerd image store",
        ),
        (
            (version("Podman Engine", "4.3.1"), info(status=[])),
            "Podman 4.3.1 on vm, not rootless",
        ),
        ((SID, {}), "Docker Engine 28.5.2+dfsg4"),
        (({"Version": "17.03"}, {}), "Docker Engine 17.03"),
    ],
)
def test_it_is_named(answers: tuple[Json, Json], said: str) -> None:
    assert str(read(*answers)) == said
