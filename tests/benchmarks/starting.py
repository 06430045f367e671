"""How soon a listener is ready on a crowded host, and the memory that it has in use when idle.

The start is compared with a process that imports the same modules of other libraries, one after the
other, and lists the host once; the memory with one that imports the four libraries that carry the
listener, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.processes import resident
from tests.benchmarks.samples import ratios
from tests.benchmarks.stage import FIRST, RELAYED, Stage
from tests.support.process import environment

IMPORTED = """
import sys
import listener.cli.run
print(*(name for name in sys.modules if name.partition(".")[0] not in ("listener", "__main__")))
"""
SCRIPT = """
import contextlib, importlib
for name in {names}:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
{then}
print("ready", flush=True)
input()
"""
LISTING = """
import docker
api = docker.APIClient({host!r}, version="auto")
api.containers(all=True), api.networks()
"""
CARRYING = ("docker", "sqlalchemy", "tenacity", "loguru")
"""What the memory is compared with."""
SETTLED = 5.0
"""Seconds that a listener is given after its start."""


def starting(stage: Stage) -> Mapping[str, Measured]:
    """By turns, on a crowded host."""
    assert stage.crowd
    base = _script(stage, "start.py", _imported(), LISTING.format(host=stage.engine.host))
    took: list[float] = []
    imported: list[float] = []
    with stage.source(FIRST) as source:
        for _ in range(stage.size.rounds):
            began = time.monotonic()
            with _process(base):
                imported.append(time.monotonic() - began)
            began = time.monotonic()
            with stage.listener(source) as running:
                took.append(running.ready_at - began)
    return {
        "start.ready": Measured.of(ratios(took, imported)),
        "start.seconds": Measured.of(took),
    }


def remembering(stage: Stage) -> Mapping[str, Measured]:
    """By turns, on an empty host."""
    base = _script(stage, "memory.py", CARRYING)
    memory: list[float] = []
    relayed: list[float] = []
    imported: list[float] = []
    with stage.source(FIRST) as source, stage.source(RELAYED) as behind:
        for _ in range(stage.size.rounds):
            with _process(base) as pid:
                imported.append(resident(pid) / 2**20)
            with stage.listener(source) as one, stage.listener(behind) as other:
                time.sleep(SETTLED)
                memory.append(resident(one.pid) / 2**20)
                relayed.append(resident(other.pid) / 2**20)
    return {
        "memory": Measured.of(ratios(memory, imported)),
        "memory.relayed": Measured.of(ratios(relayed, imported)),
        "memory.listener": Measured.of(memory),
        "memory.imports": Measured.of(imported),
    }


def _imported() -> Sequence[str]:
    """The modules of others that the listener imports."""
    listed = subprocess.run(
        [sys.executable, "-c", IMPORTED], env=environment(), stdout=subprocess.PIPE, check=True
    )
    return listed.stdout.decode().split()


def _script(stage: Stage, name: str, modules: Sequence[str], then: str = "") -> Path:
    """A script that imports these, does the rest, and waits to be killed."""
    path = stage.directory / name
    path.write_text(SCRIPT.format(names=list(modules), then=then))
    return path


@contextmanager
def _process(script: Path) -> Iterator[int]:
    """A process that runs it and is done, but for waiting; its pid."""
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


STARTING = Row(
    "starting",
    [
        Figure("start.ready", "start → ready in a crowd", 1.5, "× imports and a list"),
        Figure("start.seconds", "start → ready in a crowd: seconds", unit="s"),
    ],
    starting,
)
MEMORY = Row(
    "memory",
    [
        Figure("memory", "memory, idle", 1.25, "× the imports of four libraries"),
        Figure("memory.relayed", "memory, idle, behind a relay", 1.4, "× these imports"),
        Figure("memory.listener", "memory, idle: MiB", unit="MiB"),
        Figure("memory.imports", "memory of these imports: MiB", unit="MiB"),
    ],
    remembering,
)
