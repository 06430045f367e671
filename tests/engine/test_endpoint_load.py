"""A flood at the endpoint ends nothing: reaps go on, and whoever asks is served."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path

import docker

from tests.engine.conftest import Run, exists
from tests.engine.push.conftest import plant, removed
from tests.support.decnet import new_id
from tests.support.flood import Flood
from tests.support.process import PATIENCE, eventually
from tests.support.rows import Rows


def ask(port: int, path: str) -> tuple[int, bytes]:
    """What is served there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def connections(port: int) -> int:
    """How many connections to this port are open in the process that listens there."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        local.endswith(f":{port:04X}") and state != "0A" and inode != "0"
        for _, local, _, state, *_, inode in (fields[:10] for fields in sockets)
    )


def test_in_a_flood_of_bad_clients_what_is_deleted_goes(
    api: docker.APIClient, rows: Rows, run: Run
) -> None:
    listener = run("--http", "127.0.0.1:0", "--sweep-interval", "100000")
    rows.insert(doomed := new_id(), live := new_id())
    orphan, staying = plant(api, doomed), plant(api, live)
    listener.start()
    port = int(listener.await_log("http")[0]["address"].rpartition(":")[2])

    with Flood(port) as flood, flood.on():
        rows.delete(doomed)
        removed(api, orphan)
    assert ask(port, "/livez") == (200, b"ok\n")
    assert json.loads(ask(port, "/status.json")[1])["problems"] == []
    eventually(lambda: connections(port) == 0, "every connection is closed")
    assert exists(api, staying)
    assert not [line for line in listener.lines if line.get("level") in ("WARNING", "ERROR")]
    assert listener.stop() == 0
