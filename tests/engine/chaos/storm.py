"""A storm of events that the listener sleeps through, on a real engine.

It is stopped by SIGSTOP, and so is the reader of its stream. Containers are renamed until the
engine has told somebody else of enough: it then has dropped most of them for the listener, after
each made it wait 100 ms, which is why many rename at once.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import docker
import requests

from tests.engine.chaos.faults import ENGINE, LISTENER, TO_ENGINE, Fault
from tests.engine.chaos.parts import Subject

EVENTS = 3000
RENAMERS = 16
SUBSCRIBED = {"type": ["container", "network"], "event": ["create", "rename", "destroy"]}
"""The events that the listener asks for."""


def storm(
    host: str,
    subject: Subject,
    labels: dict[str, str],
    meanwhile: Callable[[], None],
    counts: Counter[str],
) -> Fault:
    """The fault.

    Args:
        host: the engine's.
        subject: the listener.
        labels: of what is renamed, which has to stay.
        meanwhile: is done in the midst of it.
        counts: is told how many events there were.
    """

    @contextmanager
    def happen() -> Iterator[None]:
        with closing(docker.APIClient(host, version="auto")) as api:
            ids = [
                api.create_container("busybox", name=f"storm-{number}", labels=labels)["Id"]
                for number in range(RENAMERS)
            ]
            subject.await_listing()
            subject.pause()
            counts["events slept through"] += _rename(host, ids, meanwhile)
            yield
            subject.resume()
            for id_ in ids:
                api.remove_container(id_)  # which fails if it is gone

    kind = "listener paused through a storm"
    return Fault(kind, (ENGINE, LISTENER, TO_ENGINE), happen, heals=False)


def _rename(host: str, ids: list[str], meanwhile: Callable[[], None]) -> int:
    """Rename these until the engine has told of enough; returns of how much."""
    told = 0

    def rename(id_: str) -> None:
        with closing(docker.APIClient(host, version="auto")) as api:
            for number in itertools.takewhile(lambda _: told < EVENTS, itertools.count()):
                api.rename(id_, f"{number:012x}_{id_[:12]}")

    with (
        closing(docker.APIClient(host, version="auto")) as api,
        closing(_events(api)) as events,
        ThreadPoolExecutor(len(ids) + 1) as pool,
    ):
        busy = [pool.submit(rename, id_) for id_ in ids]
        for told, _ in enumerate(events.iter_lines(), 1):
            if told == EVENTS // 2:
                busy.append(pool.submit(meanwhile))
            if told == EVENTS:
                break
    for one in busy:
        one.result()
    return told


def _events(api: docker.APIClient) -> requests.Response:
    """What the engine tells from now on, an event a line."""
    url = f"{api.base_url}/v{api.api_version}/events"
    return api.get(url, params={"filters": json.dumps(SUBSCRIBED)}, stream=True)
