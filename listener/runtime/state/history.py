"""What was removed or disconnected, when and why: one file of JSON lines in ``--state-dir``.

The listener and one-shot sweeps append to it what has gone as soon as it has, before the log says
so, by one write under the file's lock. When it has grown too large its older half is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from loguru import logger

from listener.control.observer import Observer, Reconciled
from listener.core.once import Once
from listener.core.outcome import Removal, Result
from listener.runtime.state import files

NAME = "history.jsonl"
_KEYS = {"time", "prefix", "kind", "id", "name", "evidence"}
ENDPOINT = "endpoint"
"""The kind of an entry on a container that was taken off a network."""
VOLUME = "volume"
"""The kind of an entry on an anonymous volume that was left by its container."""
LARGEST = 4 * 1024 * 1024
"""Bytes; some 10,000 removals."""


class History(Observer):
    """The file, written.

    Args:
        folder: the state directory; what cannot be written there is a warning, once.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._failure = Once()
        self._keeping = threading.Lock()
        self._kept_back = ""

    def ended(self, removal: Removal, prefix: str, evidence: str) -> None:
        """Keep who was disconnected, and what was removed."""
        self._keep(_entries(removal, prefix, evidence), wait=False)

    def reconciled(self, done: Reconciled) -> None:
        """Keep the volumes that went with the rest, and what was kept back."""
        self._keep(_volumes(done), wait=True)

    def _keep(self, entries: Iterable[dict[str, Any]], *, wait: bool) -> None:
        """Write them; while a removal goes on, with the next where another process is writing."""
        with self._keeping:
            lines = self._kept_back + "".join(f"{json.dumps(entry)}\n" for entry in entries)
            self._kept_back = ""
            if lines:
                self._write(lines, wait=wait)

    def _write(self, lines: str, *, wait: bool) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            files.append(self._path, lines.encode(), limit=LARGEST, wait=wait)
        except BlockingIOError:
            self._kept_back = lines
        except OSError as error:
            if self._failure.is_new(str(error)):
                why = error.strerror or str(error)
                logger.bind(event="state", error=why).warning(
                    "--state-dir: what is removed is not written to {}: {}", self._path, why
                )
        else:
            if self._failure.is_new(None):
                logger.bind(event="state").info(
                    "--state-dir: what is removed is written to {} again", self._path
                )


def _entries(removal: Removal, prefix: str, evidence: str) -> Iterator[dict[str, Any]]:
    resource, of = removal.resource, _of(removal, prefix)
    for endpoint in removal.disconnected:
        yield {
            **of,
            "kind": ENDPOINT,
            "id": endpoint.container,
            "name": endpoint.name,
            "network": resource.name,
            "evidence": evidence,
        }
    if removal.result is Result.REMOVED:
        yield {
            **of,
            "kind": resource.kind,
            "id": resource.id,
            "name": resource.name,
            "evidence": evidence,
            "duration_ms": removal.duration_ms,
        }


def _volumes(done: Reconciled) -> Iterator[dict[str, Any]]:
    for removal in done.outcome.removals:
        evidence = done.outcome.verdicts[removal.resource.id].evidence
        for name in removal.volumes:
            of = _of(removal, done.prefix)
            yield {**of, "kind": VOLUME, "id": name, "name": name, "evidence": evidence}


def _of(removal: Removal, prefix: str) -> dict[str, Any]:
    topology_id = removal.resource.topology_id
    return {"time": round(time.time(), 3), "prefix": prefix, "topology_id": topology_id}


def line(entry: Mapping[str, Any]) -> str:
    """An entry for a person."""
    name = repr(entry["name"] or entry["id"][:12])
    what = f"removed {entry['kind']} {name}"
    if entry["kind"] == ENDPOINT:
        what = f"disconnected container {name} from network {entry.get('network')!r}"
    topology, evidence = entry["prefix"], entry["evidence"]
    return f"{moment(entry['time'])}  {what} of topology {topology}: {evidence}"


def moment(seconds: float) -> str:
    """A time since the epoch, as this host's clock shows it."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """What was done, the oldest first; a line that cannot be read is passed over.

    Raises:
        OSError: the file cannot be read; FileNotFoundError where nothing was ever removed.
    """
    descriptor = files.open_file(folder / NAME, os.O_RDONLY)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        lines = file.readlines()
    # No lock while they are shown: in a pager that takes for ever, and a listener would wait.
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if (
            isinstance(entry, dict)
            and entry.keys() >= _KEYS
            and isinstance(entry["time"], int | float)
        ):
            yield entry
