"""A host of its own, joined to this one by a cable that can be pulled.

It is a network namespace with a pair of virtual interfaces. What is on its way when the cable is
pulled is lost, and nobody is told: no reset, no end. The namespace ends with the process that holds
it, that process with us, and the interfaces with the namespace.
"""

from __future__ import annotations

import secrets
import subprocess
from contextlib import AbstractContextManager
from typing import Self

from debian_packages import ensure


class Cable(AbstractContextManager["Cable"]):
    """The cable and the host at its other end; takes root.

    Attributes:
        address: of this host, as that one sees it.
        within: the command that runs another on that host.
    """

    def __init__(self) -> None:
        ensure({"ip": "iproute2"}, "a network of its own")
        subnet = f"198.18.{secrets.randbelow(256)}"  # set apart for trials of networks
        self.address = f"{subnet}.1"
        self._name = f"cable-{secrets.token_hex(4)}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(b"?")
        self._holder.stdout.read(1)  # so it is in there
        self.within = ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")
        peer = ("type", "veth", "peer", "name", "cable", "netns", str(self._holder.pid))
        _run("ip", "link", "add", self._name, *peer)
        _run("ip", "address", "add", f"{subnet}.1/30", "dev", self._name)
        _run(*self.within, "ip", "address", "add", f"{subnet}.2/30", "dev", "cable")
        _run(*self.within, "ip", "link", "set", "cable", "up")
        self.plug_in()

    def pull(self) -> None:
        """Lose whatever is sent from now on."""
        _run("ip", "link", "set", self._name, "down")

    def plug_in(self) -> None:
        """Join the hosts (again)."""
        _run("ip", "link", "set", self._name, "up")

    def close(self) -> None:
        """Remove it all."""
        _run("ip", "link", "delete", self._name)
        self._holder.communicate()

    def __enter__(self) -> Self:
        """Already there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
