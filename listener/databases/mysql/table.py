"""Topologies in MySQL or MariaDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa

from listener.databases.base import TABLE, Behind, Reading
from listener.databases.feed import Feed, Interest
from listener.databases.mysql.feed import BinlogFeed
from listener.databases.mysql.origin import behind, make_causal, quoted
from listener.databases.server import CONNECT_TIMEOUT, READ_TIMEOUT, ServerTopologies, TableIdentity

YOUNG = 1.1
"""Seconds within which another table may get the same time of creation: it is told in whole ones,
and a file system's clock lags by some milliseconds."""
NEEDED = (
    *("USAGE", "SELECT", "REPLICATION SLAVE", "REPLICATION CLIENT"),
    *("BINLOG MONITOR", "SLAVE MONITOR"),
)
"""The rights that are needed, as information_schema calls them; the last two are MariaDB's."""
NAMED = 4
"""How many rights too many are named."""


class MysqlTopologies(ServerTopologies):
    """The table in MySQL or MariaDB."""

    push_takes = "takes no triggers, but settings and rights; topology-reaper feed sql prints them"
    needs = "has SELECT, REPLICATION SLAVE, REPLICATION CLIENT and, in MariaDB, SLAVE MONITOR"
    proves: ClassVar[Mapping[str, str]] = {
        aspect: holds
        for aspect, holds in ServerTopologies.proves.items()
        if aspect != "row-security"  # there is none
    }

    connect_arguments: ClassVar[Mapping[str, object]] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
    }

    _IDENTITY = sa.text(
        """
        SELECT table_schema, table_type, UNIX_TIMESTAMP(create_time),
               UNIX_TIMESTAMP(SYSDATE(6)) - UNIX_TIMESTAMP(create_time) BETWEEN 0 AND :young,
               @@global.read_only, @@global.innodb_read_only, @@global.server_id
        FROM information_schema.tables
        WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name
        """
    )

    _HEX = "hex"
    _NOW = sa.text("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
    _RIGHTS = sa.text(
        """
        SELECT privilege_type FROM (
            SELECT grantee, privilege_type FROM information_schema.user_privileges
            UNION SELECT grantee, privilege_type FROM information_schema.schema_privileges
            UNION SELECT grantee, privilege_type FROM information_schema.table_privileges
        ) AS granted
        WHERE grantee = :grantee AND privilege_type NOT IN :needed
        ORDER BY privilege_type
        """
    ).bindparams(sa.bindparam("needed", expanding=True))

    def _identify(self, connection: sa.Connection, schema: str | None) -> TableIdentity:
        parameters = {"schema": schema, "name": TABLE, "young": YOUNG}
        row = connection.execute(self._IDENTITY, parameters).one_or_none()
        if row is None:
            raise self.no_table()
        found, kind, created, is_new, *read_only, server = row
        if kind.endswith("VIEW"):
            raise self._view()
        return TableIdentity(
            found,
            f"server {server} table of {created}",
            too_new=bool(is_new),
            replica=any(str(value).upper() not in ("0", "OFF") for value in read_only),
        )

    def _behind(self, connection: sa.Connection, identity: TableIdentity) -> Behind:  # noqa: ARG002
        return behind(connection)

    def remedy(self, said: str) -> str:
        """What a driver's words mean, as a predicate."""
        if said.startswith("WSREP has not yet prepared"):
            return (
                "is a node of a Galera cluster that is cut off from it, or not ready;"
                f" give the URL of one that is in its primary component ({said})"
            )
        return super().remedy(said)

    def _beyond_need(self, reading: Reading) -> tuple[str, str]:
        # What comes from a role does not show here.
        account = reading.connection.scalar(sa.text("SELECT CURRENT_USER()"))
        parameters = {"grantee": quoted(account), "needed": NEEDED}
        rights = reading.connection.scalars(self._RIGHTS, parameters).all()
        more = f" and {len(rights) - NAMED} more" if len(rights) > NAMED else ""
        return account, f"may {', '.join(rights[:NAMED])}{more}" if rights else ""

    def push(
        self,
        *,
        look_every: float,  # noqa: ARG002
        check_every: float,
        interest: Interest | None = None,  # noqa: ARG002
    ) -> Feed:
        """The feed of the binary log."""
        return BinlogFeed(self, check_every)

    def push_sql(self) -> str:
        """The settings and rights that the binary log takes."""
        return self.script("rights.sql")

    def connect(self) -> pymysql.Connection[Any]:
        """A new connection of the driver's own, in which no read is behind the server's cluster.

        Raises:
            pymysql.Error: the server cannot be reached, or refuses.
        """
        connection = pymysql.connect(**self.connect_parameters())
        try:
            make_causal(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_parameters(self) -> dict[str, Any]:
        """What the driver is told for a new connection."""
        given = super().connect_parameters()
        if isinstance(given.get("password"), str):
            given["password"] = given["password"].encode()  # the driver itself would take Latin-1
        return given
