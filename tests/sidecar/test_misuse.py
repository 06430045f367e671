"""A listener that was started wrongly: it says what to do in a sentence, and harms nobody."""

from __future__ import annotations

from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from tests.sidecar.conftest import GROUP, OWNER, MakeSidecar
from tests.sidecar.container import DATA, mount, through
from tests.support.decnet import deploy, new_id
from tests.support.proxy import FaultProxy
from tests.support.rows import Rows

URL = f"--env=REAPER_DATABASE_URL=sqlite:///{DATA}/decnet.db"
ALONE = "--network=none"


def test_the_database_mounted_without_its_folder_is_none_and_what_is_alive_stays(
    engine: PrivateEngine, api: sdk.APIClient, sidecar: MakeSidecar, data: Path, rows: Rows
) -> None:
    """What was written last stands beside the file, so that a live topology would have no row."""
    known, live = new_id(), new_id()
    rows.insert(known)
    staying = [deploy(api, known, decky_numbers=(1,), start=False)]
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.insert(live)
    staying.append(deploy(api, live, decky_numbers=(2,), start=False))
    file = mount(data / "decnet.db", f"{DATA}/decnet.db")
    # The folder that Docker makes for it can be written, as without a read-only root file system.
    options = (f"--user={OWNER}:{GROUP}", f"--tmpfs={DATA}:mode=1777", file, URL, ALONE)
    sweep = sidecar(
        *options, *through(engine.socket), command=("sweep", "--timeout=0", "--grace=0")
    )
    sweep.start(wait=False)

    assert api.wait(sweep.id)["StatusCode"] == 3, sweep.log
    (sentence,) = sweep.sentences
    assert "mount the folder" in sentence
    for topology in staying:
        topology.assert_intact(api)


@pytest.mark.usefixtures("rows")
def test_who_may_not_use_a_side_or_does_not_find_it_says_so_waits_and_can_be_stopped(
    engine: PrivateEngine, sidecar: MakeSidecar, data: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    database = (mount(data, DATA), URL, ALONE)
    there, later = through(engine.socket), through(elsewhere / "docker.sock")
    cases = {
        f"may not be used by uid {OWNER + 1}; run as the file's owner": (
            f"--user={OWNER + 1}:{GROUP}",
            *there,
        ),
        f"may not be used by uid {OWNER}; run in the socket's group": (
            f"--user={OWNER}:{OWNER}",
            *there,
        ),
        "docker.sock does not exist": (f"--user={OWNER}:{GROUP}", *later),
    }
    started = {words: sidecar(*database, *options) for words, options in cases.items()}
    for listener in started.values():
        listener.start(wait=False)
    for words, listener in started.items():
        (line,) = listener.await_log("down")
        assert words in line["error"]
    *wrong, waiting = started.values()
    for listener in wrong:
        assert listener.stop() == 0

    with FaultProxy(engine.host, listen=elsewhere / "docker.sock"):
        (elsewhere / "docker.sock").chmod(0o666)
        waiting.await_log("ready")
    assert waiting.stop() == 0
