"""Whatever breaks, every orphan goes once everything is back, and nothing alive ever does."""

from __future__ import annotations

import signal
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, gone
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import call, eventually
from tests.support.proxy import Action, FaultProxy, Request, answer
from tests.support.rows import Rows

NO_SWEEP = ("--sweep-interval", "100000")


def deployed(api: docker.APIClient, rows: Rows, count: int) -> list[Topology]:
    """So many live topologies."""
    ids = [new_id() for _ in range(count)]
    rows.insert(*ids)
    return [deploy(api, id_, decky_numbers=(2 * n, 2 * n + 1)) for n, id_ in enumerate(ids)]


def test_the_engine_is_killed_and_comes_back_while_rows_are_deleted(
    engine: PrivateEngine, api: docker.APIClient, rows: Rows, run: Run
) -> None:
    before, meanwhile, live = deployed(api, rows, 3)
    listener = run(*NO_SWEEP)
    listener.start()
    rows.delete(before.id)
    engine.kill()
    rows.delete(meanwhile.id)
    listener.await_log("down")
    engine.start()

    gone(api, before, meanwhile)
    # The engine stops what survived its death; it does not remove it, and neither do we.
    assert sorted(live.remaining(api)) == sorted(live.names)
    told = [line["message"] for line in listener.logged("down") if line["side"] == "Docker"]
    assert len(told) == len(set(told)), "each reason is said once"


def test_an_engine_that_is_not_there_yet_is_waited_for(
    engine: PrivateEngine, api: docker.APIClient, rows: Rows, run: Run
) -> None:
    orphan, live = deployed(api, rows, 2)
    engine.kill()
    listener = run()
    listener.start(wait=False)
    listener.await_log("down")
    rows.delete(orphan.id)
    assert not listener.logged("ready")
    engine.start()
    listener.await_log("ready")
    gone(api, orphan)
    assert sorted(live.remaining(api)) == sorted(live.names)


def test_nothing_is_removed_while_the_database_file_is_away(
    api: docker.APIClient, rows: Rows, run: Run, database: Path
) -> None:
    orphan, live = deployed(api, rows, 2)
    listener = run("--poll-interval", "0.05", "--sweep-interval", "0.2")
    listener.start()

    away = database.with_name("away.db")
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.rename(away)
    (down,) = listener.await_log("down")
    assert "does not exist" in down["error"]
    rows.delete(orphan.id)  # the writer still has the file open, wherever it is
    rows.noise(50)
    listener.signal(signal.SIGUSR1)
    orphan.assert_intact(api)
    assert len(listener.logged("down")) == 1
    away.rename(database)

    gone(api, orphan)
    live.assert_intact(api)
    assert len(listener.logged("down")) == 1, "said once, not at every retry"


@pytest.mark.parametrize("moment", [1, 6])
def test_a_listener_killed_in_the_midst_of_a_reap_goes_on_after_its_restart(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy, moment: int
) -> None:
    orphan, live = deployed(api, rows, 2)
    listener = run(host=proxy.host)
    listener.start()
    proxy.clear()
    rows.delete(orphan.id)
    eventually(lambda: len(proxy.requests) >= moment, "the reap has begun")
    listener.kill()
    listener.start()
    gone(api, orphan)
    live.assert_intact(api)


def test_one_refused_removal_holds_nothing_up_and_is_told_until_it_works(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy, database: Path
) -> None:
    orphan, live = deployed(api, rows, 2)
    name, refused = next(iter(orphan.services.items()))

    def refuse(request: Request) -> Action | None:
        if request.method == "DELETE" and refused in request.path:
            return answer(500, '{"message": "device or resource busy"}')
        return None

    proxy.hook = refuse
    listener = run(host=proxy.host)
    listener.start()
    rows.delete(orphan.id)

    eventually(
        lambda: set(orphan.remaining(api)) <= {name, *orphan.volumes}, "all but the one is gone"
    )
    # Three attempts a round.
    eventually(lambda: sum(refuse(r) is not None for r in proxy.requests) >= 7, "it is retried")
    (failed,) = listener.await_log("failed")
    assert "device or resource busy" in failed["error"]
    assert failed["name"] == name

    options = ["--docker-host", proxy.host, "--database-url", f"sqlite:///{database}"]
    result = call("sweep", "--json", "--grace", "0", *options)
    assert result.returncode == 1
    assert "device or resource busy" in result.stdout
    live.assert_intact(api)

    proxy.hook = None
    gone(api, orphan)


def test_streams_that_are_cut_lose_no_deletion(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    listener = run(*NO_SWEEP, host=proxy.host)
    (live,) = deployed(api, rows, 1)
    listener.start()
    for number in (10, 11):
        rows.insert(doomed := new_id())
        orphan = deploy(api, doomed, decky_numbers=(number,))
        proxy.cut_streams()
        rows.delete(doomed)
        gone(api, orphan)
    live.assert_intact(api)
    assert not [line for line in listener.logged("down") if line["side"] == "Docker"]


def test_a_stream_that_ends_at_once_every_time_loses_no_deletion(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    (orphan,) = deployed(api, rows, 1)
    proxy.hook = lambda request: answer(200) if request.is_stream else None
    run(host=proxy.host).start()
    eventually(lambda: sum(r.is_stream for r in proxy.requests) >= 3, "it reconnects")
    rows.delete(orphan.id)
    gone(api, orphan)
