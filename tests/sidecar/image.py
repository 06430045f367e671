"""The image, made as a user makes it where no registry is reachable, and kept for who asks next.

It is built on an engine of its own by `make image` and saved beside the base that it was made of,
under a name that tells what it was made from: until that changes nobody builds it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from debian_packages import ensure
from private_engine import PrivateEngine

from tests.support.process import environment

ROOT = Path(__file__).parents[2]
IMAGE = "topology-reaper:dev"
BASE = "topology-reaper-base:local"
PYTHON = "/usr/bin/python3"
"""As in the base, which is made of this machine's own release."""
CLIENT = "/usr/bin/docker"
PROGRAMS = {
    CLIENT: "docker.io",
    PYTHON: "python3",
    "/usr/lib/python3*/ensurepip/__init__.py": "python3-venv",
}


def docker(engine: PrivateEngine, *arguments: str) -> str:
    """Run the command line client; returns what it printed."""
    done = call(engine, CLIENT, *arguments)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def call(engine: PrivateEngine, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that finds the engine in its environment."""
    where = {**environment(), "DOCKER_HOST": engine.host}
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True)


def archive() -> Path:
    """Where the image lies, as `docker save` writes it; made if it is not there."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (build / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # side by side: one makes it, the others wait
        ensure(PROGRAMS, "the image")
        path = build / f"image-{_digest()}.tar"
        if not path.exists():
            for outdated in build.glob("image-*.tar"):
                outdated.unlink()
            with PrivateEngine() as engine:
                make(engine)
                unfinished = path.with_suffix(".part")
                docker(engine, "save", "--output", str(unfinished), IMAGE)
                unfinished.rename(path)
    return path


def make(engine: PrivateEngine) -> None:
    """The steps of contrib/scripts/local_base.py and the Makefile."""
    _run(engine, "make", "--silent", "wheels", f"PYTHON={PYTHON}")
    make_base(engine)
    build(engine)


def make_base(engine: PrivateEngine) -> None:
    """The base of the image."""
    _run(engine, sys.executable, "contrib/scripts/local_base.py", BASE)


def build(engine: PrivateEngine, source: Path = ROOT, image: str = IMAGE) -> None:
    """Build the image from the wheels beside its source, on the base."""
    options = (f"BASE_IMAGE={BASE}", f"DOCKER={CLIENT}", f"IMAGE={image}", "OFFLINE=1")
    _run(engine, "make", "--silent", f"--directory={source}", "image", *options)


def inputs() -> Iterator[Path]:
    """The files that make the image what it is, but for the wheels."""
    yield from (path for path in (ROOT / "listener").rglob("*") if path.suffix in (".py", ".sql"))
    yield ROOT / "contrib/scripts/local_base.py"
    for name in ("Dockerfile", ".dockerignore", "Makefile", "hatch_build.py"):
        yield ROOT / name
    yield ROOT / "pyproject.toml"
    yield ROOT / "constraints.txt"


def _run(engine: PrivateEngine, *command: str) -> None:
    done = call(engine, *command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(inputs()):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
