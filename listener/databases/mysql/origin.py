"""Whether a MySQL or MariaDB server is the origin of its rows.

A replica that lags, or whose applier stands still, answers "no such row" of what is alive, and need
not be ``read_only``. So whoever has a *source* may be behind it: running or stopped, one of several
or the only one. Showing the sources takes a right of its own. Without it MySQL tells nothing, and
MariaDB lets everybody see whether it has ever been a replica; it may have been promoted since.

In a cluster that replicates by itself, Galera or MySQL's Group Replication, every member is an
origin, but may not have applied yet what another has committed. There each connection waits for it
before it reads (see :func:`make_causal`), and a member that is cut off gives no answer.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, NamedTuple

import pymysql
import sqlalchemy as sa

from listener.databases.base import CURRENT, Behind

_CAUSAL = (
    "SET SESSION wsrep_sync_wait = 1, wsrep_dirty_reads = OFF",
    "SET SESSION group_replication_consistency = 'BEFORE'",
)
"""What makes reads wait: in Galera, and in Group Replication."""


class _Server(NamedTuple):
    """A kind of server.

    Attributes:
        sources: shows them.
        right: what that takes.
        traces: asks for the account, and whether the server may have a source by all that an
            account sees without that right.
    """

    sources: str
    right: str
    traces: str


_REPLICATED = """
    SELECT CURRENT_USER(), @@global.gtid_slave_pos <> '' OR EXISTS (
        SELECT * FROM information_schema.global_status
        WHERE variable_name IN ('SLAVE_HEARTBEAT_PERIOD', 'SLAVES_RUNNING') AND variable_value > 0
    )
"""
"""The position is empty until something was applied, and stays so where the source is MySQL."""
_SERVERS = (
    _Server("SHOW ALL SLAVES STATUS", "SLAVE MONITOR", _REPLICATED),
    _Server("SHOW REPLICA STATUS", "REPLICATION CLIENT", "SELECT CURRENT_USER(), TRUE"),
    _Server("SHOW SLAVE STATUS", "REPLICATION CLIENT", "SELECT CURRENT_USER(), TRUE"),
)
"""MariaDB, MySQL from 8.0.22 on, and MySQL before; to each, what comes before it is no SQL."""
_OWN_CHANNELS = "group_replication_"
"""How the channels begin by which the members of a group replicate: they lead to no origin."""
_RENEWED = 10.0
"""Seconds after which a connection is given up for which the right was missing: a grant concerns
new ones only."""
_SYNTAX, _UNKNOWN_VARIABLE, ACCESS_DENIED = 1064, 1193, 1227
"""The numbers of ER_PARSE_ERROR, ER_UNKNOWN_SYSTEM_VARIABLE, ER_SPECIFIC_ACCESS_DENIED_ERROR."""


def make_causal(connection: pymysql.Connection[Any]) -> None:
    """Let each transaction of this connection wait for what its cluster has committed before.

    Raises:
        pymysql.Error: the server does not let us.
    """
    with connection.cursor() as cursor:
        for statement in _CAUSAL:
            try:
                cursor.execute(statement)
            except pymysql.Error as error:
                if error.args[:1] != (_UNKNOWN_VARIABLE,):  # it knows no such cluster
                    raise


def behind(connection: sa.Connection) -> Behind:
    """Whether the server may be behind the origin of its rows.

    A replica of MySQL may apply changes in another order than its source, and one of several
    sources mixes theirs. Takes one statement, and one more each time that something is found
    out of a new connection.

    Raises:
        sqlalchemy.exc.DBAPIError: the server does not answer.
    """
    known = connection.info
    refused_at = known.get("refused_at")
    if refused_at is None:
        try:
            return _replica_of(_sources(connection), in_order=known["server"] == 0)
        except sa.exc.DBAPIError as error:
            if number_of(error) != ACCESS_DENIED:
                raise
        known["refused_at"] = time.monotonic()
    server = _SERVERS[known["server"]]
    account, may_be = connection.execute(sa.text(server.traces)).one()
    if refused_at is not None and time.monotonic() - refused_at > _RENEWED:
        connection.detach()
    if not may_be:
        return CURRENT
    grant = f"GRANT {server.right} ON *.* TO {quoted(account)}"
    why = f"does not show this account whether it is a replica; run {grant}"
    return Behind(why, in_order=known["server"] == 0)


def _sources(connection: sa.Connection) -> list[str]:
    """What it replicates from, whether it does so just now or not."""
    number = connection.info.setdefault("server", 0)
    try:
        rows = connection.execute(sa.text(_SERVERS[number].sources)).mappings().all()
    except sa.exc.DBAPIError as error:
        if number_of(error) != _SYNTAX or number + 1 == len(_SERVERS):
            raise
        connection.info["server"] = number + 1
        return _sources(connection)
    return [
        f"{row.get('Source_Host') or row.get('Master_Host')}"
        f":{row.get('Source_Port') or row.get('Master_Port')}"
        for row in rows
        if not row.get("Channel_Name", "").startswith(_OWN_CHANNELS)
    ]


def _replica_of(sources: Collection[str], *, in_order: bool) -> Behind:
    if not sources:
        return CURRENT
    return Behind(
        f"is a replica of {' and '.join(sources)}, and may be behind; give the URL of the server"
        " where its rows are written, or run RESET REPLICA ALL if it has been promoted",
        in_order=in_order and len(sources) == 1,
    )


def number_of(error: sa.exc.DBAPIError) -> int:
    """The server's number of an error."""
    return int(error.orig.args[0]) if error.orig and error.orig.args else 0


def quoted(account: str) -> str:
    """An account as CURRENT_USER() tells it, in the form that statements take."""
    user, _, host = account.rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))
