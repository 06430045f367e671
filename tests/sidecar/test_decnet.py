"""What contrib/decnet tells a reader, tried."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from private_engine import PrivateEngine

from listener.settings import Settings
from tests.engine.conftest import gone
from tests.sidecar.conftest import GROUP, OWNER
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, environment
from tests.support.rows import Rows
from tests.support.sandbox import strict

CONTRIB = Path(__file__).parents[2] / "contrib"
README = (CONTRIB / "decnet" / "README.md").read_text()


def blocks(title: str, language: str) -> list[str]:
    """The blocks of code in this language under this heading."""
    _, found, rest = README.partition(f"\n## {title}\n")
    assert found, title
    text = rest.partition("\n## ")[0]
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def test_the_variables_and_keys_that_it_shares_with_decnet_are_these(tmp_path: Path) -> None:
    row = r"^\| `(DECNET_DB_\w+)` \| (?:`(\w+)`)?[^|]*\| (?:`(\w+)`)?"
    rows = re.findall(row, README, re.MULTILINE)
    assert {variable: key for variable, _, key in rows if key} == {
        f"DECNET_DB_{key.upper()}": key for key in ("type", "url", "host", "port", "name", "user")
    }
    defaults = {variable: default for variable, default, _ in rows if default}
    ini = tmp_path / "decnet.ini"

    def url(keys: str = "", **variables: str) -> str:
        ini.write_text(f"[database]\ntype = mysql\n{keys}")
        flags = {"decnet_config": str(ini)}
        return Settings.from_environment(variables, flags=flags).decnet_url

    bare = "mysql://{DECNET_DB_USER}@{DECNET_DB_HOST}:{DECNET_DB_PORT}/{DECNET_DB_NAME}"
    assert url() == bare.format(**defaults)
    for variable, _, key in rows[2:]:
        assert url(**{variable: "77"}) != url(), variable
        assert url(f"{key or 'password'} = 77\n") == (url(**{variable: "77"}) if key else url())
    whole = "mysql+asyncmy://h/d"
    everything = {variable: "77" for variable, *_ in rows[2:]}
    assert url(**everything, DECNET_DB_URL=whole) == url(f"url = {whole}\n", **everything) == whole


# With systemd, in the place of /opt.


@pytest.fixture
def root() -> Iterator[Path]:
    """A scratch root with `/opt/decnet` as `decnet init` leaves it."""
    with tempfile.TemporaryDirectory(prefix="decnet-") as folder:
        home = Path(folder) / "opt/decnet"
        home.mkdir(parents=True)
        Path(folder).chmod(0o755)
        (home / ".env.local").write_text("DECNET_JWT_SECRET=s3cret\n")
        for path in (home, home / ".env.local"):
            os.chown(path, OWNER, OWNER)
        yield Path(folder)


def test_the_unit_with_its_drop_in_works_while_decnet_runs_and_while_it_is_stopped(
    engine: PrivateEngine, api: sdk.APIClient, root: Path, data: Path
) -> None:
    assert "User=decnet\n" in (CONTRIB / "decnet" / "decnet.conf").read_text()
    unit = (CONTRIB / "systemd" / "topology-reaper.service").read_text()
    assert "\nProtectSystem=strict\n" in unit
    (writable,) = re.findall(r"^ReadWritePaths=(.+)", unit, re.MULTILINE)
    given, *_ = blocks("SQLite, with systemd", "sh")
    variables = dict(line.strip().split("=", 1) for line in given.splitlines())
    assert variables.keys() == {"REAPER_DATABASE_URL", "REAPER_POLICY"}
    doomed, later, live = new_id(), new_id(), new_id()
    with Rows(root / "opt/decnet/decnet.db", user=OWNER) as decnet:
        decnet.create_table()
        decnet.insert(doomed, later, live)
        orphans = [deploy(api, id_, decky_numbers=(n,)) for n, id_ in enumerate((doomed, later))]
        staying = deploy(api, live, decky_numbers=(3,))
        listener = ListenerProcess(
            engine.host,
            variables["REAPER_DATABASE_URL"],
            *("--policy", variables["REAPER_POLICY"], "--state-dir", str(data)),
            user=(OWNER, GROUP),
            confine=strict(root, *(path.removeprefix("-") for path in writable.split())),
        )
        with listener:
            decnet.delete(doomed)
            gone(api, orphans[0])
            assert listener.stop() == 0
            decnet.close()  # DECNET is stopped
            listener.start()
            beside = list((root / "opt/decnet").glob("decnet.db-*"))
            assert len(beside) == 2
            assert {path.stat().st_uid for path in beside} == {OWNER}
            with Rows(root / "opt/decnet/decnet.db", user=OWNER) as again:
                again.delete(later)
                gone(api, orphans[1])
            assert not listener.logged("down")
    staying.assert_intact(api)


# With Compose.


def test_the_file_that_is_moved_is_decnets_as_before(root: Path) -> None:
    """What a container sees of it is tried in test_compose.py."""
    home = root / "opt/decnet"
    with Rows(home / "decnet.db", user=OWNER) as decnet:
        decnet.create_table()
    move(home)
    assert sorted(path.name for path in home.iterdir()) == [".env.local", "database", "decnet.db"]
    with Rows(home / "decnet.db", user=OWNER) as decnet:
        decnet.insert(new_id())
        assert not (home / "decnet.db-wal").exists()
        folder = home / "database"
        assert {path.name for path in folder.iterdir()} == {
            *("decnet.db", "decnet.db-wal", "decnet.db-shm")
        }
        assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {OWNER}


def move(home: Path) -> None:
    """Do what the README says, but for DECNET's services, to a folder in place of /opt/decnet."""
    (script, *_) = blocks("With Compose", "console")
    lines = [line.removeprefix("# ") for line in script.splitlines() if "systemctl" not in line]
    assert len(lines) == 3
    here = "\n".join(lines).replace("/opt/decnet", shlex.quote(str(home)))
    owned = here.replace("-o decnet -g decnet", f"-o {OWNER} -g {OWNER}")
    assert owned != here
    subprocess.run(["sh", "-ec", owned], check=True)


# From a program.


def test_a_program_that_does_as_it_says_sweeps(
    engine: PrivateEngine, api: sdk.APIClient, tmp_path: Path
) -> None:
    (code,) = blocks("From a program", "python")
    places = {"/opt/decnet": tmp_path, "/var/lib/decnet": tmp_path}
    for there, here in (*places.items(), ("/var/run/docker.sock", engine.socket)):
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
        *removed, waiting = run().splitlines()
    names = (*orphan.bases, *orphan.services, *orphan.networks)
    assert sorted(removed) == sorted(f"removed {name}" for name in names)
    assert waiting.startswith(f"waiting {unknown[:8]}: ")
    assert not orphan.remaining(api)
    staying.assert_intact(api)
