"""Whether two identities are of one incarnation of a table, for each kind of database.

It takes no driver, for a host behind a relay has none, and is asked of the identities that a relay
has told as well, which leave out where the database is.
"""

from __future__ import annotations

import re

MYSQL = re.compile(r"(.* server \d+) table of (\S+)(?: number (.+))?")
"""The server, the time of the table's creation, and its second mark, if that shows."""
_DATABASE = re.compile(r" database \d+(?= table \d+ collation \d+$)")
"""In PostgreSQL. A copy of a database by a template has tables of the same numbers."""


def same_table(kind: str, before: str, now: str, *, watched: bool) -> bool:
    """Whether two identities are of one incarnation of the table.

    In MySQL and MariaDB either mark will do. The second one alone is enough only where the table
    was watched: an older copy of the server's directory has the same numbers. A ledger of the
    release before has the first mark only, and for PostgreSQL no number of the database.

    Args:
        kind: of the database: ``sqlite``, ``postgresql`` or ``mysql``.
        before: of an earlier answer.
        now: of this one.
        watched: no more than a minute lies between them.
    """
    if kind == "postgresql":
        return before in (now, _DATABASE.sub("", now))
    old, new = (MYSQL.fullmatch(identity) for identity in (before, now))
    if kind != "mysql" or before == now or not old or not new or old[1] != new[1]:
        return before == now
    return old[2] == new[2] or (watched and old[3] is not None and old[3] == new[3])
