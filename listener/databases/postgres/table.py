"""Topologies in PostgreSQL."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import psycopg
import sqlalchemy as sa
from loguru import logger
from psycopg import sql

from listener.core.findings import Finding, warning
from listener.databases.base import CURRENT, TABLE, Behind, Reading, Row, words_of
from listener.databases.postgres.feed import NotifyFeed
from listener.databases.server import CONNECT_TIMEOUT, READ_TIMEOUT, ServerTopologies, TableIdentity
from listener.errors import ConfigurationError

OLDEST = 140000
"""The first version with CREATE OR REPLACE TRIGGER."""
_SCHEMA = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass(%s)
"""
FIGURES = {
    "pg_control_system()": (
        "(SELECT system_identifier FROM pg_control_system())",
        "another server in this one's place",
    ),
    "pg_walfile_name(pg_current_wal_insert_lsn())": (
        "CASE WHEN NOT pg_is_in_recovery()"
        " THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) ELSE 'replica' END",
        "a standby that was promoted",
    ),
    # What of the log is on disk for good goes back only with the whole server.
    "pg_current_wal_flush_lsn()": (
        "CASE WHEN NOT pg_is_in_recovery()"
        " THEN (pg_current_wal_flush_lsn() - '0/0')::bigint ELSE 0 END",
        "an older state that was restored under it",
    ),
    "pg_postmaster_start_time()": (
        "extract(epoch FROM pg_postmaster_start_time())::text",
        "that another relay asks it by another URL",
    ),
}
"""By the functions that tell it, what can be done without, and what is not noticed then. Managed
servers take the right to them away, and Amazon Aurora's fail without ``wal_level = logical``."""
UNAVAILABLE = ("42501", "0A000", "42883", "55000")
"""The states of such a failure: no right, not supported, no such function, not as it is set."""
TELL = "let the role execute these functions, where the server has them"
_PREPARES = "SELECT current_setting('max_prepared_transactions') <> '0'"
REFUSES = (
    "lets transactions be prepared (max_prepared_transactions), and refuses PREPARE TRANSACTION to"
    " those that delete topologies or set them torn_down, for the triggers notify"
)
"""PostgreSQL 15: "cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY"."""
IF_PREPARED = (
    "run topology-reaper feed uninstall if the writer prepares any, and listeners poll, or set"
    " max_prepared_transactions = 0 if nobody does"
)
CANCEL_TIMEOUT = 5
"""Seconds for which a statement that is given up is tried to be cancelled."""


class PostgresTopologies(ServerTopologies):
    """The table in PostgreSQL."""

    kind = "postgresql"
    _FEED = NotifyFeed
    needs = "has CONNECT, USAGE and SELECT"

    _untold: frozenset[str] = frozenset()
    """The figures that the server did not tell; not tried again, lest the identity change."""

    # A peer that is gone shows within half a minute, and so does a lock that is never let go.
    connect_arguments: ClassVar[Mapping[str, Any]] = {
        "client_encoding": "utf8",  # a database of SQL_ASCII would answer in bytes
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "topology-reaper",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": READ_TIMEOUT * 1000,
    }

    _IDENTITY = """
        SELECT n.nspname, (SELECT oid FROM pg_database WHERE datname = current_database()),
               c.oid, c.relkind::text, a.attcollation, a.atttypid = 'uuid'::regtype,
               pg_is_in_recovery(), row_security_active(c.oid), {},
               source.subscriptions, source.in_order, source.elsewhere,
               pglogical.subscribed, pglogical.needed
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id'
        CROSS JOIN LATERAL (
            -- A row may come by the table, by what is beneath it, or by what it is a partition of.
            WITH RECURSIVE beneath (oid) AS (
                SELECT c.oid
                UNION SELECT i.inhrelid FROM pg_inherits i JOIN beneath b ON b.oid = i.inhparent
            ), above (oid) AS (
                SELECT c.oid
                UNION SELECT i.inhparent FROM pg_inherits i JOIN above a ON a.oid = i.inhrelid
            ), family (oid) AS (SELECT oid FROM beneath UNION SELECT oid FROM above)
            SELECT string_agg(
                       DISTINCT quote_ident(s.subname)
                       || CASE WHEN s.subenabled THEN '' ELSE ' (disabled)' END, ', '
                   ) AS subscriptions,
                   count(DISTINCT s.oid) = 1 AND count(DISTINCT f.oid) = 1 AS in_order,
                   string_agg(DISTINCT t.ftrelid::regclass::text, ', ') AS elsewhere
            FROM family f
            LEFT JOIN pg_foreign_table t ON t.ftrelid = f.oid
            LEFT JOIN pg_subscription_rel r ON r.srrelid = f.oid
            LEFT JOIN pg_subscription s ON s.oid = r.srsubid
        ) source
        LEFT JOIN LATERAL (
            -- Which tables a subscription of it fills is known on the other side alone. The query
            -- is a text, for most servers have no such table, and asks no view, which may do more.
            SELECT CASE WHEN may.enter AND may.read THEN
                       query_to_xml('SELECT 1 FROM pglogical.subscription LIMIT 1', false, true, '')
                       ::text LIKE '%<row%'
                   END AS subscribed,
                   concat_ws('; ',
                       CASE WHEN NOT may.enter
                            THEN 'GRANT USAGE ON SCHEMA pglogical TO ' || may.account END,
                       CASE WHEN NOT may.read
                            THEN 'GRANT SELECT ON pglogical.subscription TO ' || may.account END
                   ) AS needed
            FROM pg_namespace ns
            JOIN pg_class t ON t.relnamespace = ns.oid
            CROSS JOIN LATERAL (
                SELECT has_schema_privilege(ns.oid, 'USAGE') AS enter,
                       has_table_privilege(t.oid, 'SELECT') AS read,
                       quote_ident(current_user) AS account
            ) may
            WHERE ns.nspname = 'pglogical' AND t.relname = 'subscription' AND t.relkind = 'r'
        ) pglogical ON true
        WHERE c.oid = to_regclass({name})
    """

    _IS_TEXT = sa.text(
        """
        SELECT t.typcategory = 'S'
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id'
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE n.nspname = :schema AND c.relname = :name
        """
    )
    _HEX = "to_hex"
    _QUOTE = '"'
    _NOW = sa.text("SELECT extract(epoch FROM clock_timestamp())")
    _RIGHTS = sa.text(
        """
        SELECT r.rolname::text, r.rolsuper, pg_has_role(c.relowner, 'USAGE'),
               ARRAY(SELECT p FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
                     WHERE has_table_privilege(c.oid, p))
        FROM pg_class c
        JOIN pg_roles r ON r.rolname = current_user
        WHERE c.oid = to_regclass(:name)
        """
    )

    _REFUSES_TO_PREPARE = sa.text(
        f"{_PREPARES} AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(:name)"
        " AND tgenabled <> 'D' AND tgname LIKE 'topology_reaper_%')"
    )

    def _ask(
        self, connection: sa.Connection, schema: str | None, rows: str | None = None
    ) -> tuple[TableIdentity, Sequence[Row]]:
        asked = ("NULL" if f in self._untold else ask for f, (ask, _) in FIGURES.items())
        name = sql.Identifier(TABLE) if schema is None else sql.Identifier(schema, TABLE)
        literal = sql.Literal(name.as_string()).as_string()
        identity = self._IDENTITY.format(", ".join(asked), name=literal)
        if rows is not None:
            # A lock holds the table that was found by its name, but not the schema's own name.
            identity += f"AND c.reltype = pg_typeof(NULL::{name.as_string()})"
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        try:
            row, found_rows, _ = self._select(
                connection, identity, rows, before=[begin], after=["COMMIT"]
            )
        except psycopg.Error as error:
            if not self._learn(connection, error):
                raise
            return self._ask(connection, schema, rows)
        found, database, oid, kind, collation, is_uuid, replica, hidden = row[:8]
        system, timeline, position, runs = row[8:12]
        if kind not in ("r", "p"):
            raise self._view()
        if hidden:
            raise self.no_answer(
                "hides rows from this user by row-level security; give a role with BYPASSRLS",
                "row-security",
            )
        return TableIdentity(
            found,
            f"{system or '?'}/{timeline or '?'} database {database} table {oid}"
            f" collation {collation}",
            position or 0,
            replica=replica,
            uuid=is_uuid,
            behind=_behind(*row[12:]),
            runs=runs or "",
        ), found_rows

    def _lacks_status(self, error: Exception) -> str:
        state = str(getattr(error, "sqlstate", None))
        return {"42703": "column", "42501": "right"}.get(state, "")

    def _account(self, connection: sa.Connection) -> str:
        return str(connection.scalar(sa.text("SELECT quote_ident(current_user)")))

    def _learn(self, connection: sa.Connection, error: psycopg.Error) -> bool:
        """Whether an error told that there are figures which the server does not tell."""
        if error.sqlstate not in UNAVAILABLE:
            return False
        untold = {f for f in FIGURES if f not in self._untold and self._fails(connection, f)}
        if untold:
            self._untold |= untold
            logger.bind(event="figures", error=words_of(error)).warning(
                "{} {} ({}); {}", self.name, self._unnoticed(), words_of(error), TELL
            )
        return bool(untold)

    def _fails(self, connection: sa.Connection, figure: str) -> bool:
        try:
            self._results(connection, f"SELECT {FIGURES[figure][0]}")
        except psycopg.Error as error:
            if error.sqlstate not in UNAVAILABLE:
                raise
            return True
        return False

    def _unnoticed(self) -> str:
        """What is lost with the figures that are not told, as a predicate."""
        lost = " or ".join(loss for f, (_, loss) in FIGURES.items() if f in self._untold)
        return f"does not tell this role {' and '.join(sorted(self._untold))}, so {lost} is missed"

    def inside(self, reading: Reading) -> Iterator[Finding]:
        """What there is to say of any server, what this one does not tell, and what it refuses."""
        yield from super().inside(reading)
        if self._untold:
            yield warning("database.figures", f"the server {self._unnoticed()}", TELL)
        if reading.connection.scalar(self._REFUSES_TO_PREPARE, {"name": reading.name}):
            yield warning("database.prepared", f"the server {REFUSES}", IF_PREPARED)

    def _beyond_need(self, reading: Reading) -> tuple[str, str]:
        row = reading.connection.execute(self._RIGHTS, {"name": reading.name}).one()
        account, superuser, owner, privileges = row
        if superuser:
            return account, "is a superuser"
        if owner:
            return account, "owns the table"
        return account, f"may {', '.join(privileges)}" if privileges else ""

    def push_sql(self) -> str:
        """The triggers."""
        return self.script("install.sql")

    def change_triggers(self, action: str) -> None:
        """Install the triggers, or take them out again; says what the writer can do no more.

        Raises:
            ConfigurationError: this user may not, or the server is too old.
            NoAnswer: the server cannot be reached, lacks the table, or is busy.
        """
        try:
            with self.connect() as connection:
                connection.autocommit = True  # the script has its own transaction
                connection.patience = READ_TIMEOUT  # it waits for the table's lock, for a while
                if connection.info.server_version < OLDEST:
                    raise ConfigurationError(f"feed {action}: it takes PostgreSQL 14 or newer")
                row = connection.execute(_SCHEMA, [TABLE]).fetchone()
                if row is None:
                    raise self.no_table()
                path = sql.SQL("SET search_path TO {}").format(sql.Identifier(*row))
                connection.execute(path)
                connection.execute(self.script(f"{action}.sql").encode())
                if action == "install" and connection.execute(_PREPARES).fetchone() == (True,):
                    logger.bind(event="prepared").warning(
                        "{} {}; {}", self.name, REFUSES, IF_PREPARED
                    )
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"feed {action}: --database-url: this user may not do that in {self.name}; give a"
                f" URL of the table's owner, who needs CREATE on its schema too"
            ) from error
        except psycopg.OperationalError as error:
            raise self.no_answer(error) from error
        except psycopg.Error as error:
            raise ConfigurationError(f"feed {action}: {self.name} refuses: {error}") from error

    def connect(self) -> _Connection:
        """A new connection of the driver's own.

        Raises:
            psycopg.Error: the server cannot be reached, or refuses.
        """
        connection = _Connection.connect(**self.connect_parameters())
        connection.patience = min(READ_TIMEOUT, self._patience)
        return connection


def _behind(
    subscriptions: str | None,
    in_order: bool,
    elsewhere: str | None,
    subscribed: bool | None,
    needed: str | None,
) -> Behind:
    """Whether the table may be behind the origin of its rows."""
    if subscriptions:
        return Behind(
            f"is filled by the logical subscription {subscriptions}, and may be behind the"
            " publisher; give the publisher's URL, or drop the subscription if this is the origin"
            " now",
            in_order,
        )
    if elsewhere:
        return Behind(
            f"has rows on another server, by the foreign table {elsewhere}, and cannot tell whether"
            " that one is behind; give the URL of a table that has them all"
        )
    if needed:
        return Behind(
            "has pglogical and does not let this role see whether a subscription of it fills the"
            f" table; as an owner: {needed}"
        )
    if subscribed:
        return Behind(
            "has a subscription of pglogical, which may fill the table, and may be behind its"
            " provider; give the provider's URL, or drop the subscription if this is the origin now"
        )
    return CURRENT


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no answer takes longer than its patience, whatever holds it up.

    Keep-alives notice a peer that is gone, but neither a lock that is never let go nor something in
    between that holds the connection open and passes nothing on. A statement timeout would be the
    server's to keep, and poolers refuse connections that ask for one.
    """

    patience = READ_TIMEOUT
    """Seconds."""

    def wait(
        self, gen: Generator[Any, Any, Any], interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
                raise
            if psycopg.capabilities.has_cancel_safe():  # another way may take for ever
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=min(CANCEL_TIMEOUT, self.patience))
            self.pgconn.finish()
            raise psycopg.OperationalError(f"silent for {self.patience} s") from None
