"""Listeners' feeds in a process: ``python -m tests.benchmarks.followers URL COUNT``.

Each has connections of its own, as on a host of its own, and a thread that blocks on one of them.
For every id on standard input it is told when each feed heard that this one was deleted: one line,
a JSON list of times on the clock that all processes share, in nanoseconds.
"""

from __future__ import annotations

import json
import sys

from listener.databases.urls import open_topologies
from tests.support.follower import Follower


def main(url: str, count: int) -> None:
    """Listen, say so, and tell of every deletion."""
    followers = []
    for _ in range(count):
        topologies = open_topologies(url)
        followers.append(Follower(topologies.push(look_every=60.0, check_every=3600.0)))
        topologies.close()  # what is open to ask by: one host in a thousand does
    for follower in followers:
        follower.await_hints(1)
    print("listening", flush=True)
    for line in sys.stdin:
        for follower in followers:
            follower.await_deleted(line.strip())
        print(json.dumps([follower.heard[-1].at for follower in followers]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
