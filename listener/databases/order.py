"""Whether a column orders ids as the ranges of the questions take it.

Numeric collations do not, nor those in which two digits are one letter, as aa is in Danish and dd
in Welsh, nor MariaDB's own type for UUIDs: they hide rows without an error. So a server is asked
which of 256 made-up ids the ranges of their prefixes find, which shows every such collation of the
877 in PostgreSQL 17. What holds no text is not tried: MariaDB would compare numbers with the digits
that a prefix begins with, and PostgreSQL refuses to compare.
"""

from __future__ import annotations

import sqlalchemy as sa

FIRST_PROBE, REST = 0x12345600, "-0000-0000-0000-000000000000"
PROBES = frozenset(f"{FIRST_PROBE + pair:08x}{REST}" for pair in range(256))
"""Ids whose prefixes end in every pair of hex digits: no known collation takes more than two for
one letter, and a pair before the end is the same in both ends of the range."""


def orders_ids(
    connection: sa.Connection, asked: sa.TableClause, is_text: sa.TextClause, hex_digits: str
) -> bool:
    """Whether the ranges find all ids.

    Args:
        connection: to the server.
        asked: the table.
        is_text: asks whether the column holds text; nothing where there is none.
        hex_digits: the server's function that writes a number in them.
    """
    where = {"schema": asked.schema, "name": asked.name}
    if connection.scalar(is_text, where) not in (None, True):  # None has words of its own
        return False
    rows = connection.execute(_probe(asked, hex_digits))
    return {str(id_) for id_, in_range in rows if in_range} == PROBES


def _probe(asked: sa.TableClause, hex_digits: str) -> sa.Select[str, bool]:
    """Asks for PROBES, and of each whether the range of its prefix finds it.

    They are no rows, but a union with the column gives them its type and collation. They are not
    compared in a condition, which MariaDB would move into the union, before it does that.
    """
    id_ = asked.c.id
    pair = sa.select(sa.literal(FIRST_PROBE).label("number")).cte("pair", recursive=True)
    pair = pair.union_all(
        sa.select(pair.c.number + 1).where(pair.c.number + 1 < FIRST_PROBE + len(PROBES))
    )
    low, high = (
        sa.func.lower(getattr(sa.func, hex_digits)(pair.c.number + step)) for step in (0, 1)
    )
    probes = sa.union_all(
        sa.select(id_, id_.label("low"), id_.label("high")).where(sa.false()),
        sa.select(sa.func.concat(low, REST), low, high),
    ).subquery()
    in_range = sa.and_(probes.c.id >= probes.c.low, probes.c.id < probes.c.high)
    return sa.select(probes.c.id, in_range)
