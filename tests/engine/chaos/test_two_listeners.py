"""Two listeners on one engine and one database do each other no harm.

Both hear of a deletion at the same moment, so they ask the engine for the same removals side by
side, and one of them always comes too late. Only where both requests are at the same container in
the same instant does Docker 20.10 say yes to both, and both report it. No client can tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine.conftest import Run, exists, gone
from tests.engine.push.conftest import planted, removed
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows

NO_SWEEP = ("--sweep-interval", "100000")


def alarming(listener: ListenerProcess) -> list[dict[str, Any]]:
    """What an operator would be worried by; not that the other one is at something, or is slow."""
    return [
        line
        for line in listener.lines
        if line.get("level") not in ("DEBUG", "INFO")
        and line.get("event") != "peer"
        and not (line.get("event") == "pending" and "already in progress" in line["error"])
    ]


@pytest.mark.parametrize("folders", [("one", "other"), ("both", "both")], ids=["apart", "shared"])
def test_everything_of_twenty_topologies_goes_and_is_reported(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path, folders: tuple[str, str]
) -> None:
    rows.insert(running := new_id())
    whole = deploy(api, running)
    at = api.create_host_config(network_mode=min(whole.networks))
    visitor = api.create_container("busybox", ["sleep", "9"], host_config=at)["Id"]
    small = planted(api, rows, 19)
    first, second = (run(*NO_SWEEP, "--state-dir", str(tmp_path / name)) for name in folders)
    first.start()
    second.start()

    rows.delete(running, *list(small)[:9])
    rows.delete_each(*list(small)[9:], noise=1)

    gone(api, whole)
    removed(api, *small.values())
    assert exists(api, visitor)

    def told() -> set[str]:
        return {line["id"] for each in (first, second) for line in each.logged("removed")}

    eventually(lambda: told() == {*whole.ids, *small.values()}, "each is reported")
    for listener in (first, second):
        assert listener.stop() == 0
        assert not listener.logged("failed")
    assert alarming(first) == []
    if folders[0] == folders[1]:  # the second remembers nothing, and says so
        (said,) = alarming(second)
        assert said["event"] == "state"
        assert "another listener uses it" in said["error"]
    else:
        assert alarming(second) == []
