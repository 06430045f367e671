"""The containers that we run in, by what engines were seen to write into /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from listener.engine.own import own_containers

OWN = "822b9e3b6be3672dcbc221cf7d55aef6de3ae5faaa51fee520cdc52182a0d755"
OTHER = "508833c1e4665cb1eb8d3e8f8e23a60c8aec91a385ba5906ebc5ab3ac6295a3d"
LAYER = "f0db53c70f4770e0c46b8413ac173447bcb2e4a4f846c7c14ceed81a7c91cc52"

ROOT = f"""\
276 207 0:86 / / rw,relatime master:7 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/5N4\
,upperdir=/var/lib/docker/overlay2/{LAYER}/diff,workdir=/var/lib/docker/overlay2/{LAYER}/work
277 276 0:93 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
290 276 254:0 /var/lib/docker/volumes/{LAYER}/_data /var/lib/topology-reaper rw - ext4 /dev/vda rw
296 278 0:104 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
"""
FILES = """\
297 276 254:0 {folder}/{id}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw,discard
298 276 254:0 {folder}/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw,discard
299 276 254:0 {folder}/{id}/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw,discard
"""
V1 = """\
9:name=systemd:{group}
8:pids:{group}
4:memory:{group}
0::{group}
"""
PRIVATE = "0::/\n"
HOST_GROUP = "0::/user.slice/user-0.slice/session-1.scope\n"


def mounted(id_: str, folder: str = "/var/lib/docker/containers") -> str:
    return ROOT + FILES.format(id=id_, folder=folder)


CASES = {
    "v1": (mounted(OWN), V1.format(group=f"/docker/{OWN}"), {OWN}),
    "v1, private namespace": (mounted(OWN), V1.format(group="/"), {OWN}),
    "v2": (mounted(OWN), PRIVATE, {OWN}),
    "v2, the host's namespace": (ROOT, f"0::/system.slice/docker-{OWN}.scope\n", {OWN}),
    "another data root": (mounted(OWN, "/srv/docker/containers"), PRIVATE, {OWN}),
    "Podman": (
        ROOT + FILES.format(id=f"{OWN}/userdata", folder="/containers/overlay-containers"),
        PRIVATE,
        {OWN},
    ),
    "its own file over one of Docker's": (
        ROOT + FILES.format(id=OWN, folder="/var/lib/docker/containers").splitlines()[1] + "\n",
        PRIVATE,
        {OWN},
    ),
    "another's network": (mounted(OTHER), V1.format(group=f"/docker/{OWN}"), {OWN, OTHER}),
    "no container": (ROOT, HOST_GROUP, set()),
    # An engine keeps this mounted for each of its containers, and so the host shows it.
    "no container, beside an engine": (
        ROOT + f"80 25 0:60 / /var/lib/docker/containers/{OTHER}/mounts/shm rw - tmpfs shm rw\n",
        HOST_GROUP,
        set(),
    ),
    "something shorter": (
        ROOT + FILES.format(id=OWN[:12], folder="/srv/containers"),
        f"0::/docker/{OWN[:63]}\n",
        set(),
    ),
}


@pytest.mark.parametrize(("mountinfo", "cgroup", "found"), CASES.values(), ids=CASES)
def test_its_own_containers_show_in_its_mounts_and_its_control_groups(
    tmp_path: Path, mountinfo: str, cgroup: str, found: set[str]
) -> None:
    (tmp_path / "mountinfo").write_text(mountinfo)
    (tmp_path / "cgroup").write_text(cgroup)
    assert own_containers(tmp_path) == found


def test_either_file_is_enough_and_without_both_there_is_none(tmp_path: Path) -> None:
    assert own_containers(tmp_path) == set()
    (tmp_path / "cgroup").write_text(V1.format(group=f"/docker/{OWN}"))
    assert own_containers(tmp_path) == {OWN}
    (tmp_path / "cgroup").unlink()
    (tmp_path / "mountinfo").write_text(mounted(OTHER))
    assert own_containers(tmp_path) == {OTHER}
