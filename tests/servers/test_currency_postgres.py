"""Whether a table in PostgreSQL is the origin of its rows, as a role sees it that may only read it.

The server publishes to itself: a publication in one database, a subscription in another, by a slot
that is made by hand, for a subscription cannot wait for one on its own server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.conftest import READING, Open, Opened, Side, fresh_side
from tests.support.decnet import new_id
from tests.support.process import eventually
from tests.support.servers import PrivatePostgres

COLUMNS = "(id VARCHAR(36) PRIMARY KEY, name TEXT, status TEXT)"
SHAPES = {
    "the table": ("topologies", ()),
    "a partition of a partition": (
        "leaf",
        (
            "DROP TABLE topologies",
            f"CREATE TABLE topologies {COLUMNS} PARTITION BY RANGE (id)",
            "CREATE TABLE part PARTITION OF topologies DEFAULT PARTITION BY RANGE (id)",
            "CREATE TABLE leaf PARTITION OF part DEFAULT",
        ),
    ),
    "what it is a partition of": (
        "whole",
        (
            f"CREATE TABLE whole {COLUMNS} PARTITION BY RANGE (id)",
            "ALTER TABLE whole ATTACH PARTITION topologies DEFAULT",
        ),
    ),
    "a child by inheritance": (
        "child",
        (f"CREATE TABLE child {COLUMNS} INHERITS (topologies)",),
    ),
}
"""What a subscription fills, and how the table came to be."""


@pytest.fixture
def publisher(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A database whose rows another one is to have."""
    with fresh_side(request, "postgres") as side:
        side.rows.create_table()
        yield side


@pytest.fixture
def subscriber(request: pytest.FixtureRequest, publisher: Side) -> Iterator[Side]:
    """That one; it has no subscription yet."""
    with fresh_side(request, "postgres") as side:
        side.rows.create_table()
        yield side
        side.execute("DROP SUBSCRIPTION IF EXISTS copy")
        slots = "SELECT FROM pg_replication_slots WHERE database = current_database()"
        assert not publisher.execute(slots)


def subscribe(publisher: Side, subscriber: Side, table: str = "topologies") -> None:
    """Let a table of this name be filled with what comes by the other's from now on."""
    publisher.execute(f"CREATE TABLE IF NOT EXISTS {table} {COLUMNS}")
    publisher.execute(f"CREATE PUBLICATION original FOR TABLE {table}")
    slot = f"slot_of_{subscriber.name}"
    publisher.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    subscriber.execute(
        f"CREATE SUBSCRIPTION copy CONNECTION '{publisher.url}' PUBLICATION original"
        f" WITH (create_slot = false, slot_name = '{slot}', copy_data = false)"
    )


def reader(side: Side, opened: Open, **options: bool) -> Opened:
    """The table as a role with the documented rights sees it."""
    return opened(side.reader(*READING[PrivatePostgres]), **options)


def test_a_table_that_a_subscription_fills_is_behind_until_it_is_dropped(
    publisher: Side, subscriber: Side, opened: Open
) -> None:
    topologies = reader(subscriber, opened)
    before = topologies.ask([])
    assert before.behind == ""
    subscribe(publisher, subscriber)
    publisher.rows.insert(row := new_id("aaaaaaaa"))
    eventually(lambda: topologies.ask(["aaaaaaaa"]).ids == {row}, "the row is replicated")
    answer = topologies.ask(["aaaaaaaa"])
    assert "subscription copy, " in answer.behind
    assert answer.identity == before.identity
    assert opened(publisher.url).ask(["aaaaaaaa"]).behind == ""
    subscriber.execute("ALTER SUBSCRIPTION copy DISABLE")
    assert "subscription copy (disabled)" in topologies.ask([]).behind
    assert opened(subscriber.url, allow_replica=True).ask([]).behind == ""
    subscriber.execute("DROP SUBSCRIPTION copy")
    assert topologies.ask([]).behind == ""


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_a_row_that_a_subscription_brings_in_another_way_is_behind(
    publisher: Side, subscriber: Side, opened: Open, shape: tuple[str, tuple[str, ...]]
) -> None:
    table, made = shape
    for statement in made:
        subscriber.execute(statement)
    topologies = reader(subscriber, opened)
    assert topologies.ask([]).behind == ""
    subscribe(publisher, subscriber, table)
    assert "subscription copy" in topologies.ask([]).behind


def test_a_subscription_of_another_table_is_no_source(
    publisher: Side, subscriber: Side, opened: Open
) -> None:
    subscribe(publisher, subscriber, "attacks")
    assert reader(subscriber, opened).ask([]).behind == ""


def test_rows_on_another_server_may_be_behind(postgres_side: Side, opened: Open) -> None:
    topologies = reader(postgres_side, opened)
    assert topologies.ask([]).behind == ""
    postgres_side.execute("CREATE FOREIGN DATA WRAPPER nothing")
    postgres_side.execute("CREATE SERVER other FOREIGN DATA WRAPPER nothing")
    postgres_side.execute("CREATE FOREIGN TABLE far () INHERITS (topologies) SERVER other")
    with topologies.reading() as reading:  # there is no such server to ask
        assert "foreign table far" in reading.behind.why


def test_pglogical_is_behind_where_it_subscribes_and_where_that_cannot_be_seen(
    postgres_side: Side, opened: Open
) -> None:
    topologies = reader(postgres_side, opened)
    postgres_side.execute("CREATE SCHEMA pglogical")
    postgres_side.execute("CREATE TABLE pglogical.subscription (sub_id OID, sub_name NAME)")
    behind = topologies.ask([]).behind
    grants = behind[behind.index("GRANT") :].split("; ")
    assert len(grants) == 2
    for grant in grants:
        assert grant in topologies.ask([]).behind
        postgres_side.execute(grant)
    assert topologies.ask([]).behind == ""
    postgres_side.execute("INSERT INTO pglogical.subscription VALUES (1, 'copy')")
    assert "subscription of pglogical" in topologies.ask([]).behind
    assert opened(postgres_side.url).ask([]).behind == topologies.ask([]).behind
