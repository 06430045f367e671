"""A private Docker Engine: real, disposable, and gone without a trace.

A small *holder* process is pid 1 of a PID, mount and network namespace of its own, and dockerd
runs inside these. Ending the holder therefore ends everything: the kernel kills every process of
the PID namespace (dockerd, containerd, shims, containers), and mounts, bridges and iptables rules
die with the other two. Nothing is tracked, so nothing is forgotten. The holder ends when its
standard input does, that is, also when the process that started it is killed.

Inside, empty file systems cover the few directories that an engine writes to whatever its options
say (`/run` above all, which also holds its exec root), so that engines side by side, and one that
the host may run itself, never meet. Outside remain one temporary directory (data root, socket,
log) and the containers' parent cgroup; `stop()` removes both.

    with PrivateEngine() as engine:
        client = docker.DockerClient(base_url=engine.host)

    python private_engine.py -- pytest tests/engine
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType
from typing import ClassVar, Self

from debian_packages import PackageError, ensure, system_environment, which

IMAGE = "busybox:latest"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
TAIL = 30
"""Lines of dockerd's log in an error: a panic's first, with what came before."""

PACKAGES = {"dockerd": "docker.io", "iptables": "iptables", "busybox": "busybox-static"}

# What an engine writes outside its roots: sockets and locks, its identity, containerd's plug-ins.
COVERED = ("/run", "/etc/docker", "/opt/containerd")

# As pid 1 it inherits every orphan in there; with SIGCHLD ignored the kernel reaps them.
HOLDER = """
import ctypes, os, signal, subprocess, sys
busybox, root, own, *covered = sys.argv[1:]
libc = ctypes.CDLL(None)
def mount(*how):
    subprocess.run([busybox, "mount", *how], check=True)
if root:
    mount("-o", "bind", root, root)  # containers are begun from a mount only
    for path in ("/proc", "/sys", "/dev", own):
        mount("-o", "rbind", path, root + path)
for path in covered:
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root + path)
subprocess.run([busybox, "ip", "link", "set", "lo", "up"], check=True)
if root:  # not by chroot, from which no user namespace can be made
    os.chdir(root)
    assert libc.pivot_root(b".", b".") == 0  # the old root is on top now, and goes
    assert libc.umount2(b".", 2) == 0  # MNT_DETACH
os.chdir("/")
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""


class EngineError(RuntimeError):
    """The engine cannot be had; the message says why and, where it can, what to do."""


class PrivateEngine(AbstractContextManager["PrivateEngine"]):
    """One engine. Its names (`host`, `socket`) are known before it is started.

    Another engine with Docker's API is a subclass, with a name, packages, directories that are
    covered, and a command of its own.

    Args:
        directory: where to make the engine's own directory; the system's temporary one if None.
        dockerd_options: added to the daemon's command line; they win over the defaults here.
        root: the system whose dockerd it is, such as `debian_root.py` makes; this one if None.
    """

    name: ClassVar = "a private Docker Engine"
    packages: ClassVar = PACKAGES
    covered: ClassVar[Sequence[str]] = COVERED

    def __init__(
        self,
        *,
        directory: Path | None = None,
        dockerd_options: Sequence[str] = (),
        root: Path | None = None,
    ) -> None:
        self._name = f"private-engine-{secrets.token_hex(4)}"
        self.directory = (directory or Path(tempfile.gettempdir())).resolve() / self._name
        self.socket = self.directory / "run" / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = self.directory / "dockerd.log"
        self._options = tuple(dockerd_options)
        self._root = root or Path("/")
        self._holder: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._made: list[Path] = []
        if len(os.fsencode(self.socket)) > 107:
            raise ValueError(f"{self.socket} is too long a path for a socket: give a directory")
        if any(self.directory.is_relative_to(path) for path in self.covered):
            raise ValueError(f"{self.directory} would be covered inside: give another directory")

    def __enter__(self) -> Self:
        """Start the engine."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the engine, whatever happened."""
        self.stop()

    def start(self) -> None:
        """Start the engine, or start it again after `kill` or `terminate`; returns once it serves.

        Raises:
            EngineError: something is missing, or dockerd ended or did not answer in time.
        """
        if self.is_running:
            return
        try:
            if self._holder is None:
                self._install_what_is_missing()
                self._hold()
            self._start_daemon()
            self._import_image()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once and remove every trace. May be called at any time, and twice."""
        holder, self._holder = self._holder, None
        if holder is not None:
            assert holder.stdin is not None
            assert holder.stdout is not None
            # unshare reaps pid 1, and that ends only after every process in there: when this
            # wait is over nobody is left.
            holder.stdin.close()
            holder.stdout.close()
            try:
                holder.wait(0.5)
            except subprocess.TimeoutExpired:
                # An nsenter that was stopped with its dockerd does not reap that; pid 1 will.
                self._reap_daemon()
                holder.wait(STOP_TIMEOUT)
        self._reap_daemon()
        if self.directory.exists():
            shutil.rmtree(self.directory)
        remove_cgroups(self._name)
        while self._made:
            with suppress(OSError):  # in use by now
                self._made.pop().rmdir()

    def kill(self) -> None:
        """SIGKILL dockerd and its containerd; shims and containers survive, as in reality."""
        self._end(signal.SIGKILL, with_containerd=True)

    def terminate(self) -> None:
        """Stop dockerd as a system would, with SIGTERM: it stops its containers first."""
        self._end(signal.SIGTERM)

    @property
    def is_running(self) -> bool:
        """Whether dockerd runs."""
        return self._daemon is not None and self._daemon.poll() is None

    @property
    def pid(self) -> int:
        """The dockerd process, as seen from here: for signals such as SIGSTOP and SIGCONT."""
        if self._daemon is None:
            raise EngineError("the engine is not running")
        if not self.is_running:
            raise self._error(f"dockerd ended by itself with status {self._daemon.returncode}")
        return _children(self._daemon.pid)[0]

    def run_inside(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a command in the engine's namespaces and return what it printed.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return subprocess.run(
            [*self._inside(), *argv],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=True,
        ).stdout

    def _inside(self) -> list[str]:
        if self._holder is None:
            raise EngineError("the engine is not running")
        # With its root as well: we may live in a chroot ourselves, or it does.
        into = ("--pid", "--mount", "--net", "--root", "--wd")
        return ["nsenter", f"--target={self._init}", *into, "--"]

    def _hold(self) -> None:
        inside = [self._root / path.lstrip("/") for path in (*self.covered, str(self.directory))]
        for path in inside:
            for directory in reversed((path, *path.parents)):
                with suppress(FileExistsError):
                    directory.mkdir(mode=0o711)
                    self._made.append(directory)
        self.socket.parent.mkdir(parents=True)
        self.directory.chmod(0o711)
        namespaces = ["--fork", "--kill-child", "--pid", "--mount", "--net", "--mount-proc"]
        init = [sys.executable, "-I", "-S", "-c", HOLDER, which("busybox") or "busybox"]
        where = [str(self._root).rstrip("/"), str(self.directory), *self.covered]
        with self.log.open("ab") as log:
            self._holder = subprocess.Popen(
                ["unshare", *namespaces, "--", *init, *where],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal is not for us
            )
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            raise self._error("the engine's namespaces could not be made")
        (self._init,) = _children(self._holder.pid)

    def _start_daemon(self) -> None:
        # Left behind by a kill: the next dockerd would wait for the dead containerd.
        for stale in ("/run/docker/containerd/containerd.pid", "/run/docker.pid"):
            Path(f"/proc/{self._init}/root{stale}").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self._inside(), *self._command()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._daemon.poll() is not None:
                raise self._error(f"it ended with status {self._daemon.returncode}")
            if time.monotonic() > deadline:
                raise self._error(f"it did not answer within {START_TIMEOUT:.0f} s")
            time.sleep(0.02)

    def _command(self) -> Iterator[str]:
        """What keeps the engine apart and light. dockerd picks overlay2 by itself, else vfs."""
        yield "dockerd"
        yield f"--data-root={self.directory / 'data'}"
        yield "--exec-root=/run/docker"
        yield "--pidfile=/run/docker.pid"
        yield f"--host={self.host}"
        yield f"--cgroup-parent=/{self._name}"
        yield "--exec-opt=native.cgroupdriver=cgroupfs"  # no systemd in there to ask
        yield "--userland-proxy=false"
        if not any(option.startswith("--default-address-pool") for option in self._options):
            yield "--default-address-pool=base=10.64.0.0/14,size=24"  # room for 1,024 networks
        yield from self._options

    def _answers(self) -> bool:
        try:
            return self._request("GET", "/_ping")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _import_image(self) -> None:
        if self._request("GET", f"/images/{IMAGE}/json")[0] == 200:
            return
        repository, tag = IMAGE.split(":")
        path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}&changes=CMD%20%5B%22sh%22%5D"
        status, answer = self._request("POST", path, busybox_tar())
        if status != 200 or b'"error"' in answer:
            raise self._error(f"the image {IMAGE} could not be made: {answer.decode()}")

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/x-tar"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _end(self, number: signal.Signals, *, with_containerd: bool = False) -> None:
        """Signal dockerd and wait until it is gone."""
        if not self.is_running:
            return
        pids = [self.pid]
        if with_containerd:
            pids += [child for child in _children(self.pid) if _command(child) == "containerd"]
        _signal_and_wait(number, *pids)
        self._reap_daemon()

    def _install_what_is_missing(self) -> None:
        if os.geteuid() != 0:
            wanted = ", ".join(self.packages.values())
            raise EngineError(f"{self.name} is started as root, with {wanted} installed")
        try:
            ensure(self.packages, self.name, find=_find)
        except PackageError as error:
            raise EngineError(str(error)) from error

    def _reap_daemon(self) -> None:
        """Forget dockerd, and end its nsenter, which stops itself when dockerd is stopped."""
        nsenter, self._daemon = self._daemon, None
        if nsenter is not None:
            nsenter.kill()
            nsenter.wait()

    def _error(self, what: str) -> EngineError:
        tail = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return EngineError("\n".join([what, *tail]))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=30.0)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _environment() -> dict[str, str]:
    """Ours, without what would reach dockerd from elsewhere, and with system tools in the path."""
    return system_environment("DOCKER_", "NOTIFY_SOCKET", "LISTEN_")


def _find(program: str) -> str | None:
    """Where a program is; of busybox only a static one will do, for the image has no libraries."""
    found = which(program)
    if found is None or program != "busybox":
        return found
    dynamic = subprocess.run(["ldd", found], capture_output=True).returncode == 0
    return None if dynamic else found


def busybox_tar() -> bytes:
    """A root file system: one static busybox, a link for each of its applets."""
    busybox = which("busybox") or "busybox"
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        content = Path(busybox).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.mode, entry.size = 0o755, len(content)
        tar.addfile(entry, io.BytesIO(content))
        for applet in sorted(set(applets.stdout.split()) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def _children(pid: int) -> list[int]:
    """The child processes of a process, by any of its threads."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found += map(int, path.read_text().split())
    return found


def _command(pid: int) -> str:
    """The name of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _signal_and_wait(number: signal.Signals, *pids: int) -> None:
    """Send a signal to each and wait until they are gone; a pidfd never means another process."""
    with contextlib.ExitStack() as stack:
        descriptors = []
        for pid in pids:
            descriptors.append(os.pidfd_open(pid))
            stack.callback(os.close, descriptors[-1])
        for descriptor in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
        for descriptor in descriptors:
            if not select.select([descriptor], [], [], STOP_TIMEOUT)[0]:
                raise EngineError(f"still running {STOP_TIMEOUT:.0f} s after {number.name}")


def cgroup_roots() -> set[Path]:
    """Where the hierarchies of control groups are mounted, v1 or v2."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {Path(m[4]) for m in mounts if m[m.index("-") + 1].startswith("cgroup")}


def remove_cgroups(name: str) -> None:
    """Remove a control group that nothing runs in from every hierarchy, innermost first."""
    roots = cgroup_roots()
    deadline = time.monotonic() + 5.0
    while groups := [group for root in roots for group in os.walk(Path(root, name), topdown=False)]:
        for group, _, _ in groups:
            with suppress(OSError):  # busy for a moment after its last process
                Path(group).rmdir()
        if time.monotonic() > deadline:
            raise EngineError(f"the control group {name} is still in use")


def _run(command: Sequence[str], options: Sequence[str]) -> int:
    """Run a command with an engine of its own; the command's exit status."""

    def interrupt(number: int, _: FrameType | None) -> None:
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)  # once is enough: now only cleaning up
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    print("starting a private Docker Engine…", file=sys.stderr, flush=True)
    with PrivateEngine(dockerd_options=options) as engine:
        foreign = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT")
        environment = {key: value for key, value in os.environ.items() if key not in foreign}
        process = subprocess.Popen(command, env={**environment, "DOCKER_HOST": engine.host})
        try:
            status = process.wait()
        except SystemExit:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10.0)
            process.kill()
            raise
    return status if status >= 0 else 128 - status


def main() -> int:
    """The command line: `private_engine.py [--dockerd-option=…] -- COMMAND…`."""
    parser = argparse.ArgumentParser(
        description="Run a command with a private Docker Engine; everything is gone afterwards."
    )
    parser.add_argument(
        "--dockerd-option", action="append", default=[], help="passed on to dockerd; repeatable"
    )
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="sees it as DOCKER_HOST")
    arguments = parser.parse_args()
    try:
        return _run(arguments.command, arguments.dockerd_option)
    except (EngineError, FileNotFoundError) as error:
        print(f"private_engine: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
