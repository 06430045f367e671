"""DECNET's own configuration: its variables, its ini file, and where its SQLite file usually lies.

As in DECNET, a key of the file's section ``[database]`` stands for a variable that is not there,
and only the type ``mysql`` leads to a server. The path of a SQLite file is in neither, so it is
looked for where it usually lies, to be named to whoever has to give it, and never used by itself.
"""

from __future__ import annotations

import configparser
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from listener.errors import ConfigurationError

INI = Path("/etc/decnet/decnet.ini")
"""Where DECNET looks for its file."""
HOME = Path("/opt/decnet")
"""Where ``decnet init`` installs it."""
PREFIX = "DECNET_DB_"
_KEYS = ("type", "url", "host", "port", "name", "user")
"""Of the section; the password is in the variable alone."""
_PACKAGES = (
    "lib/python3*/site-packages",
    "lib/python3*/dist-packages",
    "lib/python3/dist-packages",
)


def read_ini(file: Path) -> dict[str, str]:
    """What a file of DECNET's says, by the names of the variables; empty without the section.

    Raises:
        ConfigurationError: it cannot be read, or DECNET itself could not use it.
    """
    parser = configparser.ConfigParser(inline_comment_prefixes=("#", ";"))  # as DECNET reads it
    try:
        with file.open() as lines:
            parser.read_file(lines)
        found = dict(parser["database"]) if parser.has_section("database") else {}
    except OSError as error:
        raise _refused(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(f"{file} is not UTF-8 text") from error
    except configparser.Error as error:
        # Not its own words, which repeat what stands there.
        raise _refused(f"{file} is not an ini file, or has a % that is not doubled") from error
    return {f"{PREFIX}{key.upper()}": found[key] for key in _KEYS if key in found}


def url(variables: Mapping[str, str], config: str = "") -> str:
    """The URL of the server that DECNET uses; empty where it uses SQLite.

    Args:
        variables: among them DECNET's.
        config: its file; empty without one.

    Raises:
        ConfigurationError: the file cannot be used, or there is no such port.
    """
    told = {**(read_ini(Path(config)) if config else {}), **variables}
    if told.get("DECNET_DB_TYPE", "").lower() != "mysql":
        return ""
    if whole := told.get("DECNET_DB_URL"):
        return whole
    password = told.get("DECNET_DB_PASSWORD")
    user = quote(told.get("DECNET_DB_USER") or "decnet", safe="")
    login = user + (f":{quote(password, safe='')}" if password else "")
    host = (told.get("DECNET_DB_HOST") or "localhost").strip("[]")
    port = told.get("DECNET_DB_PORT") or "3306"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        by_variable = "DECNET_DB_PORT" in variables
        place = "the variable DECNET_DB_PORT" if by_variable else f"--decnet-config: {config}"
        raise ConfigurationError(
            f"{place}: what it has is not a port; give the server's, such as 3306"
        )
    name = quote(told.get("DECNET_DB_NAME") or "decnet", safe="")
    return f"mysql://{login}@{f'[{host}]' if ':' in host else host}:{port}/{name}"


def is_there(file: Path) -> bool | None:
    """Whether a file is there; None where this process may not look."""
    try:
        file.stat()
    except PermissionError:
        return None
    except OSError:
        return False
    return True


def usual_files() -> list[Path]:
    """Where DECNET's SQLite file usually lies, whether it is there or not.

    In the folder of ``decnet init``, and beside each installed package: with a wheel that is
    ``site-packages``, with an editable install the checkout. Looked for are the Pythons of the
    search path, that of ``decnet init``, and this one.
    """
    folders = [str(HOME / "venv/bin"), str(HOME / ".venv/bin")]
    folders += [*os.environ.get("PATH", "").split(":"), f"{sys.prefix}/bin"]
    programs = [Path(folder) / "decnet" for folder in folders if folder]
    # A program may be a link into an environment of its own.
    prefixes = [p.parent.resolve().parent for p in programs]
    prefixes += [p.resolve().parent.parent for p in programs]
    found = [HOME / "decnet.db"]
    for prefix in dict.fromkeys(prefixes):
        with suppress(OSError):  # what we may not look at
            for packages in sorted({p for glob in _PACKAGES for p in prefix.glob(glob)}):
                found += _beside_package(packages)
    return list(dict.fromkeys(found))


def _beside_package(packages: Path) -> Iterator[Path]:
    if (packages / "decnet").is_dir():
        yield packages / "decnet.db"
    for told in packages.glob("decnet-*.dist-info/direct_url.json"):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            said = json.loads(told.read_text())
            if said["dir_info"].get("editable"):
                yield Path(unquote(urlsplit(said["url"]).path)) / "decnet.db"


def no_path(config: str) -> ConfigurationError:
    """The error where nothing names a database but DECNET's default, a SQLite file.

    Args:
        config: DECNET's file; empty without one.
    """
    seen = {True: "is there", False: "is not there", None: "this user may not look for"}
    places = [f"{file}, which {seen[is_there(file)]}" for file in usual_files()]
    if len(places) == 1:
        places.append("site-packages/decnet.db beside its package, which was not found")
    why = "--database-url: no database was given"
    if config:
        why = f"--decnet-config: {config} names no MySQL server in a section [database]"
    return ConfigurationError(
        f"{why}, and DECNET's SQLite file usually is {', or '.join(places)}; name the one that"
        f" holds the topologies, for example --database-url sqlite:///{HOME / 'decnet.db'}"
    )


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(f"--decnet-config: {why}; give DECNET's ini file, such as {INI}")
