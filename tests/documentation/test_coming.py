"""Nothing is excused any longer than it has to be."""

from .coming import COMMANDS, OPTIONS
from .leaves import leaves


def test_something_is_still_to_come() -> None:
    commands = dict(leaves())
    options = {
        flag for command in commands.values() for param in command.params for flag in param.opts
    }
    there = COMMANDS <= commands.keys() and OPTIONS <= options
    assert not there, "remove coming.py, this test, and where it is imported"
