"""What a MySQL or MariaDB server has to be like so that its binary log tells of deletions.

It has to log each row as it is, of a plain table, and let our account read the log. If it applies
what is written on its source, it has to log that too; MariaDB does not by default. What is missing
is raised as :class:`~listener.errors.PushUnavailable`, with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import pymysql
import sqlalchemy as sa

from listener.databases.base import TABLE, Reading
from listener.databases.mysql.origin import quoted
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer, PushUnavailable

_GRANT = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {}"
"""What a reader of the log needs; MariaDB calls the second one BINLOG MONITOR."""
_COST = "note that the server then sends every listener all that it writes"

_ACCESS_DENIED = 1227
"""ER_SPECIFIC_ACCESS_DENIED_ERROR: a right is missing, not the password."""
_NEEDED = {
    "log_bin": ("ON", "keeps no binary log; start it with --log-bin"),
    "binlog_format": ("ROW", "does not log rows; set binlog_format = ROW"),
    "log_bin_compress": ("OFF", "compresses its log; set log_bin_compress = OFF"),
    "binlog_transaction_compression": (
        "OFF",
        "compresses its log; set binlog_transaction_compression = OFF",
    ),
    "binlog_row_value_options": ("", "logs parts of values; set binlog_row_value_options = ''"),
    "read_only": ("OFF", "is a replica, whose log need not have everything"),
}
"""By variable, where the server has it: the value it takes, and what another one means."""
_LOGS_APPLIED = ("log_replica_updates", "log_slave_updates")
"""Whether what comes from a source stands in the log, as MySQL and MariaDB call it. What the others
of a cluster write does without it in Galera (MariaDB 10.11); Group Replication requires it."""
_KIND = sa.text(
    "SELECT table_type FROM information_schema.tables"
    " WHERE table_schema = :schema AND table_name = :name"
)
_POSITIONS = sa.text(
    "SELECT column_name, ordinal_position, data_type LIKE '%char' OR data_type LIKE '%text'"
    " FROM information_schema.columns"
    " WHERE table_schema = :schema AND table_name = :name AND column_name IN ('id', 'status')"
)


def check_variables(database: ServerTopologies, reading: Reading) -> None:
    """See that the server logs rows as they are, and those from its source too.

    Raises:
        PushUnavailable: it does not.
        sqlalchemy.exc.DBAPIError: it does not answer.
    """
    names = ", ".join(f"'{name}'" for name in (*_NEEDED, *_LOGS_APPLIED))
    found = reading.connection.execute(
        sa.text(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    )
    values = {name.lower(): value.upper() for name, value in found}
    for name, (needed, otherwise) in _NEEDED.items():
        if values.get(name, needed) != needed:
            raise _unavailable(database, otherwise)
    unlogged = next((name for name in _LOGS_APPLIED if values.get(name) == "OFF"), None)
    if unlogged and reading.behind:
        applies, *others = reading.behind.why.split("; ")
        remedy = ", or ".join([f"start it with --{unlogged.replace('_', '-')}", *others])
        raise _unavailable(database, f"does not log what it applies, and {applies}; {remedy}")


class Positions(NamedTuple):
    """Places among the columns, counted from 0.

    Attributes:
        key: of the id.
        status: None where there is no such column, this account may not read it, or it is opaque.
        opaque: the status is no text, and so is not spelt out in the log, as that of an ENUM.
    """

    key: int
    status: int | None
    opaque: bool


def positions(database: ServerTopologies, reading: Reading) -> Positions:
    """Where the key and the status are.

    Raises:
        PushUnavailable: it is no table whose rows are logged as they come.
    """
    schema = {"schema": reading.table.schema, "name": TABLE}
    kind = reading.connection.scalar(_KIND, schema)
    if kind != "BASE TABLE":
        raise _unavailable(database, f"has a {str(kind).lower()} named {TABLE}, which is no table")
    found = reading.connection.execute(_POSITIONS, schema)
    columns = {str(name).lower(): (int(place) - 1, bool(text)) for name, place, text in found}
    key, _ = columns.get("id", (0, True))
    status, is_text = columns.get("status", (None, True))
    return Positions(key, status if is_text else None, opaque=not is_text)


def end_of_log(database: ServerTopologies, schema: str) -> tuple[str, int]:
    """The file and the position in it to which the server has written.

    Raises:
        PushUnavailable: it keeps no log, or leaves this schema out.
        pymysql.Error: it cannot be reached, or refuses.
    """
    # Not a pooled connection: for MariaDB, a grant concerns new ones only.
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SHOW MASTER STATUS")
        except pymysql.err.ProgrammingError:  # what MySQL calls it from 8.4 on
            cursor.execute("SHOW BINARY LOG STATUS")
        row = cursor.fetchone()
    if row is None:
        raise _unavailable(database, "keeps no binary log; start it with --log-bin")
    file, position, only, ignored, *_ = row
    if (only and schema not in only.split(",")) or schema in ignored.split(","):
        raise _unavailable(
            database,
            f"leaves {schema} out of its log; change its binlog_do_db and binlog_ignore_db",
        )
    return str(file), int(position)


@contextmanager
def refusals(database: ServerTopologies, account: str) -> Iterator[None]:
    """Whatever the server answers to a request for its log comes out as PushUnavailable.

    It has just answered a question, so it is there.

    Args:
        database: on the server.
        account: ours, as CURRENT_USER() tells it.
    """
    try:
        yield
    except (NoAnswer, pymysql.Error) as error:
        cause = error.__cause__ if isinstance(error, NoAnswer) else error
        if not isinstance(cause, pymysql.Error):
            raise _unavailable(database, "does not send its log") from error
        if cause.args[:1] != (_ACCESS_DENIED,):
            raise database.push_unavailable(cause) from error
        grant = _GRANT.format(quoted(account))
        raise _unavailable(
            database, f"does not let this account read its binary log; run {grant}"
        ) from error


def _unavailable(database: ServerTopologies, why: str) -> PushUnavailable:
    return database.push_unavailable(f"{why} ({_COST})")
