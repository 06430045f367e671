"""Nothing is excused any longer than it has to be."""

from listener.cli import commands

from .coming import COMMANDS, METRICS
from .pages import TREE


def test_something_is_still_to_come() -> None:
    there = commands.commands.keys() >= COMMANDS and (TREE / METRICS).exists()
    assert not there, "remove coming.py, this test, and where it is imported"
