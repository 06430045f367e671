"""A private Podman, with Docker's API on its socket: as real and disposable as the Docker Engine.

It is held in namespaces of its own as that is, and all of it (service, conmon, containers, mounts,
bridges) ends with them. Podman knows no common parent for its control groups, so those of its
containers are told by its store, and removed one by one.

    with PrivatePodman() as engine:
        client = docker.DockerClient(base_url=engine.host)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from private_engine import COVERED, PrivateEngine, cgroup_roots, remove_cgroups

STORES = ("/var/lib/cni", "/var/lib/containers")
PARENT = "libpod_parent"
"""The control group of all Podmans on this host."""


class PrivatePodman(PrivateEngine):
    """One Podman, of the version that the distribution has (Debian 12: 4.3.1)."""

    name: ClassVar = "a private Podman"
    packages: ClassVar = {"podman": "podman", "iptables": "iptables", "busybox": "busybox-static"}
    covered: ClassVar[Sequence[str]] = (
        *COVERED,
        "/etc/cni/net.d",
        "/var/lib/cni",
        "/var/lib/containers",
    )

    def stop(self) -> None:
        """End everything at once and remove every trace."""
        containers = [path.name for path in self.directory.glob("data/*-containers/*/")]
        super().stop()
        for id_ in containers:
            remove_cgroups(f"{PARENT}/libpod-{id_}")
        for root in cgroup_roots():
            for group in (root / PARENT / "conmon", root / PARENT):
                with suppress(OSError):  # not in each hierarchy; or another Podman is on this host
                    group.rmdir()

    def _command(self) -> Iterator[str]:
        yield "podman"
        yield f"--root={self.directory / 'data'}"
        yield "--runroot=/run/containers"
        yield "--tmpdir=/run/libpod"
        yield "--network-config-dir=/etc/cni/net.d"
        yield "--cgroup-manager=cgroupfs"  # no systemd in there to ask
        yield "--events-backend=file"
        yield from self._options
        yield from ("system", "service", "--time=0", self.host)
