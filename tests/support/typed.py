"""A page of the documentation, typed into a shell from its first line to its last.

What a command prints is what the page shows below it. There `…` is anything within a line, and
alone on a line any number of lines. A command is repeated until it prints that and succeeds, as by
a reader who is too early.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.documentation.pages import Page
from tests.support.process import environment, eventually


def typed(path: Path) -> list[tuple[str, str]]:
    """What a page has its reader type, each with what is shown below it."""
    console = [text for kind, text in Page(path).blocks if kind == "console"]
    return re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", "".join(console), re.MULTILINE)


def install(folder: Path) -> None:
    """Put the command where a PATH that names this folder finds it."""
    command = folder / "topology-reaper"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m listener "$@"\n')
    command.chmod(0o755)


class Shell(AbstractContextManager["Shell"]):
    """A bash that types what it is given, in this folder.

    Args:
        folder: where it begins.
        variables: in its environment.
        within: a command that runs it.
    """

    def __init__(self, folder: Path, variables: dict[str, str], within: Sequence[str] = ()) -> None:
        self._bash = subprocess.Popen(
            [*within, "bash"],
            cwd=folder,
            env={**environment(), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, line: str, shown: str) -> str:
        """Type a line until it succeeds and prints what is shown; returns what it printed."""
        printed = ""

        def fits() -> bool:
            nonlocal printed
            printed = self._type(line)
            return re.fullmatch(pattern(shown), printed) is not None

        eventually(fits, f"{line} shows {shown}")
        return printed

    def _type(self, line: str) -> str:
        """What it printed, and its exit status unless that is 0."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{line}\necho $'\\x04'$?\n")
        self._bash.stdin.flush()
        printed = ""
        while not (read := self._bash.stdout.readline()).startswith("\x04"):
            assert read, f"the shell ended after {line}: {printed}"
            printed += read
        printed += f"exit status {status}" if (status := int(read[1:])) else ""
        print(f"$ {line}\n{printed}")  # for who sees the test fail
        return printed

    def __exit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write("kill -KILL $(jobs -p)\n")
        self._bash.stdin.close()
        self._bash.stdout.read()
        self._bash.stdout.close()
        self._bash.wait()


def pattern(shown: str) -> str:
    """What fits all that a page's block stands for."""
    return "".join(
        "(?:.*\n)*" if line == "…\n" else re.escape(line).replace("…", ".*")
        for line in shown.splitlines(keepends=True)
    )
