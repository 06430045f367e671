"""Whatever breaks, every orphan goes once everything is back, and nothing alive ever does."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import docker
from private_engine import PrivateEngine

from listener.engine.client import REQUEST_TIMEOUT
from tests.engine.conftest import Run, connect
from tests.support.decnet import Topology, deploy, new_id
from tests.support.process import PATIENCE, call, eventually
from tests.support.proxy import Action, FaultProxy, Request, answer, stall
from tests.support.rows import Rows


def deployed(api: docker.APIClient, rows: Rows, count: int) -> list[Topology]:
    """So many live topologies."""
    ids = [new_id() for _ in range(count)]
    rows.insert(*ids)
    return [deploy(api, id_, decky_numbers=(2 * n, 2 * n + 1)) for n, id_ in enumerate(ids)]


def test_the_engine_is_killed_and_comes_back_while_rows_are_deleted(
    engine: PrivateEngine, api: docker.APIClient, rows: Rows, run: Run
) -> None:
    before, meanwhile, live = deployed(api, rows, 3)
    listener = run("--sweep-interval", "100000")
    listener.start()

    rows.delete(before.id)
    engine.kill()
    rows.delete(meanwhile.id)
    listener.await_log("down")
    engine.start()

    for orphan in (before, meanwhile):
        eventually(
            lambda o=orphan: not o.remaining(api),  # type: ignore[misc]
            f"{orphan.prefix} is gone",
        )
    # The engine stops what survived its death; it does not remove it, and neither do we.
    assert sorted(live.remaining(api)) == sorted(live.names)
    told = [line["message"] for line in listener.logged("down") if line["side"] == "Docker"]
    assert len(told) == len(set(told)), "each reason is said once"


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

    eventually(lambda: not orphan.remaining(api), "the orphan is gone")
    live.assert_intact(api)
    assert len(listener.logged("down")) == 1, "said once, not at every retry"


def test_nothing_is_removed_while_another_file_is_in_the_place_of_the_database(
    api: docker.APIClient, rows: Rows, run: Run, database: Path
) -> None:
    orphan, live = deployed(api, rows, 2)
    listener = run("--poll-interval", "0.05", "--sweep-interval", "0.2")
    listener.start()

    kept, other = database.with_name("kept.db"), database.with_name("other.db")
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(database, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("DELETE FROM topologies WHERE id = ?", (orphan.id,))
    database.rename(kept)
    other.rename(database)
    listener.await_log("down")
    eventually(
        lambda: "is not the file" in listener.logged("down")[-1]["error"], "the swap is noticed"
    )
    told = len(listener.logged("down"))
    for _ in range(3):
        listener.signal(signal.SIGUSR1)
        listed = len(listener.logged("listed"))
        eventually(lambda n=listed: len(listener.logged("listed")) > n, "another sweep")  # type: ignore[misc]
    orphan.assert_intact(api)
    live.assert_intact(api)
    assert len(listener.logged("down")) == told, "said once, not at every retry"

    kept.rename(database)
    rows.delete(orphan.id)
    eventually(lambda: not orphan.remaining(api), "the orphan is gone")
    live.assert_intact(api)


def test_a_listener_killed_in_the_midst_of_a_reap_goes_on_after_its_restart(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    dice = random.Random(2)
    live, *orphans = deployed(api, rows, 11)
    listener = run(host=proxy.host)
    for orphan in orphans:
        listener.start()
        proxy.clear()
        rows.delete(orphan.id)
        moment = dice.randrange(1, 12)
        eventually(lambda m=moment: len(proxy.requests) >= m, "the reap has begun")  # type: ignore[misc]
        listener.kill()
    listener.start()
    for orphan in orphans:
        eventually(
            lambda o=orphan: not o.remaining(api),  # type: ignore[misc]
            f"{orphan.prefix} is gone",
        )
    live.assert_intact(api)


def test_one_refused_removal_holds_nothing_up_and_is_retried_ever_more_rarely(
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

    def attempts() -> list[float]:
        return [r.at for r in proxy.requests if r.method == "DELETE" and refused in r.path]

    # Three attempts a round: the pauses between rounds are what grows.
    eventually(lambda: len(attempts()) >= 15, "it is tried again and again")
    rounds = attempts()[::3]
    pauses = [after - before for before, after in itertools.pairwise(rounds)]
    assert pauses[-1] > pauses[0]
    (failed,) = listener.logged("failed")
    assert "device or resource busy" in failed["error"]
    assert failed["name"] == name

    options = ["--docker-host", proxy.host, "--database-url", f"sqlite:///{database}"]
    result = call("sweep", "--json", "--grace", "0", *options)
    assert result.returncode == 1
    assert "device or resource busy" in result.stdout
    live.assert_intact(api)

    proxy.hook = None
    eventually(lambda: not orphan.remaining(api), "what heals is removed")


def test_removals_that_hang_do_not_hold_other_topologies_up_nor_the_end(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    stuck, other, live = deployed(api, rows, 3)
    never = threading.Event()

    def hang(request: Request) -> Action | None:
        ours = any(id_ in request.path for id_ in stuck.containers)
        return stall(never) if request.method == "DELETE" and ours else None

    proxy.hook = hang
    listener = run(host=proxy.host)
    listener.start()
    proxy.clear()
    rows.delete(stuck.id)
    eventually(
        lambda: sum(hang(r) is not None for r in proxy.requests) == 4, "as many as can be hang"
    )
    rows.delete(other.id)
    eventually(lambda: not other.remaining(api), "the other is gone")
    assert sum(hang(r) is not None for r in proxy.requests) == 4, "before the first was given up"
    live.assert_intact(api)
    assert listener.stop() == 0
    stuck.assert_intact(api)


def test_the_end_does_not_wait_for_removals_that_hang(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    (stuck,) = deployed(api, rows, 1)
    never, told = threading.Event(), threading.Event()

    def hang(request: Request) -> Action | None:
        if request.method != "DELETE":
            return None
        # The first answers once the end is on its way, so that more would follow it.
        first = sum(r.method == "DELETE" for r in proxy.requests) == 1
        return stall(told if first else never)

    listener = run(host=proxy.host)
    listener.start()
    proxy.clear()
    proxy.hook = hang
    rows.delete(stuck.id)
    eventually(lambda: sum(r.method == "DELETE" for r in proxy.requests) == 4, "four hang")
    listener.signal(signal.SIGTERM)
    told.set()
    assert listener.process is not None
    assert listener.process.wait(PATIENCE) == 0
    first = next(r.at for r in proxy.requests if r.method == "DELETE")
    assert time.monotonic() - first < REQUEST_TIMEOUT, "none was given up yet"
    assert sum(r.method == "DELETE" for r in proxy.requests) == 4, "none was begun any more"


def test_what_appears_beside_a_removal_that_is_refused_goes_at_once(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    (orphan,) = deployed(api, rows, 1)
    refused = next(iter(orphan.services.values()))

    def refuse(request: Request) -> Action | None:
        ours = request.method == "DELETE" and refused in request.path
        return answer(500, '{"message": "device or resource busy"}') if ours else None

    def attempts() -> int:
        return sum(refuse(r) is not None for r in proxy.requests)

    proxy.hook = refuse
    run(host=proxy.host).start()
    rows.delete(orphan.id)
    eventually(lambda: attempts() >= 15, "the pauses have grown")
    labels = {"decnet.topology.id": orphan.id}
    for number in range(5):
        before = attempts()
        late = api.create_container("busybox", ["true"], name=f"late-{number}", labels=labels)["Id"]
        eventually(lambda id_=late: not api.containers(all=True, filters={"id": id_}), "it is gone")  # type: ignore[misc]
        assert attempts() - before <= 6, "it did not wait for the growing pause"


def test_rows_deleted_while_the_engine_is_away_are_told_in_few_words(
    engine: PrivateEngine, api: docker.APIClient, rows: Rows, run: Run
) -> None:
    orphans = deployed(api, rows, 3)
    listener = run()
    listener.start()
    engine.kill()
    listener.await_log("down")
    rows.delete(*(orphan.id for orphan in orphans))
    engine.start()
    for orphan in orphans:
        eventually(lambda o=orphan: not o.remaining(api), f"{orphan.prefix} is gone")  # type: ignore[misc]
    assert not listener.logged("failed")


def test_a_stream_that_ends_at_once_every_time_is_not_hammered(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    (orphan,) = deployed(api, rows, 1)
    proxy.hook = lambda request: answer(200) if request.is_stream else None
    run(host=proxy.host).start()
    eventually(lambda: sum(r.is_stream for r in proxy.requests) >= 8, "it reconnects")
    streams = [r.at for r in proxy.requests if r.is_stream]
    assert streams[7] - streams[6] > streams[1] - streams[0]
    rows.delete(orphan.id)
    eventually(lambda: not orphan.remaining(api), "the orphan is gone")


def test_what_is_held_after_a_vacuum_goes_by_the_command_that_the_log_gives(
    api: docker.APIClient, rows: Rows, run: Run, engine: PrivateEngine, database: Path
) -> None:
    orphan, live = deployed(api, rows, 2)
    listener = run()
    listener.start()
    # One lock, so that nobody sees the one without the other: to the listener it is a new table.
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM topologies WHERE id = ?", (orphan.id,))
        connection.execute("CREATE INDEX migrated ON topologies (status)")
        connection.execute("COMMIT")
    (held,) = listener.await_log("held")
    assert held["prefix"] == orphan.prefix
    orphan.assert_intact(api)
    options = ["--docker-host", engine.host, "--database-url", f"sqlite:///{database}"]
    words = held["message"].split("topology-reaper sweep ")[1].split()
    result = call("sweep", *words, *options)
    assert result.returncode == 0, result.stderr + result.stdout
    assert not orphan.remaining(api)
    live.assert_intact(api)


def test_streams_that_are_cut_lose_no_deletion(
    api: docker.APIClient, rows: Rows, run: Run, proxy: FaultProxy
) -> None:
    listener = run("--sweep-interval", "100000", host=proxy.host)
    live, *_ = deployed(api, rows, 1)
    listener.start()
    for number in range(5):
        doomed = new_id()
        rows.insert(doomed)
        orphan = deploy(api, doomed, decky_numbers=(10 + number,))
        proxy.cut_streams()
        rows.delete(doomed)
        eventually(lambda o=orphan: not o.remaining(api), f"orphan {number} is gone")  # type: ignore[misc]
    live.assert_intact(api)
    assert not [line for line in listener.logged("down") if line["side"] == "Docker"]


def test_an_engine_and_a_database_that_are_not_there_yet_are_waited_for(
    rows: Rows, run: Run
) -> None:
    with PrivateEngine() as engine:
        api = connect(engine)
        orphan, live = deployed(api, rows, 2)
        engine.kill()
        listener = run(host=engine.host)
        listener.start(wait=False)
        listener.await_log("down")
        rows.delete(orphan.id)
        assert not listener.logged("ready")
        engine.start()
        listener.await_log("ready")
        eventually(lambda: not orphan.remaining(api), "the orphan is gone")
        assert sorted(live.remaining(api)) == sorted(live.names)
        api.close()
