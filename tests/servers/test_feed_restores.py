"""A feed whose table makes room for another is taken anew once an answer shows that.

Nothing else can show it here: no look of a feed's own is due before the test has long ended.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from debian_packages import system_environment

from listener.core.judge import Ask
from listener.databases.feed import Feed
from listener.databases.postgres import feed as postgres_feed
from listener.errors import NoAnswer
from listener.runtime.build import hear, open_databases, open_state, open_tables
from listener.settings import Settings
from tests.servers.conftest import NEVER, Ear, Side, hears, one_line
from tests.support.servers import FOREIGN

Heard = Callable[[Side], tuple[Feed, Ask]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Heard]:
    """How a listener hears and asks a database, with no more rights than that takes."""
    monkeypatch.setattr(postgres_feed, "LONGEST_SILENCE", NEVER)
    with ExitStack() as stack:

        def open_(side: Side) -> tuple[Feed, Ask]:
            settings = Settings(
                database_url=side.listener(), sweep_interval=NEVER, state_dir=str(tmp_path)
            )
            state = stack.enter_context(closing(open_state(settings)))
            databases = open_databases(settings, open_tables(settings), state)
            (database,) = hear(settings, databases, frozenset)
            stack.callback(database.topologies.close)
            return database.feed, database.asking(threading.Event())

        yield open_


def run(*command: str, script: str = "") -> str:
    """What a program of PostgreSQL's prints."""
    done = subprocess.run(
        command,
        input=script,
        env=system_environment(*FOREIGN),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def dump(side: Side) -> str:
    """A dump that makes everything anew, as an operator makes it."""
    return run("pg_dump", "--clean", "--if-exists", "--dbname", side.url)


def restore(side: Side, script: str) -> None:
    """Read it in, statement by statement, each committed by itself."""
    run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", side.url, script=script)


def test_after_a_restore_it_hears_the_table_that_is_there_now(
    postgres_side: Side, ear: Ear, heard: Heard
) -> None:
    ear.install(postgres_side)
    feed, ask = heard(postgres_side)
    follower = ear.follow(feed)
    ask(["aaaaaaaa"])
    hears(follower, postgres_side.rows)
    restore(postgres_side, dump(postgres_side))
    ask(["aaaaaaaa"])
    assert "another table" in one_line(follower.await_end(NoAnswer))
    again = ear.follow(feed)
    ask(["aaaaaaaa"])
    hears(again, postgres_side.rows)
    assert feed.name == "notify"


def test_after_a_restore_without_the_triggers_it_polls_and_says_so(
    postgres_side: Side, ear: Ear, heard: Heard, warned: list[str]
) -> None:
    feed, ask = heard(postgres_side)
    script = dump(postgres_side)
    ear.install(postgres_side)
    postgres_side.execute("GRANT SELECT ON topologies TO PUBLIC")
    follower = ear.follow(feed)
    ask(["aaaaaaaa"])
    restore(postgres_side, script)
    ask(["aaaaaaaa"])
    follower.await_end(NoAnswer)
    ear.follow(feed).await_hints(2)
    assert feed.name == "poll"
    (said,) = warned
    assert "lacks the triggers" in said


def test_a_table_that_another_was_renamed_to_is_heard_by_who_was_told_which_it_is(
    mariadb_side: Side, ear: Ear, heard: Heard
) -> None:
    feed, ask = heard(mariadb_side)
    mariadb_side.execute("CREATE TABLE newer LIKE topologies")
    follower = ear.follow(feed)
    ask(["aaaaaaaa"])
    mariadb_side.execute("RENAME TABLE topologies TO older, newer TO topologies")
    ask(["aaaaaaaa"])
    assert "another table" in one_line(follower.await_end(NoAnswer))
    hears(ear.follow(feed), mariadb_side.rows)
