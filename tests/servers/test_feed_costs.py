"""How fast the feeds are, and what they and the questions cost, compared in one run and printed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest
import sqlalchemy as sa

from listener.database.feeds.poll import PollFeed
from listener.database.topologies import BATCH, rows_with
from tests.servers.conftest import Ear, Explain, Open, Opened, Side, heard_of
from tests.support.decnet import new_id
from tests.support.follower import Follower
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres

KINDS = ["sqlite", "postgresql", "mariadb"]


@pytest.fixture
def mariadb(own_mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One that nobody else uses."""
    return own_mariadb


def latencies(rows: Rows, push: Follower, poll: Follower) -> tuple[list[float], list[float]]:
    """The milliseconds from each of 200 commits to the hints of a push feed and a polling one."""
    ids, pause = [new_id() for _ in range(200)], random.Random(7)
    rows.insert(*ids)
    push.await_hints(1)
    commits, pushed = [], []
    for id_ in ids:
        time.sleep(pause.uniform(0.0, 0.04))  # polling may be in any phase
        before = push.hints
        commits.append(rows.delete(id_))
        push.await_hints(before + 1)
        assert push.heard[before].ids in (None, [id_])
        pushed.append((push.heard[before].at - commits[-1]) / 1e6)
    eventually(lambda: poll.heard[-1].at > commits[-1], "the last hint of polling")
    later = ((min(hint.at for hint in poll.heard if hint.at > at), at) for at in commits)
    return pushed, [(hint - at) / 1e6 for hint, at in later]


def test_push_is_never_slower_than_polling(
    request: pytest.FixtureRequest, opened: Open, ear: Ear, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["", "from the commit to the hint, 200 deletions each"]
    for kind in KINDS:
        url = request.getfixturevalue(f"{kind}_url")
        with Rows(url) as rows:
            rows.create_table()
            topologies = opened(url)
            if kind == "postgresql":
                topologies.change_triggers("install")
            push = ear.follow(topologies.push(look_every=1.0, check_every=300.0))
            poll = ear.follow(PollFeed(1.0))
            pushed, polled = latencies(rows, push, poll)
            for name, times in (("push", pushed), ("poll", polled)):
                worst = f"worst {max(times):7.2f} ms"
                lines.append(f"{kind:<10} {name}: median {median(times):7.2f} ms, {worst}")
            push.end()
            poll.end()
            assert max(pushed) <= median(polled)
    with capsys.disabled():
        print("\n".join(lines))


def test_an_idle_listener_costs_a_server_a_query_a_minute_at_most(
    opened: Open, ear: Ear, mariadb: PrivateMariaDB, capsys: pytest.CaptureFixture[str]
) -> None:
    preload = ("-c", "shared_preload_libraries=pg_stat_statements")
    with PrivatePostgres(options=preload) as postgres, ExitStack() as stack:
        sides = [stack.enter_context(_fresh(server)) for server in (postgres, mariadb)]
        postgres.execute("CREATE EXTENSION pg_stat_statements")
        mariadb.execute("SET GLOBAL userstat = 1")
        stack.callback(mariadb.execute, "SET GLOBAL userstat = 0")
        for side in sides:
            ear.install(side)
        urls = [side.listener() for side in sides]
        roles = [sa.make_url(url).username for url in urls]

        def counts() -> list[int]:
            ((in_postgres,),) = postgres.execute(
                "SELECT COALESCE(sum(calls), 0) FROM pg_stat_statements"
                f" WHERE userid = '{roles[0]}'::regrole"
            )
            ((in_mariadb,),) = mariadb.execute(
                "SELECT COALESCE(SUM(select_commands + update_commands + other_commands), 0)"
                f" FROM information_schema.user_statistics WHERE user = '{roles[1]}'"
            )
            return [int(in_postgres), int(in_mariadb)]

        topologies = [opened(url) for url in urls]
        feeds = [each.push(look_every=1.0, check_every=300.0) for each in topologies]
        followers = [ear.follow(feed) for feed in feeds]
        began, before = time.monotonic(), counts()
        eventually(lambda: time.monotonic() > began + 61.0, "a minute")
        after = counts()
        idle = [later - earlier for earlier, later in zip(before, after, strict=True)]
        with capsys.disabled():
            print(f"\nqueries in 61 idle seconds: PostgreSQL {idle[0]}, MariaDB {idle[1]}")
        assert max(idle) <= 1
        for side, follower in zip(sides, followers, strict=True):
            assert heard_of(follower, side.rows, lambda: None) == []
            follower.end()
        for each in topologies:
            each.ask([])
            each._engine.dispose()
        assert all(later > earlier for earlier, later in zip(after, counts(), strict=True))


@contextmanager
def _fresh(server: PrivatePostgres | PrivateMariaDB) -> Iterator[Side]:
    with server.fresh_database() as name, Rows(server.url(database=name)) as rows:
        rows.create_table()
        yield Side(server, name, server.url(database=name), rows)


# The size of the table.

FILL = {
    "sqlite": """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT {rows})
        INSERT INTO topologies (id)
        SELECT printf('%08x-0000-4000-8000-000000000000', n * {step}) FROM numbers
    """,
    "postgresql": """
        INSERT INTO topologies (id)
        SELECT lpad(to_hex(n * {step}), 8, '0') || '-0000-4000-8000-000000000000'
        FROM generate_series(1, {rows}::bigint) n
    """,
    "mariadb": """
        INSERT INTO topologies (id)
        SELECT CONCAT(LPAD(LOWER(HEX(seq * {step})), 8, '0'), '-0000-4000-8000-000000000000')
        FROM seq_1_to_{rows}
    """,
}
"""Rows with ids that are spread evenly."""
ANALYZE = {"sqlite": "ANALYZE", "postgresql": "ANALYZE topologies"}
ANALYZE["mariadb"] = "ANALYZE TABLE topologies"


def fill(kind: str, rows: Rows, count: int) -> list[str]:
    """Insert so many rows; returns prefixes of BATCH of them."""
    step = 2**32 // (count + 1)
    rows.create_table()
    if kind == "mariadb":
        rows.execute("SET SESSION sql_log_bin = 0")
    rows.execute(FILL[kind].format(rows=count, step=step))
    rows.execute(ANALYZE[kind])
    return [f"{n * step:08x}" for n in random.Random(7).sample(range(1, count + 1), BATCH)]


def uses_primary_key(kind: str, topologies: Opened, prefixes: list[str]) -> bool:
    """Whether the plan of the question is one range of the primary key for each prefix."""
    with topologies.reading() as reading:
        statement, parameters = rows_with(prefixes, reading.table)
        plan = reading.connection.execute(Explain(statement), parameters).all()
    text = "\n".join(str(step) for step in plan)
    if kind == "sqlite":
        index = "USING COVERING INDEX sqlite_autoindex_topologies_1 (id>? AND id<?)"
        return text.count(index) == len(prefixes) and "SCAN" not in text
    if kind == "postgresql":
        return text.count("topologies_pkey") == len(prefixes) and "Seq Scan" not in text
    return [(row[3], row[5]) for row in plan] == [("range", "PRIMARY")]


@pytest.fixture(params=KINDS)
def two_sizes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The kind of database, and the URLs of two fresh ones."""
    kind: str = request.param
    if kind == "sqlite":
        yield kind, [f"sqlite:///{tmp_path / name}" for name in ("small.db", "large.db")]
        return
    server = request.getfixturevalue("postgres" if kind == "postgresql" else kind)
    with server.fresh_database() as small, server.fresh_database() as large:
        yield kind, [server.url(database=name) for name in (small, large)]


def test_a_million_rows_are_asked_about_like_a_thousand(
    two_sizes: tuple[str, list[str]], opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, urls = two_sizes
    asked: list[tuple[Opened, list[str]]] = []
    for url, count in zip(urls, (1_000, 1_000_000), strict=True):
        with Rows(url) as rows:
            prefixes = fill(kind, rows, count)
            topologies = opened(url)
            assert len(topologies.ask(prefixes).ids) == BATCH
            assert uses_primary_key(kind, topologies, prefixes)
            asked.append((topologies, prefixes))
    times: list[list[float]] = [[], []]
    for _ in range(60):
        for (topologies, prefixes), took in zip(asked, times, strict=True):
            began = time.perf_counter()
            assert len(topologies.ask(prefixes).ids) == BATCH
            took.append((time.perf_counter() - began) * 1000)
    small, large = (median(took) for took in times)
    with capsys.disabled():
        print(
            f"\n{kind}: {BATCH} prefixes in 1,000 rows {small:.2f} ms, in 1,000,000 {large:.2f} ms"
        )
    assert large <= 2 * small
    for topologies, _ in asked:
        topologies._engine.dispose()
