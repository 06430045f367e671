"""A base image for the Dockerfile where no registry is reachable: Debian with Python, made here.

debootstrap makes a minimal system of this machine's own release from the mirror that apt uses; what
an image does not need is taken out, and the rest is imported into the engine of `DOCKER_HOST`. The
archive is kept in the user's folder for caches, for making it takes a minute.

    python local_base.py topology-reaper-base:local
    make image BASE_IMAGE=topology-reaper-base:local
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from debian_packages import PackageError, ensure, system_environment, which

RELEASE = platform.freedesktop_os_release()["VERSION_CODENAME"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ARCHIVE = CACHE / "topology-reaper" / f"base-{RELEASE}.tar"
PACKAGES = "python3,python3-venv,ca-certificates"
NEEDLESS = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"),
    *("var/cache/apt", "var/lib/apt/lists", "var/log"),
)


def make(archive: Path = ARCHIVE) -> Path:
    """Make the archive unless it is there.

    Raises:
        PackageError: debootstrap is missing or fails.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # side by side: one makes it, the others wait
        if not archive.exists():
            if os.geteuid() != 0:
                raise PackageError("a base image is made as root")
            ensure({"debootstrap": "debootstrap"}, "a base image")
            print("making a base image (debootstrap)", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="base-") as folder:
                _bootstrap(Path(folder), archive)
    return archive


def _bootstrap(root: Path, archive: Path) -> None:
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, root, mirror())
    for path in NEEDLESS:
        run("find", root / path, "-mindepth", "1", "-delete")
    unfinished = archive.with_suffix(".part")
    run("tar", "-C", root, "--exclude=./dev/*", "--sort=name", "-cf", unfinished, ".")
    unfinished.rename(archive)


def mirror() -> str:
    """Where apt itself gets this release from, which has the others as well."""
    wanted = ("Created-By: Packages", "Label: Debian")
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not found:
        raise PackageError("apt has no lists of Debian's packages: run apt-get update first")
    return found[0]


def run(program: str, *arguments: str | Path) -> str:
    """What it printed.

    Raises:
        PackageError: it failed.
    """
    done = subprocess.run(
        [which(program) or program, *arguments],
        env=system_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise PackageError(f"{program} failed: {done.stdout[-1000:]}")
    return done.stdout


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tag", nargs="?", default="topology-reaper-base:local")
    options = parser.parse_args()
    try:
        archive = make()
    except PackageError as error:
        print(f"local_base: {error}", file=sys.stderr)
        return 3
    return subprocess.run(["docker", "import", archive, options.tag]).returncode


if __name__ == "__main__":
    sys.exit(main())
