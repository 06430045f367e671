"""Topologies in MySQL or MariaDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa

from listener.database.feeds import Feed
from listener.database.feeds.mysql import BinlogFeed
from listener.database.server import CONNECT_TIMEOUT, READ_TIMEOUT, Look, ServerTopologies
from listener.database.topologies import TABLE

YOUNG = 1.1
"""Seconds within which another table may get the same time of creation: it is told in whole ones,
and a file system's clock lags by some milliseconds."""


class MysqlTopologies(ServerTopologies):
    """The table in MySQL or MariaDB."""

    push_takes = "takes no triggers, but settings and rights; topology-reaper feed sql prints them"

    connect_arguments: ClassVar[Mapping[str, object]] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
    }

    _WHO = sa.text(
        """
        SELECT table_schema, table_type, UNIX_TIMESTAMP(create_time),
               UNIX_TIMESTAMP(SYSDATE(6)) - UNIX_TIMESTAMP(create_time) BETWEEN 0 AND :young,
               @@global.read_only, @@global.server_id
        FROM information_schema.tables
        WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name
        """
    )

    def _look(self, connection: sa.Connection, schema: str | None) -> Look:
        parameters = {"schema": schema, "name": TABLE, "young": YOUNG}
        row = connection.execute(self._WHO, parameters).one_or_none()
        if row is None:
            raise self.no_table()
        found, kind, created, is_new, read_only, server = row
        if kind.endswith("VIEW"):
            raise self._view()
        if str(read_only).upper() not in ("0", "OFF") and not self._allow_replica:
            raise self._replica()
        return Look(found, sa.String, f"server {server} table of {created}", too_new=bool(is_new))

    def push(self, *, look_every: float, check_every: float) -> Feed:  # noqa: ARG002
        """The feed of the binary log."""
        return BinlogFeed(self, check_every)

    def push_sql(self) -> str:
        """The settings and rights that the binary log takes."""
        return self.script("mysql.sql")

    def connect(self) -> pymysql.Connection[Any]:
        """A new connection of the driver's own.

        Raises:
            pymysql.Error: the server cannot be reached, or refuses.
        """
        return pymysql.connect(**self.connect_parameters())

    def connect_parameters(self) -> dict[str, Any]:
        """What the driver is told for a new connection."""
        given = super().connect_parameters()
        if isinstance(given.get("password"), str):
            given["password"] = given["password"].encode()  # the driver itself would take Latin-1
        return given
