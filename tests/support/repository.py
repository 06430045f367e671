"""Repositories of the shape of DECNET's: an SQLAlchemy engine, and `list_topologies()`.

They write in the process that sweeps, as DECNET's API does when its button is pressed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

TOPOLOGIES = sa.table("topologies", *map(sa.column, ("id", "name", "status")))


class Repository:
    """Over an asynchronous engine, as DECNET's; to be closed in the loop that used it.

    Args:
        url: with an asynchronous driver.
        dictionaries: what the rows are; else they are objects.
    """

    def __init__(self, url: str, *, dictionaries: bool = False) -> None:
        self.engine = create_async_engine(url)
        self._dictionaries = dictionaries

    async def list_topologies(self) -> Sequence[Any]:
        """Every row."""
        async with self.engine.connect() as connection:
            rows = (await connection.execute(sa.select(TOPOLOGIES))).all()
        return [row._asdict() for row in rows] if self._dictionaries else rows

    async def insert(self, *ids: str) -> None:
        """Insert rows in one transaction."""
        async with self.engine.begin() as connection:
            rows = [{"id": id_, "status": "active"} for id_ in ids]
            await connection.execute(sa.insert(TOPOLOGIES), rows)

    async def close(self) -> None:
        """Close the connections."""
        await self.engine.dispose()


class Listed:
    """One whose method is no coroutine, and that shows what it is told to.

    Args:
        ids: of its rows.
        where: its attribute by which its database is known, an engine or a path.
    """

    def __init__(self, *ids: str, **where: sa.Engine | os.PathLike[str]) -> None:
        self._ids = ids
        self.__dict__.update(where)

    def list_topologies(self) -> Sequence[Any]:
        """What it was told."""
        return [{"id": id_} for id_ in self._ids]
