"""A dump is restored over the database that the listener watches, again and again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import docker

from tests.engine.wrong_database.conftest import (
    OneShot,
    Tools,
    everything,
    goes_on,
    holds,
    hosted,
    looked,
    lost,
    prefixes,
)
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows

ROUNDS = 12
"""Restores, one right after the other; and until as many sweeps went on beside them."""
SWEEPS = 6
FOUND = {0: "every row", 1: "rows missing and held what they own", 3: "no table"}
"""By exit status: what a sweep may find in the midst of a restore."""
TOPOLOGIES = 6


def test_restores_one_after_the_other_lose_nothing(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    tools: Tools,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    here = hosted(api, rows, TOPOLOGIES)
    state = str(tmp_path / "of-the-sweeps")
    assert replace(oneshot, state_dir=state).sweep().complete, "which has seen them all"
    process.start()
    backup, dump = tools.backup(), tools.dump()
    enough = threading.Event()
    seen: Counter[str] = Counter()

    def sweep() -> None:
        for number in count():
            options = ("--timeout", "2", *(("--state-dir", state) if number % 2 else ()))
            done = oneshot.call("sweep", *options)
            assert done.returncode in FOUND, done.stderr
            assert "removed" not in done.stdout
            seen["sweeps"] += 1
            seen[f"sweeps that found {FOUND[done.returncode]}"] += 1
            if enough.is_set() and number >= SWEEPS:
                break

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep)
        while seen["rounds of restore"] < ROUNDS or seen["sweeps"] < SWEEPS:
            tools.restore(backup) if seen["rounds of restore"] % 2 else tools.execute(dump)
            seen["rounds of restore"] += 1
            assert not sweeping.done(), sweeping.result()
        enough.set()
        sweeping.result()
    looked(process)

    seen["of them lost"] = len(lost(api, here))
    print(f"\n{len(here)} topologies, {', '.join(f'{n} {what}' for what, n in seen.items())}")
    assert not lost(api, here)
    assert not process.logged("removed")
    eventually(lambda: oneshot.sweep().complete, "nothing is held any more")
    goes_on(api, process, rows, tmp_path, *everything(here))


def test_what_a_restore_has_not_brought_back_yet_is_held_and_no_longer(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    tools: Tools,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    here = hosted(api, rows, TOPOLOGIES)
    process.start()
    dump, token = tools.dump(), ""
    for _ in range(2):
        down, told = len(process.logged("down")), len(process.logged("held"))
        for stage, to_come in tools.stages(dump):
            if stage == "no table":
                process.await_log("down", count=down + 1)
                continue
            missing = {id_: ids for id_, ids in here.items() if id_ in to_come}
            assert len(missing) == {"no row": 6, "half": 3, "restored": 0}[stage]
            if missing:
                token = holds(process, missing, told)["token"]
            looked(process)
            assert oneshot.tokens() == dict.fromkeys(prefixes(missing), token)
            assert set(oneshot.sweep().live_prefixes) == prefixes(here) - prefixes(missing)
            assert not lost(api, here)
    assert not process.logged("removed")
    goes_on(api, process, rows, tmp_path, *everything(here))


def test_a_dump_that_is_restored_twice_within_a_second_loses_nothing(
    api: docker.APIClient, rows: Rows, process: ListenerProcess, tools: Tools
) -> None:
    here = hosted(api, rows, 2)
    process.start()
    dump = tools.dump()
    for _ in range(3):
        eventually(lambda: time.time() % 1 < 0.1, "a second begins")
        tools.execute(dump)
        looked(process, 1)
        for stage, _ in tools.stages(dump):
            if stage in ("no row", "restored"):
                looked(process)
                assert not lost(api, here)
    assert not process.logged("removed")
