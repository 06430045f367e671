"""This process and its state directory, which is neither made nor locked here."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from listener.core.findings import Finding, ok, warning
from listener.telemetry.healthcheck import completed, read_status


def process(owners: Collection[int | None]) -> Iterator[Finding]:
    """Whether it is root without need.

    Args:
        owners: the uids that the databases want.
    """
    uid = os.geteuid()
    if uid or uid in owners:
        yield ok("process.user", f"it runs as uid {uid}")
    else:
        yield warning(
            "process.user",
            "it runs as root, which it need not",
            "run it in the socket's group as the owner of the SQLite file, or as anybody where the"
            " database is on a server",
        )


def state(folder: Path) -> Iterator[Finding]:
    """Whether what is known can outlive a listener, and whether one runs."""
    yield _folder(folder)
    try:
        told = completed(read_status(folder))
        is_now, why = told["state"], told["state_reason"]
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        yield ok("state.listener", f"no listener answers in {folder} ({reason})")
    else:
        who = "relay" if "relay" in told else "listener"
        said = f"a {who} runs with {folder} and is {is_now}{why and f': {why}'}"
        if is_now == "ready":
            yield ok("state.listener", said)
        else:
            yield warning("state.listener", said, "see topology-reaper status and its log")


def _folder(folder: Path) -> Finding:
    remedy = "give a folder of its own with --state-dir"
    try:
        found = folder.stat()
    except FileNotFoundError:
        if os.access(folder.parent, os.W_OK, effective_ids=True):
            return ok("state.directory", f"{folder} does not exist, and is made at the first start")
        why = "does not exist and cannot be made"
    except OSError as error:
        why = f"cannot be used: {error.strerror}"
    else:
        if not stat.S_ISDIR(found.st_mode):
            why = "is no folder"
        elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            why = f"belongs to uid {found.st_uid}, and uid {os.geteuid()} may not write it"
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            said = f"{folder} may be written by others than uid {found.st_uid}, who owns it"
            return warning("state.directory", said, f"chmod go-w {folder}")
        else:
            return ok("state.directory", f"{folder} belongs to uid {found.st_uid}")
    return warning("state.directory", f"{folder} {why}, so nothing outlives a restart", remedy)
