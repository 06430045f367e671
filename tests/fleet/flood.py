"""A host that sends as fast as it can, until it is ended: ``python -m tests.fleet.flood URL``.

It comes from another address of the loopback than everybody else.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from tests.fleet.guarded import Speaker


def main(url: str) -> None:
    """Flood the broker as the user of this URL."""
    at = urlsplit(url)
    block = "\r\n".join([f"PUB {at.path[1:]}.ask.{at.username} 1", "x"] * 10_000)
    with Speaker(url, "127.0.0.2") as speaker:
        while True:
            speaker.say(block)
            speaker.fence()


if __name__ == "__main__":
    main(sys.argv[1])
