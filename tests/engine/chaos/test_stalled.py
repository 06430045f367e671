"""A listener that is stalled slows nobody down.

The engine keeps 1,024 events for a subscriber. Once these slots are full, every operation on the
host waits 100 ms for it, `docker create` too. The listener has a thread that does nothing but read,
so that everything else in it may wait for the database and the engine for as long as it likes.

What is measured is a create, with the listener and without it, in turns within one run. How long
that takes depends on the machine; what the engine waits for a full subscriber does not, and one
that never reads its stream shows that it would be seen.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import docker
import pytest
import sqlalchemy as sa
from private_engine import PrivateEngine

from tests.engine.conftest import Run, connect, exists
from tests.engine.push.conftest import plant
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, eventually
from tests.support.proxy import Action, FaultProxy, Proxy, Request, stream
from tests.support.rows import Rows
from tests.support.servers import PrivatePostgres
from tests.support.storm import PATIENCE as WAIT
from tests.support.storm import SLOTS, Storm

BATCH = 15
"""Creates."""
LIMIT = 0.5
"""Of what the engine waits for a full subscriber: a create that takes so much longer is slowed."""
FLOOD = 4000
"""Events; the slots and the sockets' buffers hold less than half of them."""
RENAMERS = 8
NO_SWEEP = ("--sweep-interval", "100000")


class Creates:
    """How long a create takes, with and without somebody on the event stream."""

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api
        self._with: list[float] = []
        self._without: list[float] = []

    def measure(self, *, subscribed: bool) -> None:
        """Add a batch."""
        for _ in range(BATCH):
            began = time.monotonic()
            container = self._api.create_container("busybox")["Id"]
            (self._with if subscribed else self._without).append(time.monotonic() - began)
            self._api.remove_container(container)

    @property
    def ratio(self) -> float:
        """How many times as long it takes, by the quickest quarter: what else the machine does
        at a time makes some creates slower, what the listener costs makes all of them.
        """
        with_, without = (statistics.quantiles(s)[0] for s in (self._with, self._without))
        return with_ / without

    @property
    def waits(self) -> float:
        """By how much longer, by the median, in units of what the engine waits for a full
        subscriber.
        """
        return (statistics.median(self._with) - statistics.median(self._without)) / WAIT

    def __str__(self) -> str:
        times = (f"{1000 * statistics.median(s):.1f} ms" for s in (self._with, self._without))
        return "{} with, {} without: {:.2f} times, {:+.2f} waits".format(
            *times, self.ratio, self.waits
        )


@pytest.fixture
def creates(api: docker.APIClient) -> Iterator[Creates]:
    """Measures; says what came of it."""
    measured = Creates(api)
    yield measured
    print(f"docker create: {measured}")


class Renamed:
    """Containers of one topology that get new names all the time, an event each.

    Args:
        engine: where they are.
        topology_id: theirs; only their names say so.
    """

    def __init__(self, engine: PrivateEngine, topology_id: str) -> None:
        self._stem = f"decnet_t_{topology_id[:8]}_"
        self._clients = [connect(engine) for _ in range(RENAMERS)]
        self.ids = [
            str(client.create_container("busybox", name=f"{self._stem}{number}")["Id"])
            for number, client in enumerate(self._clients)
        ]
        self._serials = [0] * RENAMERS

    def once(self, which: int = 0) -> float:
        """Give one of them another name; returns how long that took."""
        self._serials[which] += 1
        name = f"{self._stem}{which}-{self._serials[which]}"
        began = time.monotonic()
        self._clients[which].rename(self.ids[which], name)
        return time.monotonic() - began

    def many(self, count: int) -> None:
        """Do it so many times, all of them side by side."""

        def some(which: int) -> None:
            for _ in range(count // RENAMERS):
                self.once(which)

        with ThreadPoolExecutor(RENAMERS) as pool:
            list(pool.map(some, range(RENAMERS)))

    def close(self) -> None:
        """Let go of the engine."""
        for client in self._clients:
            client.close()


def hold(listener: ListenerProcess) -> None:
    """Stop all of its threads, until it is sent SIGCONT."""
    assert listener.process is not None
    status = Path(f"/proc/{listener.process.pid}/stat")
    listener.signal(signal.SIGSTOP)
    eventually(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")


def test_while_the_whole_process_is_stopped(
    api: docker.APIClient, rows: Rows, run: Run, creates: Creates
) -> None:
    live = new_id()
    rows.insert(live)
    survivor = deploy(api, live)
    listener = run(*NO_SWEEP)
    for _ in range(3):
        rows.insert(doomed := new_id())
        orphan = plant(api, doomed)
        creates.measure(subscribed=False)
        listener.start()
        hold(listener)
        rows.delete(doomed)
        creates.measure(subscribed=True)
        late = plant(api, new_id())
        assert exists(api, orphan, late)
        listener.signal(signal.SIGCONT)
        eventually(lambda o=orphan: not exists(api, o), "it goes on where it was")  # type: ignore[misc]
        eventually(lambda c=late: not exists(api, c), "and knows what came meanwhile")  # type: ignore[misc]
        listener.kill()
    survivor.assert_intact(api)
    assert creates.waits < LIMIT, str(creates)
    assert creates.ratio < 2.0, str(creates)


@pytest.fixture
def between(postgres: PrivatePostgres) -> Iterator[Proxy]:
    """A proxy before the database."""
    with Proxy(("127.0.0.1", postgres.port)) as proxy:
        yield proxy


def slow_list(
    engine: PrivateEngine, release: threading.Event
) -> Callable[[Request], Action | None]:
    """A hook that draws out lists of containers, too lively to be given up, until the release."""

    def listing() -> Iterator[bytes]:
        while not release.wait(1.0):
            yield b" "
        with closing(connect(engine)) as api:
            yield json.dumps(api.containers(all=True)).encode()

    def hook(request: Request) -> Action | None:
        return stream(listing()) if "/containers/json" in request.path else None

    return hook


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_while_all_of_it_waits_but_the_reader(
    api: docker.APIClient,
    engine: PrivateEngine,
    run: Run,
    table: Rows,
    database_url: str,
    proxy: FaultProxy,
    between: Proxy,
    creates: Creates,
) -> None:
    live, doomed, busy = new_id(), new_id(), new_id()
    table.insert(live, doomed, busy)
    survivor, orphan = deploy(api, live), plant(api, doomed)
    url = sa.make_url(database_url).set(port=between.port)
    listener = run(*NO_SWEEP, host=proxy.host, url=url.render_as_string(hide_password=False))
    release = threading.Event()
    with closing(Renamed(engine, busy)) as renamed:
        creates.measure(subscribed=False)
        listener.start()
        between.freeze()
        proxy.clear()
        proxy.hook = slow_list(engine, release)
        listener.signal(signal.SIGUSR1)
        eventually(lambda: any("/containers/json" in r.path for r in proxy.requests), "it lists")
        table.delete(doomed)
        renamed.many(FLOOD)
        late = plant(api, new_id())
        creates.measure(subscribed=True)
        creates.measure(subscribed=True)
        assert exists(api, orphan, late, *renamed.ids)
        assert not any(r.is_stream for r in proxy.requests), "it was the same stream all the time"

        proxy.hook = None
        release.set()
        between.thaw()
        eventually(lambda: not exists(api, orphan), "what was deleted meanwhile is gone")
        eventually(lambda: not exists(api, late), "what came meanwhile is known")
        assert exists(api, *renamed.ids)
        table.delete(busy)
        for id_ in renamed.ids:
            eventually(lambda i=id_: not exists(api, i), "each is known by its last name")  # type: ignore[misc]
    survivor.assert_intact(api)
    listener.kill()
    creates.measure(subscribed=False)
    assert creates.waits < LIMIT, str(creates)
    assert creates.ratio < 2.0, str(creates)


def subscribe(path: Path, publish: Callable[[], object]) -> socket.socket:
    """A subscription of which nothing but the head is read; it is in place."""
    subscriber = socket.socket(socket.AF_UNIX)
    subscriber.connect(str(path))
    subscriber.sendall(b"GET /v1.41/events HTTP/1.1\r\nHost: docker\r\n\r\n")
    while not subscriber.recv(1).endswith(b"{"):  # of the first event
        if not select.select([subscriber], [], [], 0.0)[0]:
            publish()
    return subscriber


def fill(publish: Callable[[], float]) -> int:
    """Publish until every event is waited for; returns how many were not."""
    slow, count = 0, 0
    while slow < 3:
        count += 1
        slow = slow + 1 if publish() >= WAIT else 0
    return count - slow


def test_a_subscriber_that_never_reads_would_be_noticed(
    engine: PrivateEngine, creates: Creates
) -> None:
    creates.measure(subscribed=False)
    with closing(Renamed(engine, new_id())) as renamed:
        deaf = subscribe(engine.socket, renamed.once)
        renamed.many(SLOTS)
        fill(renamed.once)
        creates.measure(subscribed=True)
        deaf.close()
    creates.measure(subscribed=False)
    assert LIMIT < creates.waits < 2.0, str(creates)
    assert creates.ratio > 1.5, str(creates)


def held(deaf: socket.socket, accepted: int) -> int:
    """How many events its source keeps for a subscriber, of so many: the socket has the others."""
    return accepted - len(deaf.recv(1 << 24, socket.MSG_PEEK).split(b'"Action":"rename"')) + 1


def test_the_storm_keeps_as_much_for_a_subscriber_as_the_engine_does(
    engine: PrivateEngine, proxy: FaultProxy
) -> None:
    with closing(Renamed(engine, new_id())) as renamed:
        deaf = subscribe(engine.socket, renamed.once)
        renamed.many(SLOTS)
        engine_holds = held(deaf, SLOTS + fill(renamed.once))
        deaf.close()

    storm = Storm()
    proxy.hook = lambda request: stream(storm.subscribe()) if request.is_stream else None

    def publish() -> float:
        began = time.monotonic()
        storm.publish(b'{"Action":"rename","Actor":"%s"}' % (b"x" * 400))
        return time.monotonic() - began

    deaf = subscribe(Path(proxy.host.removeprefix("unix://")), publish)
    storm_holds = held(deaf, fill(publish))
    assert storm.dropped == 3
    deaf.close()
    print(f"the engine holds {engine_holds}, the storm {storm_holds}")
    assert SLOTS <= engine_holds <= SLOTS + 3
    assert SLOTS <= storm_holds <= SLOTS + 3
