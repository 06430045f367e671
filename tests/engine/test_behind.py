"""Nothing alive goes because a database is behind, is away, or is not the one that knows of it.

Each database here answers "no such row" of what is alive. What makes an answer doubtful on each
kind of server is asked of the servers themselves, in ``tests/servers`` and ``tests/database``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import docker
import pytest

from tests.conftest import make_table
from tests.engine.conftest import Run, exists, witnessed
from tests.engine.push.conftest import plant, removed, sweep
from tests.servers.conftest import HEARING, READING, fresh_side
from tests.support.decnet import new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

SOON = ("--grace", "1", "--poll-interval", "0.1")
PATIENT = ("--grace", "100000", "--sweep-interval", "100000")


def swept(listener: ListenerProcess) -> None:
    """Have everything looked at several times."""
    for _ in range(3):
        sweep(listener)


# A copy that is behind.


@dataclass(frozen=True)
class Copy:
    """A database that follows another one.

    Attributes:
        url: of the copy, which the listener is given.
        origin: writes the rows.
        stop: lets it fall behind.
        resume: lets it catch up.
    """

    url: str
    origin: Rows
    stop: Callable[[], object]
    resume: Callable[[], object]


def replica(stack: ExitStack, primary: PrivateMariaDB) -> Copy:
    """A replica of MariaDB, or MySQL, that does not say read_only."""
    other = type(primary)()
    stack.enter_context(other)
    other.follow(primary)
    other.execute("START REPLICA")
    name = stack.enter_context(primary.fresh_database())
    origin = stack.enter_context(Rows(primary.url(database=name)))
    origin.create_table()
    eventually(lambda: has_table(other, name), "the replica has the table")
    return Copy(
        other.url(database=name),
        origin,
        lambda: other.execute("STOP REPLICA SQL_THREAD"),
        lambda: other.execute("START REPLICA SQL_THREAD"),
    )


def has_table(server: PrivateServer, database: str) -> bool:
    """Whether a database has come to a server."""
    query = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s"
    return bool(server.execute(query, database))


def subscriber(stack: ExitStack, server: PrivatePostgres) -> Copy:
    """A table in PostgreSQL that a logical subscription fills."""
    one, other = (stack.enter_context(server.fresh_database()) for _ in range(2))
    origin = stack.enter_context(Rows(server.url(database=one)))
    origin.create_table()
    with Rows(server.url(database=other)) as rows:
        rows.create_table()
    server.execute("CREATE PUBLICATION ours FOR TABLE topologies", database=one)
    slot = f"SELECT pg_create_logical_replication_slot('{one}', 'pgoutput')"
    server.execute(slot, database=one)
    server.execute(
        f"CREATE SUBSCRIPTION copy CONNECTION '{server.url(database=one)}' PUBLICATION ours"
        f" WITH (create_slot = false, slot_name = '{one}', copy_data = false)",
        database=other,
    )
    stack.callback(server.execute, "DROP SUBSCRIPTION copy", database=other)
    return Copy(
        server.url(database=other),
        origin,
        lambda: server.execute("ALTER SUBSCRIPTION copy DISABLE", database=other),
        lambda: server.execute("ALTER SUBSCRIPTION copy ENABLE", database=other),
    )


@pytest.mark.parametrize(("make", "server"), [(replica, "own_mariadb"), (subscriber, "postgres")])
def test_what_is_deployed_on_the_origin_stays_while_its_copy_is_behind(
    api: docker.APIClient,
    run: Run,
    make: Callable[[ExitStack, PrivateServer], Copy],
    server: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        copy = make(stack, request.getfixturevalue(server))
        # Nothing tells of what a replica applies.
        listener = run(*SOON, "--feed", "poll", url=copy.url)
        stack.callback(listener.kill)
        copy.origin.insert(known := new_id())
        neighbour = plant(api, known)
        listener.start()
        stays(api, listener, neighbour)
        copy.stop()
        copy.origin.insert(late := new_id())
        deployed = plant(api, late)
        eventually(lambda: late[:8] in last_held(listener), "it is held")
        swept(listener)
        listener.kill()
        listener.start()
        swept(listener)
        assert exists(api, deployed, neighbour), "nor does a restart release it"
        copy.resume()
        eventually(lambda: late in witnessed(tmp_path / "state"), "its row is seen")
        copy.origin.delete(late)
        removed(api, deployed)
        assert exists(api, neighbour)


def last_held(listener: ListenerProcess) -> str:
    """What was said last to be held."""
    lines = listener.logged("held")
    return str(lines[-1]["prefix"]) if lines else ""


def stays(api: docker.APIClient, listener: ListenerProcess, container: str) -> None:
    """See that this one was asked about, and is there."""
    swept(listener)
    assert exists(api, container)


# Another database on the same host.


def test_what_another_database_owns_stays(
    api: docker.APIClient, rows: Rows, run: Run, tmp_path: Path
) -> None:
    rows.insert(ours := new_id())
    mine = plant(api, ours)
    with Rows(tmp_path / "other.db") as other:
        other.create_table()
        listener = run(*SOON)
        listener.start()
        other.insert(theirs := new_id())
        foreign = plant(api, theirs)
        eventually(lambda: theirs[:8] in last_held(listener), "it is held")
        swept(listener)
        listener.kill()
        told = len(listener.logged("held"))
        listener.start()
        listener.await_log("held", count=told + 1)
        swept(listener)
        assert exists(api, mine, foreign), "nor does a restart release it"
        listener.kill()
        both = run(*SOON, "--database-url", f"sqlite:///{tmp_path / 'other.db'}")
        both.start()
        swept(both)
        assert exists(api, mine, foreign)
        assert not both.logged("held")
        other.delete(theirs)
        removed(api, foreign)


# An outage.


def test_an_outage_is_no_absence(
    api: docker.APIClient, rows: Rows, run: Run, database: Path, tmp_path: Path
) -> None:
    grace = 8.0
    rows.insert(known := new_id())
    neighbour, stranger = plant(api, known), plant(api, new_id())
    listener = run("--grace", str(grace), "--poll-interval", "0.1")
    listener.start()
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    away = database.rename(tmp_path / "away.db")
    (down,) = listener.await_log("down")
    eventually(
        lambda: (datetime.now().astimezone() - moment(down)).total_seconds() > grace,
        "the outage lasts as long as the grace",
    )
    away.rename(database)
    removed(api, stranger)
    (up,) = listener.await_log("up", count=3)[2:]  # Docker and the database, and once more
    (started,), (gone,) = listener.await_log("started"), listener.await_log("removed")
    # A second less, for the clock of the log may have been set.
    observed = (moment(down) - moment(started)) + (moment(gone) - moment(up))
    assert observed.total_seconds() > grace - 1
    assert exists(api, neighbour)


def moment(line: dict[str, str]) -> datetime:
    """When a line was logged."""
    return datetime.fromisoformat(line["time"])


# What is still removed.


ACCOUNTS = {
    "postgres": HEARING,
    "mariadb": HEARING,
    "mariadb, to poll": READING,
}


@pytest.fixture(params=["sqlite", *ACCOUNTS])
def reader(request: pytest.FixtureRequest) -> Iterator[tuple[str, Rows]]:
    """The URL of an account with the documented rights, and a writer."""
    if request.param == "sqlite":
        yield request.getfixturevalue("url"), request.getfixturevalue("rows")
        return
    with fresh_side(request, request.param.partition(",")[0]) as side:
        yield side.reader(*ACCOUNTS[request.param][type(side.server)]), side.rows


def test_an_orphan_from_before_the_start_goes_where_the_database_is_the_origin(
    api: docker.APIClient, run: Run, reader: tuple[str, Rows]
) -> None:
    url, rows = reader
    rows.insert(known := new_id())
    neighbour, orphan = plant(api, known), plant(api, new_id())
    listener = run(*SOON, url=url)
    listener.start()
    removed(api, orphan)
    assert exists(api, neighbour)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def pushed(request: pytest.FixtureRequest) -> Iterator[tuple[str, Rows]]:
    """A database that tells of deletions, and a writer."""
    if request.param == "sqlite":
        yield request.getfixturevalue("url"), request.getfixturevalue("rows")
        return
    with fresh_side(request, request.param) as side:
        make_table(side.rows, side.url)
        yield side.url, side.rows


def test_a_row_that_went_before_the_first_answer_is_explained_by_its_report(
    api: docker.APIClient, run: Run, pushed: tuple[str, Rows]
) -> None:
    url, rows = pushed
    rows.insert(known := new_id(), *(others := [new_id(), new_id()]))
    neighbour, *witnesses = (plant(api, id_) for id_ in (known, *others))
    listener = run(*PATIENT, url=url)
    listener.start()
    listener.await_log("feed")
    rows.insert(short := new_id())
    # The question that follows the connection may find the first of them gone; the second is found
    # by one that follows a commit, so that by then the feed has seen the row.
    for other, witness in zip(others, witnesses, strict=True):
        rows.delete(other)
        removed(api, witness)
    rows.delete(short)
    late = plant(api, short)
    removed(api, late)  # after it was held, if its container was heard of first
    assert exists(api, neighbour)
