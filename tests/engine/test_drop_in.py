"""The function that DECNET's button awaits, in a running event loop and on a real engine."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
import sqlalchemy as sa
from private_engine import PrivateEngine

from listener.decnet import ReapReport, reap_orphan_topology_resources
from tests.engine.conftest import Run, exists
from tests.engine.push.conftest import plant, removed
from tests.engine.test_holds import paste
from tests.support.decnet import deploy, new_id
from tests.support.process import PATIENCE
from tests.support.proxy import Action, FaultProxy, Request, stall
from tests.support.repository import Listed, Repository
from tests.support.rows import Rows

Press = Callable[[Any], ReapReport]


@pytest.fixture
def client(engine: PrivateEngine) -> Iterator[docker.DockerClient]:
    """A client of the SDK's."""
    with closing(docker.DockerClient(engine.host)) as client:
        yield client


@pytest.fixture
def press(engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> Press:
    """Presses the button as DECNET does, which names no engine."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setenv("REAPER_TIMEOUT", "1")
    return lambda repo: asyncio.run(reap_orphan_topology_resources(repo))


@pytest.mark.parametrize(
    ("database_url", "scheme", "dictionaries"),
    [("sqlite", "sqlite+aiosqlite", False), ("mariadb", "mysql+asyncmy", True)],
    indirect=["database_url"],
)
@pytest.mark.usefixtures("table")
def test_what_has_no_row_goes_at_once_and_the_report_has_the_five_keys(
    api: docker.APIClient,
    client: docker.DockerClient,
    database_url: str,
    scheme: str,
    dictionaries: bool,
) -> None:
    live, elsewhere, doomed = new_id(), new_id(), new_id()
    staying = deploy(api, live, decky_numbers=(1,), services=["ssh"], start=False)
    orphan = deploy(api, doomed, decky_numbers=(2,), services=["ssh"], start=False)

    async def press() -> ReapReport:
        url = f"{scheme}://{database_url.partition('://')[2]}"
        repo = Repository(url, dictionaries=dictionaries)
        await repo.insert(live, elsewhere)
        report = await reap_orphan_topology_resources(repo, client)
        await repo.close()
        return report

    assert asyncio.run(press()).to_dict() == {
        "live_prefixes": sorted([live[:8], elsewhere[:8]]),
        "orphan_prefixes": [doomed[:8]],
        "containers_removed": sorted([*orphan.bases, *orphan.services]),
        "networks_removed": sorted(orphan.networks),
        "errors": [],
    }
    assert not orphan.remaining(api)
    staying.assert_intact(api)


@pytest.mark.usefixtures("rows")
def test_with_no_row_at_all_everything_is_held_and_told_with_the_command_that_releases_it(
    api: docker.APIClient, press: Press, database: Path
) -> None:
    ids = [new_id(), new_id()]
    strangers = [plant(api, id_) for id_ in ids]
    report = press(Listed(db_path=database))
    assert report.live_prefixes == report.orphan_prefixes == report.containers_removed == []
    told = zip(sorted(ids), report.errors, strict=True)
    assert all(error.startswith(f"topology {id_[:8]} is held: no row") for id_, error in told)
    assert exists(api, *strangers)
    paste(report.errors[0].partition(", run ")[2])
    removed(api, *strangers)


def test_what_waits_for_a_delay_is_told(
    api: docker.APIClient, press: Press, url: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REAPER_DELAY", "1000")
    rows.insert(live := new_id())
    containers = [plant(api, live), plant(api, absent := new_id())]
    (waits,) = press(Listed(live, engine=sa.create_engine(url))).errors
    assert waits.startswith(f"topology {absent[:8]} waits: its row is gone, the delay runs, ")
    assert exists(api, *containers)


def test_nothing_goes_while_the_repository_shows_rows_that_its_engines_url_does_not_lead_to(
    api: docker.APIClient, press: Press, url: str, rows: Rows, tmp_path: Path
) -> None:
    rows.insert(live := new_id())
    with Rows(tmp_path / "true.db") as true:
        true.create_table()
        true.insert(first := new_id(), second := new_id())
    containers = [plant(api, id_) for id_ in (live, first, second)]
    # It connects elsewhere than its URL says, and shows a page only.
    engine = sa.create_engine(url, creator=lambda: sqlite3.connect(tmp_path / "true.db"))
    report = press(Listed(first, engine=engine))
    assert (report.live_prefixes, report.orphan_prefixes) == ([first[:8]], [])
    (error,) = report.errors
    assert f"such as {first}" in error
    assert exists(api, *containers)


def test_a_row_that_is_deleted_while_it_is_shown_is_looked_for_twice(
    api: docker.APIClient, press: Press, url: str, rows: Rows
) -> None:
    rows.insert(live := new_id(), going := new_id())
    kept, orphan = plant(api, live), plant(api, going)

    class Deleting(Listed):
        def list_topologies(self) -> Any:
            shown = super().list_topologies()
            self._ids = (live,)
            rows.delete(going)
            return shown

    report = press(Deleting(live, going, engine=sa.create_engine(url)))
    assert (report.orphan_prefixes, report.errors) == ([going[:8]], [])
    assert exists(api, kept)
    assert not exists(api, orphan)


@pytest.mark.parametrize("named", ["REAPER_DATABASE_URL", "REAPER_DATABASE_URL_FILE", "config"])
def test_a_row_in_any_database_that_the_operator_has_named_is_life(
    api: docker.APIClient,
    press: Press,
    url: str,
    rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    rows.insert(live := new_id())
    containers = [plant(api, live), plant(api, elsewhere := new_id())]
    doomed = plant(api, new_id())
    with Rows(tmp_path / "other.db") as others:
        others.create_table()
        others.insert(elsewhere)
    (file := tmp_path / "named").write_text(f"{url}\n{other}\n")
    (config := tmp_path / "reaper.toml").write_text(f"database_url = ['{url}', '{other}']")
    value = {"REAPER_DATABASE_URL": f"{url} {other}", "config": config}.get(named, file)
    monkeypatch.setenv("REAPER_CONFIG" if named == "config" else named, str(value))
    report = press(Listed(live, engine=sa.create_engine(url)))
    assert report.errors == []
    assert report.live_prefixes == sorted([live[:8], elsewhere[:8]])
    assert exists(api, *containers)
    assert not exists(api, doomed)


def test_what_a_listener_beside_it_holds_stays(
    api: docker.APIClient, press: Press, url: str, rows: Rows, run: Run
) -> None:
    rows.insert(live := new_id())
    containers = plant(api, live), plant(api, new_id())
    listener = run("--policy", "witnessed")
    listener.start()
    listener.await_log("held")
    assert listener.process is not None
    (held,) = press(Listed(live, engine=sa.create_engine(url))).errors
    assert f"the listener with pid {listener.process.pid}" in held
    assert exists(api, *containers)


def test_a_failure_is_a_sentence_in_the_report(
    api: docker.APIClient, press: Press, url: str, rows: Rows, tmp_path: Path
) -> None:
    rows.insert(live := new_id())
    containers = plant(api, live), plant(api, new_id())
    missing = sa.create_engine(f"sqlite:///{tmp_path}/missing.db")
    nowhere = docker.APIClient("tcp://127.0.0.1:9", version="1.44")
    by_ssh = docker.APIClient("tcp://127.0.0.1:9", version="1.44")
    by_ssh.base_url = "http+docker://ssh"  # what the SDK makes of ssh://, once it has reached it
    engine = sa.create_engine(url)
    for repo, client, words in (
        (Listed(live, engine=engine), nowhere, "tcp://127.0.0.1:9"),
        (Listed(live, engine=engine), by_ssh, "ssh -L"),
        (Listed(live, engine=missing), None, "missing.db does not exist"),
        (Listed(live), None, "neither an SQLAlchemy engine nor db_path"),
        (object(), None, "AttributeError: 'object' object has no attribute 'list_topologies'"),
    ):
        if client is None:
            report = press(repo)
        else:
            report = asyncio.run(reap_orphan_topology_resources(repo, client))
        (error,) = report.errors
        assert words in error
        assert report.live_prefixes == ([live[:8]] if isinstance(repo, Listed) else [])
        assert report.orphan_prefixes == []
    assert exists(api, *containers)


class Stalled:
    """Holds one request until :attr:`released`."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> Action | None:
        if request.path.partition("?")[0].endswith("/networks"):
            self.reached.set()
            return stall(self.released)
        return None


def test_the_event_loop_goes_on_while_it_works_and_while_the_repository_blocks(
    api: docker.APIClient, proxy: FaultProxy, url: str, rows: Rows
) -> None:
    rows.insert(live := new_id())
    plant(api, live), plant(api, new_id())
    proxy.hook = stalled = Stalled()
    blocked, unblocked = threading.Event(), threading.Event()

    class Blocking(Listed):
        def list_topologies(self) -> Any:
            blocked.set()
            assert unblocked.wait(PATIENCE), "the loop goes on"
            return super().list_topologies()

    async def ticks_until(reached: threading.Event, then: threading.Event) -> None:
        """Only a loop that goes on gets as far as this."""
        async with asyncio.timeout(PATIENCE):
            while not reached.is_set():
                await asyncio.sleep(0.01)
        then.set()

    async def press() -> ReapReport:
        client = docker.APIClient(proxy.host, version="auto", timeout=60)
        repo = Blocking(live, engine=sa.create_engine(url))
        report, *_ = await asyncio.gather(
            reap_orphan_topology_resources(repo, client),
            ticks_until(blocked, unblocked),
            ticks_until(stalled.reached, stalled.released),
        )
        client.close()
        return report

    report = asyncio.run(press())
    assert report.errors == []
    assert len(report.containers_removed) == 1


def test_a_call_that_is_cancelled_ends_at_once_and_its_sweep_by_itself(
    api: docker.APIClient, proxy: FaultProxy, url: str, rows: Rows
) -> None:
    rows.insert(live := new_id())
    plant(api, live)
    orphan = plant(api, new_id())
    proxy.hook = stalled = Stalled()

    async def press() -> None:
        client = docker.APIClient(proxy.host, version="auto")
        repo = Listed(live, engine=sa.create_engine(url))
        call = asyncio.create_task(reap_orphan_topology_resources(repo, client))
        while not stalled.reached.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        client.close()

    asyncio.run(press())
    assert exists(api, orphan)
    stalled.released.set()
    removed(api, orphan)


def test_presses_share_one_sweep_and_leave_the_loops_threads_alone(
    api: docker.APIClient, proxy: FaultProxy, url: str, rows: Rows
) -> None:
    rows.insert(live := new_id())
    plant(api, live), plant(api, new_id())
    proxy.hook = stalled = Stalled()

    async def press() -> list[ReapReport]:
        client = docker.APIClient(proxy.host, version="auto", timeout=60)
        repo = Listed(live, engine=sa.create_engine(url))
        calls = [
            asyncio.create_task(reap_orphan_topology_resources(repo, client)) for _ in range(40)
        ]
        async with asyncio.timeout(PATIENCE):
            while not stalled.reached.is_set():
                await asyncio.sleep(0.01)
            calls.pop().cancel()
            await asyncio.to_thread(stalled.released.set)
        reports = await asyncio.gather(*calls)
        client.close()
        return reports

    first, *others = asyncio.run(press())
    assert first.errors == []
    assert len(first.containers_removed) == 1
    assert all(report == first for report in others)
