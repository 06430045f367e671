"""Rows go in every way that SQL knows, and push tells of it; no sweep and no grace helps."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import docker
import pytest

from tests.engine.conftest import exists
from tests.engine.push.conftest import Start, plant, planted, removed
from tests.servers.conftest import mariadb_alone
from tests.support.decnet import new_id
from tests.support.rows import Rows
from tests.support.servers import PrivateServer

WRITERS = 4


@pytest.fixture
def cascading(rows: Rows) -> Callable[[str], None]:
    """Lets rows depend on rows of another table, and deletes one of those by its id."""
    rows.execute("CREATE TABLE owners (id VARCHAR(36) PRIMARY KEY)")
    rows.execute("INSERT INTO owners SELECT id FROM topologies")
    rows.execute(
        "ALTER TABLE topologies ADD FOREIGN KEY (id) REFERENCES owners (id) ON DELETE CASCADE"
    )

    def delete(id_: str) -> None:
        rows.execute("DELETE FROM owners WHERE id = ?", id_)

    return delete


def owned(api: docker.APIClient, rows: Rows) -> tuple[str, str]:
    """The id and the container of a topology whose row depends on one of `owners`."""
    id_ = new_id()
    rows.execute("INSERT INTO owners VALUES (?)", id_)
    rows.insert(id_)
    return id_, plant(api, id_)


def test_rows_that_go_in_any_way_take_what_they_owned_and_nothing_else(
    api: docker.APIClient, rows: Rows, live: str, start: Start
) -> None:
    ids, containers = zip(*planted(api, rows, 4).items(), strict=True)
    listener = start()
    successor = plant(api, new := new_id())
    rows.take_back(live, *ids)
    rows.execute("UPDATE topologies SET status = 'failed' WHERE id = ?", live)
    rows.execute("UPDATE topologies SET id = ? WHERE id = ?", new, ids[0])
    removed(api, containers[0])
    rows.insert(*(new_id() for _ in range(300)))
    rows.execute("DELETE FROM topologies WHERE id NOT IN (?, ?, ?)", live, new, ids[3])
    removed(api, *containers[:3])
    gone = {line["id"] for line in listener.await_log("removed", 3)}
    assert gone == set(containers[:3]), "what was rolled back removed nothing"
    listener.signal(signal.SIGSTOP)
    for _ in range(20):  # it is back before anybody looks
        rows.renew(live)
        rows.delete(live)
        rows.insert(live)
    listener.signal(signal.SIGCONT)
    rows.delete(ids[3])
    removed(api, containers[3])
    assert exists(api, successor)


@pytest.mark.parametrize("kind", ["mariadb"])
def test_a_table_that_is_truncated_loses_all(
    api: docker.APIClient, rows: Rows, start: Start
) -> None:
    here = planted(api, rows, 3)
    start()
    rows.execute("TRUNCATE TABLE topologies")
    removed(api, *here.values())


@mariadb_alone
@pytest.mark.parametrize("kind", ["mariadb"])
@pytest.mark.usefixtures("live")
def test_the_sweep_finds_what_a_foreign_key_took_and_says_so(
    api: docker.APIClient, rows: Rows, start: Start, cascading: Callable[[str], None]
) -> None:
    id_, container = owned(api, rows)
    listener = start()
    cascading(id_)
    listener.signal(signal.SIGUSR1)
    removed(api, container)
    (line,) = listener.await_log("unheard")
    assert line["prefix"] == id_[:8]
    assert line["count"] == 1
    assert "no feed told of it" in line["message"]


@pytest.mark.usefixtures("live")
def test_what_many_writers_delete_at_once_goes_without_a_sweep(
    api: docker.APIClient, rows: Rows, start: Start, database_url: str
) -> None:
    here = planted(api, rows, 48)
    listener = start()
    ids = list(here)
    with ExitStack() as stack, ThreadPoolExecutor(WRITERS) as pool:
        writers = [stack.enter_context(Rows(database_url)) for _ in range(WRITERS)]
        shares = [ids[number::WRITERS] for number in range(WRITERS)]
        list(pool.map(lambda writer, share: writer.delete_each(*share, noise=20), writers, shares))
    gone = listener.await_log("removed", len(ids))
    assert len(listener.logged("listed")) == 1, "no sweep helped"
    assert {line["id"] for line in gone} == set(here.values())


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.usefixtures("live")
def test_what_appears_after_its_deletion_was_reported_goes_at_once(
    api: docker.APIClient, rows: Rows, start: Start
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    start()
    never = plant(api, new_id())
    early = new_id()
    rows.insert(early)
    rows.delete(early)
    rows.delete(doomed)
    removed(api, container)  # so that what came before it was heard as well
    removed(api, plant(api, early))
    assert exists(api, never), "of which nobody reported anything"


@mariadb_alone
@pytest.mark.parametrize("kind", ["mariadb"])
@pytest.mark.usefixtures("live")
def test_a_deletion_that_is_logged_before_it_is_visible_is_asked_about_again(
    api: docker.APIClient, rows: Rows, start: Start, server: PrivateServer
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    listener = start()
    # Between the log and the commit it now waits 300 ms for a replica, of which there is none.
    server.execute("SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC")
    server.execute("SET GLOBAL rpl_semi_sync_master_timeout = 300")
    server.execute("SET GLOBAL rpl_semi_sync_master_enabled = 1")
    try:
        rows.delete(doomed)
        ((waits,),) = server.execute(
            "SELECT variable_value FROM information_schema.global_status"
            " WHERE variable_name = 'Rpl_semi_sync_master_no_times'"
        )
        assert int(waits) > 0, "it did wait"
        removed(api, container)
    finally:
        server.execute("SET GLOBAL rpl_semi_sync_master_enabled = 0")
    assert [line["id"] for line in listener.await_log("removed")] == [container]
