"""A column whose order hides rows is no answer, whatever its collation.

Each collation of the servers is tried, and where it is taken every row is found by its prefix: one
for every pair of hex digits at the end of a prefix, and the ends of all ids.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from listener.databases.base import rows_with, table, upper_bound
from listener.databases.order import orders_ids
from listener.databases.server import ServerTopologies
from listener.errors import NoAnswer
from tests.servers.conftest import Open, Side
from tests.support.servers import PrivateMariaDB, PrivateMySQL, PrivatePostgres, PrivateServer

REST = "-7ab2-4c11-9d52-33aa1f04ddee"
PREFIXES = [f"7f3d21{pair:02x}" for pair in range(256)] + ["00000000", "ffffffff"]
HIDING: dict[type[PrivateServer], set[str]] = {
    PrivatePostgres: {"da-x-icu", "da-DK-x-icu", "nb-NO-x-icu", "nn-x-icu", "cy-GB-x-icu"},
    PrivateMariaDB: {"utf8mb4_danish_ci", "utf8mb4_uca1400_danish_ai_ci"},
    PrivateMySQL: {"utf8mb4_danish_ci", "utf8mb4_da_0900_ai_ci"},
}
"""Some that are known to hide rows."""
# The other encodings of Unicode have the same collations as utf8mb4.
OTHERS = "('binary', 'utf8mb3', 'ucs2', 'utf16', 'utf16le', 'utf32')"
COLLATIONS: dict[type[PrivateServer], str] = {
    PrivatePostgres: "SELECT DISTINCT collname::text FROM pg_collation WHERE collprovider = 'i'",
    PrivateMariaDB: "SELECT full_collation_name FROM information_schema"
    f".collation_character_set_applicability WHERE character_set_name NOT IN {OTHERS}",
    PrivateMySQL: "SELECT collation_name FROM information_schema.collations"
    f" WHERE character_set_name NOT IN {OTHERS}",
}

NO_TEXT: dict[type[PrivateServer], tuple[str, ...]] = {
    PrivatePostgres: ("bytea", "integer", "jsonb", "text[]", "key", "kind"),
    PrivateMariaDB: ("BINARY(16)", "BLOB", "BIGINT", "DATETIME", "ENUM('a')", "UUID", "BIT(64)"),
    PrivateMySQL: ("BINARY(16)", "BLOB", "BIGINT", "DATETIME", "ENUM('a')", "BIT(64)"),
}
TEXT: dict[type[PrivateServer], tuple[str, ...]] = {
    PrivatePostgres: ("text", "name", "char(36)"),
    PrivateMariaDB: ("TEXT", "CHAR(36)"),
    PrivateMySQL: ("TEXT", "CHAR(36)"),
}

HIDDEN = "SELECT id FROM ids WHERE id < low OR id >= high"


def refused(topologies: ServerTopologies, asked: sa.TableClause, connection: sa.Connection) -> bool:
    """Whether a column is not asked, for its order or because it cannot be tried."""
    try:
        return not orders_ids(connection, asked, topologies._IS_TEXT, topologies._HEX)
    except sa.exc.OperationalError:
        return True


def test_every_collation_hides_no_row_or_is_refused(side: Side, opened: Open) -> None:
    topologies = opened(side.url)
    assert isinstance(topologies, ServerTopologies)
    kind = type(side.server)
    ids = sa.table("ids", sa.column("id", sa.String))
    engine = "" if side.on_postgres else "ENGINE = MEMORY"
    text = "VARCHAR(36) NOT NULL"
    side.execute(f"CREATE TABLE ids (id {text}, low {text}, high {text}) {engine}")
    hiding = set()
    with side.connected() as connection:
        bounds = [{"id": p + REST, "low": p, "high": upper_bound(p)} for p in PREFIXES]
        connection.execute(sa.text("INSERT INTO ids VALUES (:id, :low, :high)"), bounds)
        connection.commit()
        collations = connection.scalars(sa.text(COLLATIONS[kind])).all()
        for collation in collations:
            if side.on_postgres:
                changed = f'ALTER id TYPE VARCHAR(36) COLLATE "{collation}"'
            else:
                charset = collation.partition("_")[0]
                changed = f"CONVERT TO CHARACTER SET {charset} COLLATE {collation}"
            connection.execute(sa.text(f"ALTER TABLE ids {changed}"))
            hidden = connection.scalars(sa.text(HIDDEN)).all()
            if refused(topologies, ids, connection):
                hiding.add(collation)
            else:
                assert not hidden, collation
    assert hiding >= HIDING[kind]
    assert len(hiding) < len(collations) / 10


@pytest.mark.usefixtures("tables_of_any_age")
def test_a_column_that_is_no_text_is_no_answer(side: Side, opened: Open) -> None:
    if side.on_postgres:
        side.execute("CREATE DOMAIN key AS uuid")
        side.execute("CREATE TYPE kind AS ENUM ('a')")
    kind = type(side.server)
    for type_ in (*NO_TEXT[kind], *TEXT[kind]):
        side.execute("DROP TABLE topologies")
        side.execute(f"CREATE TABLE topologies (id {type_})")
        if type_ in TEXT[kind]:
            assert opened(side.url).ask(["aaaaaaaa"]).ids == set()
            continue
        with pytest.raises(NoAnswer, match="give the column id a text type") as caught:
            opened(side.url).ask([])
        assert caught.value.aspect == "order"


@pytest.mark.parametrize(
    ("collation", "pair"),
    [
        ("da-x-icu", "aa"),
        ("nb-NO-x-icu", "aa"),
        ("cy-GB-x-icu", "dd"),
        ("utf8mb4_danish_ci", "aa"),
    ],
)
def test_a_column_that_hides_a_living_topology_is_no_answer(
    request: pytest.FixtureRequest, opened: Open, collation: str, pair: str
) -> None:
    kind = "postgres_side" if "icu" in collation else "mariadb_side"
    side: Side = request.getfixturevalue(kind)
    side.rows.insert(living := f"7f3d21{pair}{REST}")
    quoted = f'"{collation}"' if side.on_postgres else collation
    alter = "ALTER COLUMN id TYPE" if side.on_postgres else "MODIFY id"
    side.execute(f"ALTER TABLE topologies {alter} VARCHAR(36) COLLATE {quoted}")
    with side.connected() as connection:
        question = rows_with([living[:8]], table())
        assert connection.scalars(*question).all() == []  # although it lives
    with pytest.raises(NoAnswer) as caught:
        opened(side.url).ask([living[:8]])
    assert caught.value.aspect == "order"
