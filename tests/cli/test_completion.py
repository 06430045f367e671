"""The TAB key: what a shell is offered, by the very lines that the documentation gives."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, shell_complete

from listener.cli import commands

NAME, VARIABLE = "topology-reaper", "_TOPOLOGY_REAPER_COMPLETE"
DEPLOYMENT = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
PROMPT = """
press_tab() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _topology_reaper_completion topology-reaper
    echo "${COMPREPLY[*]}"
}
"""


def line_for(shell: str) -> str:
    """What is to be put into the shell's own file."""
    (line,) = re.findall(rf"^\| {shell}\b.*\| `([^`]*_COMPLETE=[^`]*)` \|$", DEPLOYMENT, re.M)
    return str(line)


def offered(*words: str) -> list[tuple[str, str]]:
    """What a shell is offered for the last of these words, and how it is to take it."""
    *before, begun = words
    items = BashComplete(commands, {}, NAME, VARIABLE).get_completions(before, begun)
    return [(item.type, item.value) for item in items]


def test_bash_completes_commands_options_and_values() -> None:
    presses = ["sw", "run --feed p"]
    script = [line_for("bash"), PROMPT, *(f"press_tab {NAME} {words}" for words in presses)]
    path = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join([*script, f"complete -p {NAME}"])],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *found, registered = done.stdout.splitlines()
    assert found == ["sweep", "push poll"]
    assert registered.endswith(f"-F _topology_reaper_completion {NAME}")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_shell_is_given_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    (variable, instruction) = re.findall(rf"(\w+)=(\w+) {NAME}", line_for(shell))[0]
    assert (variable, instruction) == (VARIABLE, f"{shell}_source")
    assert shell_complete(commands, {}, NAME, variable, instruction) == 0
    assert f"{VARIABLE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["feed", "un"], [("plain", "uninstall")]),
        (["run", "--feed", ""], [("plain", word) for word in ("auto", "push", "poll")]),
        (["run", "--database-url-file", "/e"], [("file", "/e")]),
        (["run", "--state-dir", "/v"], [("dir", "/v")]),
        (["run", "--grace", ""], []),
    ],
)
def test_what_is_offered(words: list[str], found: list[tuple[str, str]]) -> None:
    assert offered(*words) == found
