"""A process of its own that takes in an event stream: ``python -m tests.benchmarks.consumers``.

It says when it has subscribed, takes in so many events, and tells when it had the last one, on the
clock that all processes share. The *bare* one is the SDK's loop, which only decodes. *Ours* does
what the listener does with events: it reads, decodes, keeps the index and queues what appeared.
"""

from __future__ import annotations

import sys
import time

import docker

from listener.control.inventory import PrefixIndex
from listener.control.lane import Lane
from listener.core.resources import prefix_of
from listener.core.workqueue import DONE
from listener.engine.client import Engine
from listener.engine.events import EVENT_FILTERS
from listener.engine.watch import Watch

LAST = "ffffffff-ffff-4fff-bfff-ffffffffffff"
"""The topology that comes last, and stays."""


def bare(host: str, count: int) -> int:
    """Decode so many; returns when that was done."""
    events = docker.APIClient(host, version="auto").events(decode=True, filters=EVENT_FILTERS)
    print("subscribed", flush=True)
    for number, _ in enumerate(events, 1):
        if number == count:
            break
    return time.monotonic_ns()


def ours(host: str, size: int) -> int:
    """Take them in until the last topology has so many resources; returns when that was done."""
    lane = Lane(lambda _: DONE, time.monotonic)
    index = PrefixIndex()
    done = 0

    def appeared(prefix: str) -> None:
        nonlocal done
        lane.add(prefix, hasten=True)
        if prefix == prefix_of(LAST) and len(index.resources(prefix)) == size:
            done = time.monotonic_ns()
            watch.close()

    watch = Watch(Engine(host), index, appeared=appeared, listed=lambda *_: None)
    watch.connect()
    print("subscribed", flush=True)
    watch.follow()
    return done


if __name__ == "__main__":
    print({"bare": bare, "ours": ours}[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
