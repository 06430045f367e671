"""What contrib/decnet tells a reader, tried."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import docker as sdk
from private_engine import PrivateEngine

from listener.settings import Settings
from tests.support.decnet import deploy, new_id
from tests.support.process import environment
from tests.support.rows import Rows

README = (Path(__file__).parents[2] / "contrib" / "decnet" / "README.md").read_text()


def test_the_variables_that_it_shares_with_decnet_are_these() -> None:
    rows = re.findall(r"^\| `(DECNET_DB_\w+)` \| (?:`(\w+)`)?", README, re.MULTILINE)
    defaults = {name: default for name, default in rows if name != "DECNET_DB_URL"}
    assert len(defaults) == len(rows) - 1

    def url(**variables: str) -> str:
        return Settings.from_environment({"DECNET_DB_TYPE": "mysql", **variables}).decnet_url

    bare = "mysql://{DECNET_DB_USER}@{DECNET_DB_HOST}:{DECNET_DB_PORT}/{DECNET_DB_NAME}"
    assert url() == bare.format(**defaults)
    for name in defaults:
        assert url(**{name: "other"}) != url(), name
    everything = dict.fromkeys(defaults, "other")
    assert url(**everything, DECNET_DB_URL="mysql+asyncmy://h/d") == "mysql+asyncmy://h/d"


def test_a_program_that_does_as_it_says_sweeps(
    engine: PrivateEngine, api: sdk.APIClient, tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for there, here in (("/var/lib/decnet", tmp_path), ("/var/run/docker.sock", engine.socket)):
        assert there in code
        code = code.replace(there, str(here))

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True
        )
        assert done.returncode == 0
        return done.stdout

    assert run().startswith("nothing was removed: --database-url: the SQLite file")
    doomed, live, unknown = new_id(), new_id(), new_id()
    with Rows(tmp_path / "decnet.db") as rows:
        rows.create_table()
        rows.insert(doomed, live)
        orphan = deploy(api, doomed, decky_numbers=(1,), start=False)
        staying = deploy(api, live, decky_numbers=(2,), start=False)
        assert run() == ""  # and now it has seen them
        rows.delete(doomed)
        api.create_network(f"decnet_t_{unknown[:8]}_lan")
        *removed, held = run().splitlines()
    names = (*orphan.bases, *orphan.services, *orphan.networks)
    assert sorted(removed) == sorted(f"removed {name}" for name in names)
    assert held.startswith(f"held {unknown[:8]}: ")
    assert not orphan.remaining(api)
    staying.assert_intact(api)
