"""The command in a clean environment: in this process, or in its own where that matters."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from unittest.mock import patch

from loguru import logger

from listener.cli import main

DEADLINE = 60.0
"""Seconds after which what was awaited has failed."""
SECRET = "s3cret"
"""The password of every URL here; no output ever holds it."""

_CONFINED = f"""
import ctypes, os, sys
prctl = ctypes.CDLL(None).prctl
for capability in range(64):
    prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv({sys.executable!r}, [{sys.executable!r}, "-m", "listener", *sys.argv[1:]])
"""
"""Even root obeys the permissions of files without capabilities, yet still owns its interpreter."""
_STRANGER = """
import os, sys
from listener.cli import load, main
load(sys.argv[1])
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
main()
"""
"""A user that no passwd file knows. The interpreter may be out of its reach: import first."""


@dataclass(frozen=True)
class Call:
    """What is typed, and round it: the environment and who types."""

    args: tuple[str, ...]
    env: Mapping[str, str]
    names: Sequence[str] = ()
    confined: bool = False
    stranger: bool = False


@dataclass(frozen=True)
class Result:
    """What came of it."""

    call: Call
    status: int
    out: str
    err: str


def call(
    *args: object,
    env: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    confined: bool = False,
    stranger: bool = False,
) -> Call:
    """A call of the command with these arguments, and the words that a refusal must hold."""
    return Call(tuple(map(str, args)), env or {}, names, confined, stranger)


class Command:
    """The command in a working folder of its own.

    Args:
        folder: where it runs, and nothing may appear that was not asked for.
        cache: where the interpreter keeps compiled modules.

    It asks once unless it is told a timeout.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._clean = {
            "PATH": os.defpath,
            "PYTHONPYCACHEPREFIX": str(cache),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "REAPER_TIMEOUT": "0",
            "REAPER_STATE_DIR": str(cache / f"state-{folder.name}"),
        }

    def __call__(self, *args: object, env: Mapping[str, str] | None = None) -> Result:
        """Run it to its end, in this process."""
        with _left_open_is_closed():
            return self._here(call(*args, env=env))

    def refuse(self, status: int, *calls: Call, names: str | Sequence[str] = ()) -> list[str]:
        """Run some; each says one sentence with these words, and leaves nothing behind."""
        before = self.files()
        words = [names] if isinstance(names, str) else names
        with _left_open_is_closed():
            results = [
                self._process(each) if each.confined or each.stranger else self._here(each)
                for each in calls
            ]
        flaws = [
            flaw
            for result in results
            for flaw in _flaws(result, status, [*words, *result.call.names])
        ]
        assert not flaws, "\n".join(flaws)
        assert self.files() == before
        return [result.err for result in results]

    def start(self, *args: object) -> Running:
        """Start it as a process, to go on."""
        env = self._clean | {"REAPER_HTTP": "off"}
        command = [sys.executable, "-m", "listener", *map(str, args)]
        return Running(command, self.folder, env)

    def files(self) -> dict[str, int]:
        """Whatever is in the folder, with its size.

        A reader of a database in WAL mode that nobody else has open leaves what SQLite makes
        beside it, without content: it may not remove what a writer could need.
        """
        found = (Path(top, name) for top, _, names in os.walk(self.folder) for name in names)
        sizes = {str(path): path.lstat().st_size for path in found}
        return {
            path: size
            for path, size in sizes.items()
            if path.removesuffix("-shm") not in sizes.keys() - {path}
            and not (path.removesuffix("-wal") in sizes.keys() - {path} and size == 0)
        }

    def _here(self, what: Call) -> Result:
        out, err, status = io.StringIO(), io.StringIO(), -1
        with (
            patch.dict(os.environ, {**self._clean, **what.env}, clear=True),
            patch.object(sys, "argv", ["topology-reaper", *what.args]),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                status = int(ended.code or 0)
        logger.remove()
        return Result(what, status, out.getvalue(), err.getvalue())

    def _process(self, what: Call) -> Result:
        script = _CONFINED if what.confined else _STRANGER
        ended = subprocess.run(
            [sys.executable, "-c", script, *what.args],
            cwd=self.folder,
            env={**self._clean, **what.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return Result(what, ended.returncode, ended.stdout, ended.stderr)


@contextlib.contextmanager
def _left_open_is_closed() -> Iterator[None]:
    """Close what a command leaves open, as the end of its process would."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        yield
        gc.collect()


def is_sentence(err: str) -> bool:
    """Whether this is one sentence on one line, as the command says what is wrong."""
    return bool(re.fullmatch(r"topology-reaper: [^\n]+\n", err)) and not _TRACE.search(err)


_TRACE = re.compile(r"Traceback|Errno|Error\(|<class| at 0x|sqlalche\.me")


def _flaws(result: Result, status: int, words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the way in which a call was refused, if anything."""
    said = f"{result.call}: status {result.status}, printed {result.out!r}, said {result.err!r}"
    if result.status != status:
        yield f"not status {status}: {said}"
    elif result.out:
        yield f"something printed: {said}"
    elif not is_sentence(result.err):
        yield f"not one sentence: {said}"
    elif SECRET in result.err:
        yield f"a password: {said}"
    elif missing := [word for word in words if word not in result.err]:
        yield f"{missing} not named: {said}"


class Running:
    """A command that goes on until it is told to end."""

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def await_line(self, *words: str) -> None:
        """Wait for a line with all of these words."""

        def said() -> bool:
            return bool(self.with_words(*words)) or self._process.poll() is not None

        with self._said:
            assert self._said.wait_for(said, DEADLINE), (words, self.lines)
        assert self.with_words(*words), (words, self.lines)

    def with_words(self, *words: str) -> list[str]:
        """The lines so far that hold all of these words."""
        return [line for line in self.lines if all(word in line for word in words)]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        """Send it a signal to end; its status, with all lines read and nothing printed."""
        self.send(number)
        status = self._process.wait(DEADLINE)
        self._reader.join()
        assert self._process.stdout is not None
        assert self._process.stdout.read() == ""
        assert SECRET not in "".join(self.lines)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()
        with self._said:
            self._said.notify_all()


Prepare = Callable[[Path], object]
"""Puts something at a path."""
