"""The unit, as systemd's own tools see it, and a listener that talks to systemd's sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_packages import ensure, which
from private_engine import PrivateEngine

from listener.settings import Settings
from tests.support.process import PATIENCE, ListenerProcess, eventually
from tests.support.proxy import FaultProxy, Request, stall, stream
from tests.support.rows import Rows

CONTRIB = Path(__file__).parents[2] / "contrib" / "systemd"
TOOLS = ("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles")
EXPOSURE = 2.0
"""What systemd-analyze calls "OK" ends here; 10 is a service without any protection."""
WATCHDOG = 4
"""Seconds."""


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    ensure(dict.fromkeys(TOOLS, "systemd"), "the tests of the systemd unit")


def tool(name: str, *arguments: str | Path, cwd: Path) -> str:
    """Run one of systemd's tools; what it printed, on either channel."""
    done = subprocess.run(
        [which(name) or name, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


# The files.


@pytest.fixture(params=["topology-reaper run", "topology-reaper-relay relay"])
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A unit, with the command where this machine has it."""
    name, runs = request.param.split()
    copy = tmp_path / f"{name}.service"
    text = (CONTRIB / copy.name).read_text()
    assert f"\nExecStart=/usr/bin/topology-reaper {runs}\n" in text
    command = Path(sys.executable).with_name("topology-reaper")
    copy.write_text(text.replace("/usr/bin/topology-reaper", str(command)))
    return copy


def test_systemd_accepts_the_unit_without_a_word_and_finds_it_well_protected(unit: Path) -> None:
    assert tool("systemd-analyze", "verify", "--man=no", unit, cwd=unit.parent) == ""
    told = tool("systemd-analyze", "security", "--offline=true", unit, cwd=unit.parent)
    (exposure,) = re.findall(r"Overall exposure level for [\w-]+\.service: ([\d.]+)", told)
    assert float(exposure) <= EXPOSURE


def test_the_users_and_the_folders_are_what_a_package_makes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/topology-reaper").mkdir(parents=True)
    secret = root / "etc/topology-reaper/database-url"
    secret.touch()
    users, folders = CONTRIB / "topology-reaper.sysusers", CONTRIB / "topology-reaper.tmpfiles"

    planned = tool("systemd-sysusers", f"--root={root}", "--dry-run", users, cwd=tmp_path)
    assert "Creating user 'topology-reaper'" in planned
    tool("systemd-sysusers", f"--root={root}", users, cwd=tmp_path)
    assert tool("systemd-tmpfiles", f"--root={root}", "--create", folders, cwd=tmp_path) == ""

    uid, gid = re.findall(r"^topology-reaper:x:(\d+):(\d+):", (root / "etc/passwd").read_text())[0]
    assert re.search(r"^docker:.*:topology-reaper$", (root / "etc/group").read_text(), re.M)
    state = (root / "var/lib/topology-reaper").stat()
    assert (state.st_mode & 0o777, state.st_uid, state.st_gid) == (0o700, int(uid), int(gid))
    os.chown(root / "var/lib/topology-reaper", 27017, 27017)  # as the unit with that user does
    assert tool("systemd-tmpfiles", f"--root={root}", "--create", folders, cwd=tmp_path) == ""
    assert (root / "var/lib/topology-reaper").stat().st_uid == 27017, "at the next boot"
    for path, mode in ((secret.parent, 0o750), (secret, 0o640)):
        status = path.stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (mode, 0, int(gid))


def test_every_variable_in_the_environment_file_is_an_option(unit: Path) -> None:
    lines = (CONTRIB / unit.name).with_suffix(".environment").read_text().splitlines()
    offered = dict(line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z_]+=", line))
    assert "REAPER_DATABASE_URL" in offered
    for name, value in offered.items():
        settings = Settings.from_environment({name: value})
        assert settings != Settings(), f"{name} is no option"
    assert f"EnvironmentFile={lines[0].split()[1].rstrip(':')}\n" in unit.read_text()


# The messages.


class Manager:
    """The socket at which systemd would hear the service; what it hears is read as it comes."""

    def __init__(self, path: Path) -> None:
        self.messages: list[str] = []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def hears(self, message: str, *, after: int = 0, within: float = PATIENCE) -> bool:
        """Whether this message comes within so many seconds, after so many messages."""
        with self._changed:
            return self._changed.wait_for(lambda: message in self.messages[after:], within)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while message := self._socket.recv(1024):
            with self._changed:
                self.messages.append(message.decode())
                self._changed.notify_all()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Systemd's end; what is started from now on is told of it."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", f"{WATCHDOG * 1_000_000}")
    hearing = Manager(tmp_path / "notify")
    yield hearing
    hearing.close()


@pytest.fixture
def proxy(engine: PrivateEngine, tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy before the engine."""
    with FaultProxy(engine.host, listen=tmp_path / "proxy.sock") as between:
        yield between


@pytest.fixture
def listener(proxy: FaultProxy, tmp_path: Path) -> Iterator[ListenerProcess]:
    """A listener behind it, not started yet, with an empty database."""
    database = tmp_path / "decnet.db"
    with Rows(database) as rows:
        rows.create_table()
        process = ListenerProcess(proxy.host, f"sqlite:///{database}")
        yield process
        process.kill()


def is_list(request: Request) -> bool:
    return request.path.partition("?")[0].endswith("/containers/json")


def test_it_is_ready_after_the_first_sweep_alive_while_nothing_is_stuck_and_says_that_it_stops(
    manager: Manager, proxy: FaultProxy, listener: ListenerProcess
) -> None:
    go_on, enough = threading.Event(), threading.Event()

    def drip() -> Iterator[bytes]:
        while not enough.wait(0.1):
            yield b" "  # so that no time-out of a read ever fires

    proxy.hook = lambda request: stall(go_on) if is_list(request) else None
    listener.start(wait=False)
    eventually(lambda: any(map(is_list, proxy.requests)), "it lists what there is")
    assert manager.messages == []
    go_on.set()
    assert manager.hears("READY=1")
    assert manager.hears("WATCHDOG=1")

    proxy.hook = lambda request: stream(drip()) if is_list(request) else None
    listener.signal(signal.SIGUSR1)
    eventually(
        lambda: any("watch" in line["loops"] for line in listener.logged("stuck")), "it is stuck"
    )
    so_far = len(manager.messages)
    assert not manager.hears("WATCHDOG=1", after=so_far, within=WATCHDOG), "so systemd ends it"
    proxy.hook = None
    enough.set()
    assert manager.hears("WATCHDOG=1", after=so_far)

    assert listener.stop() == 0
    assert manager.hears("STOPPING=1")
    first, *alive, _ = manager.messages
    assert first == "READY=1"
    assert set(alive) == {"WATCHDOG=1"}
