"""Programs from Debian's packages, installed when they are missing and without a service started.

Whoever needs a program names it with its package. If all are there nothing is done, and root is not
needed; otherwise one process installs while the others wait, and what is installed is said in one
line. For as long as that takes a policy, in Debian's own way, keeps packages from starting their
daemons; a policy that is there already stays.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")


class PackageError(RuntimeError):
    """A program is missing and cannot be installed; the message says what to do."""


def system_environment(*foreign: str) -> dict[str, str]:
    """Our environment with system tools in the path, without the variables with these prefixes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PATH": f"{kept.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}


def which(program: str) -> str | None:
    """Where a program is, or None.

    Args:
        program: a name, looked up in the path; or an absolute path, which may be a pattern: of
            several matches the last counts.
    """
    if program.startswith("/"):
        return max((str(path) for path in Path("/").glob(program[1:])), default=None)
    return shutil.which(program, path=system_environment()["PATH"])


def ensure(
    programs: Mapping[str, str], whose: str, find: Callable[[str], str | None] = which
) -> None:
    """See that these programs are there, and install the packages of those that are not.

    Args:
        programs: the package of each.
        whose: who needs them, for the messages.
        find: where a program is, or None if it is missing.

    Raises:
        PackageError: they cannot be installed; it says why.
    """
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # side by side: one installs, the others wait
        missing = [package for program, package in programs.items() if not find(program)]
        packages = list(dict.fromkeys(missing))
        if not packages:
            return
        needs = f"{whose} needs Debian's {', '.join(packages)}: install that first"
        if which("apt-get") is None:
            raise PackageError(f"{needs} (there is no apt-get here to do it)")
        if os.geteuid() != 0:
            raise PackageError(f"{needs} (only root can)")
        print(f"installing {' '.join(packages)} (apt-get)", file=sys.stderr, flush=True)
        with _no_system_services():
            apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
            for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
                done = subprocess.run(
                    [*apt, *step],
                    env={**system_environment(), "DEBIAN_FRONTEND": "noninteractive"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                if done.returncode != 0:
                    raise PackageError(f"apt-get {step[0]} failed:\n{done.stdout.strip()}")


@contextlib.contextmanager
def _no_system_services() -> Iterator[None]:
    """Keep packages from starting their daemons."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
