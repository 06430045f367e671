"""Topologies in MySQL or MariaDB.

A table is told from another by its time of creation. In MariaDB that is the time of a file, which
``ALTER TABLE … COMMENT``, or ``chmod`` and a restart, renew. So a second mark is kept beside it,
where the account can see it: InnoDB's number of the table, which the server never gives again, and
when the server's data directory was made, for in another one the numbers begin anew. It is the same
table while either of the two is the same: ``TRUNCATE`` changes the number, and not the time;
``OPTIMIZE`` changes both (measured on 10.11). How far the server has written its log goes with the
mark, for an older copy of a directory would give the same numbers again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import pymysql
import sqlalchemy as sa
from loguru import logger
from pymysql.constants import CLIENT

from listener.databases.base import TABLE, Reading, Row
from listener.databases.identity import MYSQL
from listener.databases.mysql.feed import BinlogFeed
from listener.databases.mysql.origin import ACCESS_DENIED, Origin, prepare, quoted
from listener.databases.server import CONNECT_TIMEOUT, READ_TIMEOUT, ServerTopologies, TableIdentity

YOUNG = 1.1
"""Seconds within which another table may get the same time of creation: it is told in whole ones,
and a file system's clock lags by some milliseconds."""
NEEDED = (
    *("USAGE", "SELECT", "REPLICATION SLAVE", "REPLICATION CLIENT"),
    *("BINLOG MONITOR", "SLAVE MONITOR"),
)
"""The rights that are needed, as information_schema calls them; the last two are MariaDB's."""
BAD_FIELD, COLUMN_ACCESS_DENIED = 1054, 1143
"""The numbers of ER_BAD_FIELD_ERROR and ER_COLUMNACCESS_DENIED_ERROR."""
MARK_EVERY, ASKED_AGAIN = 60.0, 3600.0
"""Seconds after which the mark is looked at again although the time of creation is the same; where
it was denied, by another connection, for a grant concerns new ones only."""
SHOW_MARK = "GRANT PROCESS ON *.*, and GRANT EXECUTE ON FUNCTION sys.version_major, to this account"
NAMED = 4
"""How many rights too many are named."""


class _Mark(NamedTuple):
    """The second mark of a table, empty where it does not show, and how far the log was written.

    The latter is 0 where nobody has just looked.
    """

    text: str = ""
    position: int = 0


class MysqlTopologies(ServerTopologies):
    """The table in MySQL or MariaDB."""

    kind = "mysql"
    _mark_denied = False

    _FEED = BinlogFeed
    push_takes = "takes no triggers, but settings and rights; topology-reaper feed sql prints them"
    needs = "has SELECT, REPLICATION SLAVE, REPLICATION CLIENT and, in MariaDB, SLAVE MONITOR"
    proves: ClassVar[Mapping[str, str]] = {
        aspect: holds
        for aspect, holds in ServerTopologies.proves.items()
        if aspect != "row-security"  # there is none
    }

    connect_arguments: ClassVar[Mapping[str, Any]] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "autocommit": True,
    }

    _IDENTITY = """
        SELECT table_schema, table_type, UNIX_TIMESTAMP(create_time),
               UNIX_TIMESTAMP(NOW(6)) - UNIX_TIMESTAMP(create_time) BETWEEN 0 AND {young},
               @@global.read_only, @@global.innodb_read_only, @@global.server_id,
               CONCAT(@@global.hostname, ':', @@global.port), CURRENT_USER(), {traces}
        FROM information_schema.tables
        WHERE table_schema = {schema} AND table_name = '{name}'
    """

    # A function of the system shows when the directory was made, for it is never dumped. In a
    # Galera cluster each node numbers its tables by itself.
    _MARK = sa.text(
        """
        SELECT CONCAT(t.table_id, ' of ', UNIX_TIMESTAMP(r.created)), CAST((
            SELECT variable_value FROM information_schema.global_status
            WHERE variable_name = 'INNODB_LSN_FLUSHED'
        ) AS UNSIGNED)
        FROM information_schema.innodb_sys_tables t
        JOIN information_schema.routines r
          ON r.routine_schema = 'sys' AND r.routine_name = 'version_major'
        WHERE t.name = CONCAT(CONVERT(CAST(CONVERT(:schema USING filename) AS BINARY) USING utf8),
                              '/', :name)
          AND NOT EXISTS (
              SELECT * FROM information_schema.global_variables
              WHERE variable_name = 'WSREP_ON' AND variable_value = 'ON')
        """
    )
    _IS_TEXT = sa.text(
        """
        SELECT data_type IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext')
        FROM information_schema.columns
        WHERE table_schema = :schema AND table_name = :name AND column_name = 'id'
        """
    )
    _HEX = "hex"
    _QUOTE = "`"
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

    def _ask(
        self, connection: sa.Connection, schema: str | None, rows: str | None = None
    ) -> tuple[TableIdentity, Sequence[Row]]:
        driven: Any = connection.connection.dbapi_connection
        origin = Origin(connection.info)
        identity = self._IDENTITY.format(
            young=YOUNG,
            traces=origin.traces,
            schema="DATABASE()" if schema is None else driven.escape(schema),
            name=TABLE,
        )
        try:
            row, found_rows, shown = self._select(connection, identity, rows, before=origin.before)
        except pymysql.Error as error:
            if connection.invalidated or not origin.learn(error):
                raise
            return self._ask(connection, schema, rows)
        found, kind, created, is_new, *read_only, server, runs, account, may_be = row
        if kind.endswith("VIEW"):
            raise self._view()
        if may_be and origin.is_outdated:
            connection.detach()
        first = f"server {server} table of {created}"
        mark = self._mark(connection, found, f"{found} {first}", asked=rows is not None)
        return TableIdentity(
            found,
            first + mark.text,
            mark.position,
            too_new=bool(is_new),
            replica=any(str(value).upper() not in ("0", "OFF") for value in read_only),
            behind=origin.behind(shown, account, may_be=bool(may_be)),
            runs=runs,
        ), found_rows

    def _lacks_status(self, error: Exception) -> str:
        number = error.args[0] if error.args else 0
        return {BAD_FIELD: "column", COLUMN_ACCESS_DENIED: "right"}.get(number, "")

    def _account(self, connection: sa.Connection) -> str:
        return quoted(connection.scalar(sa.text("SELECT CURRENT_USER()")))

    @property
    def _is_mariadb(self) -> bool:
        """Known from the first connection on."""
        return bool(getattr(self._pool.dialect, "is_mariadb", False))

    def _mark(self, connection: sa.Connection, schema: str, first: str, *, asked: bool) -> _Mark:
        """The second mark of a table, as of a minute ago at most, and of this connection.

        The position is told only when it was looked at just now: another connection may have
        looked later, and whatever goes back is an older state.

        Args:
            connection: was checked; that it was not lost means that the server was not put back.
            schema: the table's.
            first: what else it is known by; when that changes, so may this.
            asked: it goes with an answer, the first of which on a connection has a position.
        """
        known = connection.info
        is_due = known.get("marked") != first or self._clock() >= known["mark_due"]
        was_denied = known.get("mark_denied", False)
        if is_due or (asked and not known["position_told"] and not was_denied):
            if was_denied:
                connection.detach()
            row, again = None, MARK_EVERY
            try:
                if self._is_mariadb:
                    parameters = {"schema": schema, "name": TABLE}
                    row = connection.execute(self._MARK, parameters).one_or_none()
            except sa.exc.DBAPIError as error:
                if error.orig is None or error.orig.args[:1] != (ACCESS_DENIED,):
                    raise
                self._mark_denied = known["mark_denied"] = True
                again = ASKED_AGAIN
            known["mark"] = f" number {row[0]}" if row else ""
            known["marked"], known["mark_due"] = first, self._clock() + again
            known["position_told"] = asked
            return _Mark(known["mark"], int(row[1]) if row else 0)
        return _Mark(known["mark"])

    def same_table(self, before: str, now: str, watched: bool) -> bool:
        """Whether either mark is the same; says what right would tell, where one does not show."""
        same = super().same_table(before, now, watched)
        old, new = (MYSQL.fullmatch(identity) for identity in (before, now))
        unsure = old and new and old[1] == new[1] and not (old[3] and new[3])
        if not same and unsure and self._mark_denied:
            logger.bind(event="figures", error="no mark").warning(
                "{} gives another time of creation for its table, and does not show this account"
                " whether it is the same one; {}, and next time it does",
                *(self.name, SHOW_MARK),
            )
        return same

    def remedy(self, said: str) -> str:
        """What a driver's words mean, as a predicate."""
        # The latter where it cannot wait for its cluster; nothing that we read locks a row.
        if said.startswith(("WSREP has not yet prepared", "Lock wait timeout exceeded")):
            return (
                "is a node of a Galera cluster that is cut off from it, or not ready;"
                f" give the URL of one that is in its primary component ({said})"
            )
        if "package is required for" in said:
            return (
                "logs this account in by a method for which a package is not installed;"
                f" pip install 'topology-reaper[mysql]' ({said})"
            )
        if said.startswith("Authentication plugin"):
            return (
                "logs this account in by a method that PyMySQL does not know, as parsec;"
                " ALTER USER it to mysql_native_password, ed25519 or caching_sha2_password"
                f" ({said})"
            )
        return super().remedy(said)

    def _beyond_need(self, reading: Reading) -> tuple[str, str]:
        # What comes from a role does not show here.
        account = reading.connection.scalar(sa.text("SELECT CURRENT_USER()"))
        needed = (*NEEDED, "PROCESS") if self._is_mariadb else NEEDED
        parameters = {"grantee": quoted(account), "needed": needed}
        rights = reading.connection.scalars(self._RIGHTS, parameters).all()
        more = f" and {len(rights) - NAMED} more" if len(rights) > NAMED else ""
        return account, f"may {', '.join(rights[:NAMED])}{more}" if rights else ""

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
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_parameters(self) -> dict[str, Any]:
        """What the driver is told for a new connection."""
        given = super().connect_parameters()
        given["client_flag"] = given.get("client_flag", 0) | CLIENT.MULTI_STATEMENTS
        if isinstance(given.get("password"), str):
            given["password"] = given["password"].encode()  # the driver itself would take Latin-1
        return given
