"""A column whose order hides rows is no answer, whatever its collation.

Each collation of the servers is tried with values and, beside that, with rows: what is taken hides
none, and what is refused hides one. The rows have an id for every pair of hex digits at the end of
a prefix, and the ends of all ids.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from listener.database.server import ServerTopologies
from listener.database.topologies import rows_with, upper_bound
from listener.errors import NoAnswer
from tests.servers.conftest import Open, Side

REST = "-7ab2-4c11-9d52-33aa1f04ddee"
PREFIXES = [f"7f3d21{pair:02x}" for pair in range(256)] + ["00000000", "ffffffff"]
HIDING = {
    "postgresql": {"da-x-icu", "da-DK-x-icu", "nb-NO-x-icu", "nn-x-icu", "cy-GB-x-icu"},
    "mysql": {"utf8mb4_danish_ci", "utf8mb3_danish_ci", "utf8mb4_uca1400_danish_ai_ci"},
}
"""Some that are known to hide rows."""
COLLATIONS = {
    "postgresql": "SELECT DISTINCT collname::text FROM pg_collation WHERE collprovider = 'i'",
    "mysql": "SELECT full_collation_name FROM information_schema"
    ".collation_character_set_applicability WHERE character_set_name <> 'binary'",
}


def refused(topologies: ServerTopologies, asked: sa.FromClause, connection: sa.Connection) -> bool:
    """Whether a column is not asked for its order."""
    try:
        topologies._check_order(connection, asked, str(object()))
    except NoAnswer as error:
        assert error.aspect == "order"
        return True
    return False


def test_every_collation_hides_no_row_or_is_refused(side: Side, opened: Open) -> None:
    topologies = opened(side.url)
    assert isinstance(topologies, ServerTopologies)
    scheme = side.server.scheme
    ids = sa.table("ids", sa.column("id", sa.String), sa.column("low"), sa.column("high"))
    engine = "" if side.on_postgres else "ENGINE = MEMORY"
    text = "VARCHAR(36) NOT NULL"
    side.execute(f"CREATE TABLE ids (id {text}, low {text}, high {text}) {engine}")
    hiding = set()
    with side.connected() as connection:
        bounds = [{"id": p + REST, "low": p, "high": upper_bound(p)} for p in PREFIXES]
        connection.execute(sa.insert(ids), bounds)
        connection.commit()
        collations = connection.scalars(sa.text(COLLATIONS[scheme])).all()
        assert len(collations) > 300
        for collation in collations:
            if side.on_postgres:
                id_ = ids.c.id.collate(collation).label("id")
                asked: sa.FromClause = sa.select(id_, ids.c.low, ids.c.high).subquery()
            else:
                charset, asked = collation.partition("_")[0], ids
                alter = f"ALTER TABLE ids CONVERT TO CHARACTER SET {charset} COLLATE {collation}"
                connection.execute(sa.text(alter))
            found = sa.and_(asked.c.id >= asked.c.low, asked.c.id < asked.c.high)
            hidden = connection.scalars(sa.select(asked.c.id).where(~found)).all()
            assert bool(hidden) == refused(topologies, asked, connection), (collation, hidden)
            if hidden:
                hiding.add(collation)
                question = rows_with([id_[:8] for id_ in hidden], asked)
                assert not connection.scalars(*question).all(), collation
    assert hiding >= HIDING[scheme]
    assert len(hiding) < len(collations) / 10


@pytest.mark.parametrize("collation", ["da-x-icu", "utf8mb4_danish_ci"])
def test_a_column_that_hides_a_living_topology_is_no_answer(
    request: pytest.FixtureRequest, opened: Open, collation: str
) -> None:
    kind = "postgres_side" if "icu" in collation else "mariadb_side"
    side: Side = request.getfixturevalue(kind)
    side.rows.insert(living := "7f3d21aa" + REST)
    quoted = f'"{collation}"' if side.on_postgres else collation
    alter = "ALTER COLUMN id TYPE" if side.on_postgres else "MODIFY id"
    side.execute(f"ALTER TABLE topologies {alter} VARCHAR(36) COLLATE {quoted}")
    with pytest.raises(NoAnswer) as caught:
        opened(side.url).ask([living[:8]])
    assert caught.value.aspect == "order"
