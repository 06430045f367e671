"""Docker's own book of networks, read from its file, and ends of an engine that do not spoil it.

To remove a network, Docker 20.10 gives back its addresses and notes that, removes the bridge, and
forgets the network. One that ends in between panics at every later start (in libnetwork's
``reservePools``, at the network without addresses), and nobody can bring it back. The bridge takes
most of the time of a removal, and the listener makes many of these.

The book is a bolt database, a tree of pages. One of the first two pages, whichever is the newer,
tells the root. A page is a branch, with the numbers of others, or a leaf, with keys and values; a
bucket is a value that tells the root of another tree, or holds its only page. What is noted of a
network is JSON behind a counter of eight bytes.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from private_engine import PrivateEngine

from tests.support.process import eventually

NETWORK = b"docker/network/v1.0/network/"
PAGE, HEAD, ELEMENT = 4096, 16, 16
"""Bytes of a page, of its head, and of each element after that."""
BRANCH, BUCKET = 1, 1
"""The flag of a page that is a branch, and of an element of a leaf that is a bucket."""


def kill(engine: PrivateEngine) -> None:
    """Kill it at a moment from which it can come back."""
    _stop_well(engine)
    engine.kill()


def terminate(engine: PrivateEngine) -> None:
    """Have it end in good order, from a moment after which it can come back."""
    _stop_well(engine)
    for number in (signal.SIGTERM, signal.SIGCONT):
        os.kill(engine.pid, number)
    engine.terminate()


def _stop_well(engine: PrivateEngine) -> None:
    """Send it SIGSTOP, again and again until that is at such a moment."""
    pid = engine.pid

    def is_well() -> bool:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: _is_stopped(pid), "dockerd is stopped")
        well = all("ipamV4Info" in network for network in networks(path(engine).read_bytes()))
        if not well:
            os.kill(pid, signal.SIGCONT)
        return well

    eventually(is_well, "no network is half removed")


def path(engine: PrivateEngine) -> Path:
    """Where its book is."""
    return engine.directory / "data/network/files/local-kv.db"


def networks(book: bytes) -> Iterator[dict[str, Any]]:
    """What is noted of each network with addresses, or which had some."""
    metas = (struct.unpack_from("<32xQ24xQ", book, page * PAGE) for page in (0, 1))
    root, _ = max(metas, key=lambda meta: meta[1])  # by the number of the last transaction
    for key, value in _entries(book, root * PAGE):
        if key.startswith(NETWORK) and (network := json.loads(value[8:])).get("ipamV4Config"):
            yield network


def _entries(book: bytes, page: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values in the tree whose root is the page at this offset."""
    flags, count = struct.unpack_from("<8xHH", book, page)
    for element in range(page + HEAD, page + HEAD + count * ELEMENT, ELEMENT):
        if flags & BRANCH:
            (child,) = struct.unpack_from("<8xQ", book, element)
            yield from _entries(book, child * PAGE)
            continue
        kind, at, key_size, size = struct.unpack_from("<IIII", book, element)
        key = element + at
        value = key + key_size
        if kind & BUCKET:
            (root,) = struct.unpack_from("<Q", book, value)
            yield from _entries(book, root * PAGE or value + HEAD)
        else:
            yield book[key:value], book[value : value + size]


def _is_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)
