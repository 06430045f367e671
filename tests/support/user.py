"""A one-shot command as another user than root, who may not be able to read our interpreter."""

from __future__ import annotations

import subprocess
import sys

from tests.support.process import PATIENCE, environment

# What is imported late by itself would be out of that user's reach.
_BECOME = """
import encodings.idna, os, sys
import listener.database.mysql, listener.database.postgres
import sqlalchemy as sa
for driver in ("postgresql+psycopg", "mysql+pymysql"):
    sa.create_engine(driver + "://host/name")
from listener.cli import main
user, group = map(int, sys.argv[1:3])
del sys.argv[1:3]
os.setgroups([])
os.setgid(group)
os.setuid(user)
main()
"""


def call_as(user: int, *arguments: str, group: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it to its end.

    Args:
        user: the uid.
        arguments: of the command.
        group: the gid, and no other; the user's own without it.
    """
    who = (str(user), str(group or user))
    return subprocess.run(
        [sys.executable, "-c", _BECOME, *who, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
