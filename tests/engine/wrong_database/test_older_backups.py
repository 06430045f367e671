"""A backup is restored that is older than some of the topologies on this host."""

from __future__ import annotations

from pathlib import Path

import docker

from tests.engine.wrong_database.conftest import (
    ANOTHER,
    OneShot,
    Tools,
    all_gone,
    everything,
    goes_on,
    holds,
    hosted,
    looked,
    lost,
    prefixes,
    released_by_its_token_alone,
)
from tests.support.process import ListenerProcess, eventually
from tests.support.rows import Rows


def test_what_is_younger_than_the_backup_is_held_until_it_is_confirmed(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    tools: Tools,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    in_it = hosted(api, rows, 2)
    backup = tools.backup()
    younger = hosted(api, rows, 2)
    process.start()
    tools.restore(backup)
    released_by_its_token_alone(api, process, oneshot, younger, ANOTHER, tmp_path)
    assert not lost(api, in_it)
    assert oneshot.sweep().complete

    deleted = next(iter(in_it))
    rows.delete(deleted)
    all_gone(api, {deleted: in_it.pop(deleted)})
    goes_on(api, process, rows, tmp_path, *everything(in_it))


def test_a_backup_that_is_restored_between_two_runs_is_no_other_matter(
    api: docker.APIClient,
    rows: Rows,
    process: ListenerProcess,
    tools: Tools,
    oneshot: OneShot,
    tmp_path: Path,
) -> None:
    in_it = hosted(api, rows, 1)
    backup = tools.backup()
    younger = hosted(api, rows, 1)
    process.start()
    assert process.stop() == 0
    tools.restore(backup)
    assert oneshot.tokens().keys() == prefixes(younger), "before the listener has seen it"
    process.start()
    line = holds(process, younger)
    assert ANOTHER in line["message"]
    looked(process)
    assert not lost(api, younger)
    assert oneshot.sweep(confirm=line["token"]).complete
    all_gone(api, younger)
    goes_on(api, process, rows, tmp_path, *everything(in_it))


def test_each_restoration_has_a_token_of_its_own_which_is_told(
    api: docker.APIClient, rows: Rows, process: ListenerProcess, tools: Tools, oneshot: OneShot
) -> None:
    in_it = hosted(api, rows, 1)
    backup = tools.backup()
    younger = hosted(api, rows, 2)
    process.start()
    tools.restore(backup)
    first = holds(process, younger)["token"]
    tools.restore(backup)
    eventually(
        lambda: holds(process, younger)["token"] != first, "the new token is told", patience=20.0
    )
    oneshot.refuses(first)
    looked(process)
    assert not lost(api, younger)
    assert oneshot.sweep(confirm=holds(process, younger)["token"]).complete
    all_gone(api, younger)
    assert not lost(api, in_it)


def test_rows_that_a_later_backup_brings_back_are_held_no_longer(
    api: docker.APIClient, rows: Rows, process: ListenerProcess, tools: Tools, tmp_path: Path
) -> None:
    in_it = hosted(api, rows, 1)
    early = tools.dump()
    younger = hosted(api, rows, 2)
    late = tools.dump()
    process.start()
    tools.execute(early)
    holds(process, younger)
    tools.execute(late)
    looked(process)
    assert not lost(api, younger)
    goes_on(api, process, rows, tmp_path, *everything(in_it, younger))
