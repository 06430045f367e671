"""docs/fleet.md and contrib/nats/README.md, typed into a shell of a machine of their own.

It has the files of this one, and its own copy of all that is written to; its own network, in which
``broker.example`` is itself; and a ``systemctl`` that knows the one service there is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.documentation.pages import TREE
from tests.fleet.guarded import FOLDER, GuardedNats
from tests.support.typed import Shell, install, typed

PROGRAMS = {
    **GuardedNats.programs,
    "sqlite3": "sqlite3",
    "docker": "docker.io",
    "nft": "nftables",
    "ip": "iproute2",
}
MACHINE = """
set -eu
for folder in etc opt var/lib; do
    mkdir -p "$1/$folder" "$1/scratch/$folder"
    mount -t overlay overlay \
        -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/scratch/$folder" "/$folder"
done
ip link set lo up
echo 127.0.0.1 broker.example >> /etc/hosts
exec bash
"""
SYSTEMCTL = """#!/bin/sh
case $1 in
restart)
    setpriv --reuid nats --regid nats --clear-groups nats-server -c /etc/nats-server.conf \
        >> "$HOME/nats.log" 2>&1 &
    echo $! > "$HOME/nats.pid" ;;
reload) kill -HUP "$(cat "$HOME/nats.pid")" ;;
esac
"""
FLOOD = f'{sys.executable} -m tests.fleet.flood "$(cat ~/fleet/loud)" &'
DROPS = "nft list table inet fleet | grep --extended-regexp 'counter packets [1-9].* drop'"
RELAY_STATUS = "topology-reaper status --json --state-dir /var/lib/topology-reaper-relay"
REFUSES = rf"""{RELAY_STATUS} | grep --extended-regexp '"often": [1-9]'"""
EXPLAIN = "topology-reaper explain 3c68d34a"


@pytest.fixture
def machine(engine: PrivateEngine, tmp_path: Path) -> Iterator[Shell]:
    ensure(PROGRAMS, "the page about a fleet")
    install(tmp_path)
    (tmp_path / "contrib").symlink_to(TREE / "contrib")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    own = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{TREE}:{TREE / 'contrib' / 'scripts'}",
        "DOCKER_HOST": engine.host,
    }
    namespaces = ("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--mount", "--net")
    within = (*namespaces, "bash", "-c", MACHINE, "machine", str(tmp_path / "machine"))
    with Shell(tmp_path, own, within) as shell:
        shell.until("mkdir -p /opt/decnet && topology-reaper init-db /opt/decnet/decnet.db", "…\n")
        yield shell


def test_the_page_sets_up_a_fleet_in_which_nobody_is_kept_from_being_answered_by_a_flood(
    machine: Shell,
) -> None:
    for line, shown in typed(TREE / "docs" / "fleet.md"):
        machine.until(line, shown)
    machine.until("cd contrib/nats", "")
    for line, shown in typed(FOLDER / "README.md"):
        machine.until(line, shown)
    machine.until("BROKER=broker.example ./users add loud > ~/fleet/loud", "")
    machine.until("systemctl reload nats-server", "")
    machine.until(FLOOD, "")
    for bound in (REFUSES, DROPS):
        machine.until(bound, "…\n")
    machine.until(EXPLAIN, "the relay 'decnet' at broker.example:4222 has no row for …\n…\n")
    machine.until("kill %?flood", "")  # it did to the end
