"""DECNET's own configuration and files, held against the databases that a listener is given.

A command of DECNET's that is run elsewhere, or with other variables, writes to another database
than its API. What that one owns has no row in ours, so it is looked for: in what DECNET's ini file
and the environment files of each installation say, and in the SQLite files where it usually keeps
its rows, which are read without a trace. No password of an environment file is shown or used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa

from listener.core.findings import Finding, ok, warning
from listener.databases.nats.address import is_address
from listener.databases.sqlite.table import SqliteTopologies
from listener.databases.urls import sqlite_path
from listener.errors import ConfigurationError, NoAnswer
from listener.settings import Settings, decnet

_UNREAD = "DECNET_DB_BACKEND"
"""What DECNET's own text names and nothing of it reads (1.0.0)."""
_LINE = re.compile(rf"^\s*(?:export )?({decnet.PREFIX}\w+) *= *(.*?)(?:\s+#.*)?$", re.MULTILINE)
_LOCAL = (None, "", "localhost", "127.0.0.1", "::1")
_GIVE = "give it as one more --database-url, or give --policy witnessed; contrib/decnet says when"


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about them.

    Raises:
        ConfigurationError: no database was given.
    """
    given = [sa.make_url(url) for _, url in settings.databases if not is_address(url)]
    files = decnet.usual_files()
    said = {
        folder / name: _variables(folder / name)
        for folder in dict.fromkeys(file.parent for file in files)
        for name in (".env", ".env.local")
    }
    where = [str(file) for file, variables in said.items() if _UNREAD in variables]
    if _UNREAD in dict(settings.decnet_variables):
        where.insert(0, "the environment")
    if where:
        message = f"{_UNREAD} is set in {' and '.join(where)}, and nothing of DECNET's reads it"
        yield warning("decnet.backend", message, "set DECNET_DB_TYPE, which chooses the database")
    config = settings.decnet_config or (str(decnet.INI) if decnet.is_there(decnet.INI) else "")
    for file in files:
        variables = {**said[file.parent / ".env"], **said[file.parent / ".env.local"]}
        try:
            yield from _named(file, decnet.url(variables, config), given)
        except ConfigurationError as error:
            problem = f"the DECNET in {file.parent}: {error.problem}"
            yield warning("decnet.config", problem, error.remedy)
    yield from _others([file for file in files if not _holds(given, file)])


def _variables(file: Path) -> Mapping[str, str]:
    """DECNET's variables of the database in an environment file, if it can be read."""
    with suppress(OSError, UnicodeDecodeError):
        return {name: value.strip("\"'") for name, value in _LINE.findall(file.read_text())}
    return {}


def _named(file: Path, url: str, given: Sequence[sa.URL]) -> Iterator[Finding]:
    """Whether the database that one installation uses is given."""
    if not url:
        if decnet.is_there(file) and all(each.get_backend_name() != "sqlite" for each in given):
            message = f"the DECNET in {file.parent} is set to SQLite, and no SQLite file is given"
            yield warning("decnet.config", message, f"give its file {file}, or set DECNET_DB_TYPE")
        return
    try:
        named = sa.make_url(url)
        if "@" in f"{named.host}{named.database}":
            raise ValueError("part of a password, which is not shown")
    except (sa.exc.ArgumentError, ValueError):
        message = f"the DECNET in {file.parent} is set to a DECNET_DB_URL that is none"
        yield warning("decnet.config", message, "mend it")
        return
    shown = f"{named.host or 'localhost'}:{named.port or 3306}/{named.database}"
    if _place(named) in map(_place, given):
        yield ok("decnet.config", f"the DECNET in {file.parent} is set to {shown}, which is given")
    else:
        message = f"the DECNET in {file.parent} is set to {shown}, which is not given by that name"
        yield warning("decnet.config", message, "give its URL, unless it is one of these")


def _place(url: sa.URL) -> tuple[object, ...]:
    """What tells one server's database from another, but for the server's other names."""
    return "local" if url.host in _LOCAL else url.host, url.port or 3306, url.database


def _holds(given: Sequence[sa.URL], file: Path) -> bool:
    """Whether a SQLite file is among them."""
    paths = [sqlite_path(url) for url in given if url.get_backend_name() == "sqlite"]
    return any(os.path.realpath(path) == os.path.realpath(file) for path in paths)


def _others(files: Sequence[Path]) -> Iterator[Finding]:
    """Whether SQLite files that are not given hold topologies."""
    found = False
    for file in files:
        if not (is_there := decnet.is_there(file)):
            if is_there is None:
                found = True
                message = f"whether there is a {file} with topologies, this user may not see"
                yield warning("decnet.files", message, "run doctor as root")
            continue
        with closing(SqliteTopologies(file, traceless=True)) as table:
            try:
                with table.reading() as reading:
                    rows = reading.connection.scalar(
                        sa.select(sa.func.count()).select_from(reading.table)
                    )
            except NoAnswer as error:
                if error.aspect == "reachable":
                    found = True
                    why = error.problem.removeprefix("--database-url: ")
                    yield warning("decnet.files", f"{why}, and it is not given", _GIVE)
            else:
                if rows:
                    found = True
                    message = f"{file} is not given and holds {rows} topologies"
                    yield warning("decnet.files", message, _GIVE)
    if not found:
        yield ok("decnet.files", "no other of DECNET's usual files holds topologies")
