"""Whether a MySQL or MariaDB server is the origin of its rows.

A replica that lags, or whose applier stands still, answers "no such row" of what is alive, and need
not be ``read_only``. So whoever has a *source* may be behind it: running or stopped, one of several
or the only one. Showing the sources takes a right of its own. Without it MySQL tells nothing, and
MariaDB lets everybody see whether it has ever been a replica; it may have been promoted since.

In a cluster that replicates by itself, Galera or MySQL's Group Replication, every member is an
origin, but may not have applied yet what another has committed. There each connection waits for it
before it reads (see :func:`prepare`), and a member that is cut off gives no answer.

All this is sent as one text with the question for the rows, so that nothing in between can ask one
server who it is and another one for its rows. The sources come first: who was the origin then has
all that was committed until then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import pymysql

from listener.databases.base import CURRENT, Behind
from listener.databases.server import Result

_SETTINGS = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION wsrep_sync_wait = 1, wsrep_dirty_reads = OFF",
    "SET SESSION group_replication_consistency = 'BEFORE'",
)
"""No read is of an old snapshot; and what makes reads wait: in Galera, and in Group Replication."""


class _Server(NamedTuple):
    """A kind of server.

    Attributes:
        sources: shows them.
        right: what that takes.
        traces: whether the server may have a source by all that an account sees without that
            right.
    """

    sources: str
    right: str
    traces: str


_REPLICATED = """
    @@global.gtid_slave_pos <> '' OR EXISTS (
        SELECT * FROM information_schema.global_status
        WHERE variable_name IN ('SLAVE_HEARTBEAT_PERIOD', 'SLAVES_RUNNING') AND variable_value > 0
    )
"""
"""The position is empty until something was applied, and stays so where the source is MySQL."""
_SERVERS = (
    _Server("SHOW ALL SLAVES STATUS", "SLAVE MONITOR", _REPLICATED),
    _Server("SHOW REPLICA STATUS", "REPLICATION CLIENT", "TRUE"),
    _Server("SHOW SLAVE STATUS", "REPLICATION CLIENT", "TRUE"),
)
"""MariaDB, MySQL from 8.0.22 on, and MySQL before; to each, what comes before it is no SQL."""
_OWN_CHANNELS = "group_replication_"
"""How the channels begin by which the members of a group replicate: they lead to no origin."""
_RENEWED = 10.0
"""Seconds after which a connection is given up for which the right was missing: a grant concerns
new ones only."""
_SYNTAX, _UNKNOWN_VARIABLE, ACCESS_DENIED = 1064, 1193, 1227
"""The numbers of ER_PARSE_ERROR, ER_UNKNOWN_SYSTEM_VARIABLE, ER_SPECIFIC_ACCESS_DENIED_ERROR."""


def prepare(connection: pymysql.Connection[Any]) -> None:
    """Let each statement of this connection see all that its server or cluster has committed.

    Raises:
        pymysql.Error: the server does not let us.
    """
    with connection.cursor() as cursor:
        for statement in _SETTINGS:
            try:
                cursor.execute(statement)
            except pymysql.Error as error:
                if error.args[:1] != (_UNKNOWN_VARIABLE,):  # it knows no such cluster
                    raise


class Origin:
    """Whether a server is the origin of its rows, as far as it shows that on one connection.

    A replica of MySQL may apply changes in another order than its source, and one of several
    sources mixes theirs.

    Args:
        known: what was found out on this connection; kept with it.
    """

    def __init__(self, known: MutableMapping[str, Any]) -> None:
        self._known = known
        self._server = _SERVERS[known.setdefault("server", 0)]
        self._in_order = known["server"] == 0

    @property
    def before(self) -> Sequence[str]:
        """The statement to be sent before the question for the rows, if any."""
        return () if "refused_at" in self._known else (self._server.sources,)

    @property
    def traces(self) -> str:
        """What to select with the rows."""
        return self._server.traces if "refused_at" in self._known else "FALSE"

    @property
    def is_outdated(self) -> bool:
        """Whether the account may have been granted the right since the connection was made."""
        return bool(time.monotonic() - self._known.get("refused_at", math.inf) > _RENEWED)

    def learn(self, error: pymysql.Error) -> bool:
        """Whether an error told that something else has to be sent."""
        number = error.args[0] if error.args else 0
        if number == ACCESS_DENIED and "refused_at" not in self._known:
            self._known["refused_at"] = time.monotonic()
        elif number == _SYNTAX and self._server is not _SERVERS[-1]:
            self._known["server"] += 1
        else:
            return False
        return True

    def behind(self, shown: Sequence[Result], account: str, *, may_be: bool) -> Behind:
        """What follows from the answers.

        Args:
            shown: what came of :attr:`before`.
            account: ours, as CURRENT_USER() tells it.
            may_be: what came of :attr:`traces`.
        """
        if shown:
            ((columns, rows),) = shown
            sources = (dict(zip(columns, row, strict=True)) for row in rows)
            return _replica_of([*_addresses(sources)], in_order=self._in_order)
        if not may_be:
            return CURRENT
        grant = f"GRANT {self._server.right} ON *.* TO {quoted(account)}"
        why = f"does not show this account whether it is a replica; run {grant}"
        return Behind(why, in_order=self._in_order)


def _addresses(sources: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Of what it replicates from, whether it does so just now or not."""
    for row in sources:
        if not row.get("Channel_Name", "").startswith(_OWN_CHANNELS):
            host = row.get("Source_Host") or row.get("Master_Host")
            yield f"{host}:{row.get('Source_Port') or row.get('Master_Port')}"


def _replica_of(sources: Collection[str], *, in_order: bool) -> Behind:
    if not sources:
        return CURRENT
    return Behind(
        f"is a replica of {' and '.join(sources)}, and may be behind; give the URL of the server"
        " where its rows are written, or run RESET REPLICA ALL if it has been promoted",
        in_order=in_order and len(sources) == 1,
    )


def quoted(account: str) -> str:
    """An account as CURRENT_USER() tells it, in the form that statements take."""
    user, _, host = account.rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))
