"""Which engine Docker's own tools would talk to, by an address or by the name of a context.

Two options count in their order (docker/cli, ``resolveContextName``; tried with version 28.2):
an address and a context given side by side are an error, the variable ``DOCKER_HOST`` goes before
``DOCKER_CONTEXT``, and the current context, which ``docker context use`` writes into
``config.json``, is for who gave neither. The context ``default`` stands for none.

A context is a file, ``contexts/meta/<SHA-256 of its name>/meta.json`` in the folder of Docker's
configuration, and its certificates lie in ``contexts/tls/<the same>/docker``. They are read here
and not by ``docker.context``, for where there is no ``config.json`` (``docker context create``
makes none) the SDK (7.2) looks for both in the *working folder*, and where one of the three
certificates is missing it speaks without TLS.
"""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from dataclasses import dataclass
from pathlib import Path

from listener.errors import ConfigurationError
from listener.settings import NO_CONTEXT, Settings
from listener.settings.parsers import DEFAULT_DOCKER_HOST, docker_host
from listener.settings.sources import docker_config

LARGEST = 4 * 1024 * 1024
"""Bytes; a file of Docker's configuration has some hundreds."""
OTHERWISE = "docker context ls shows those that there are, and --docker-host goes without"


@dataclass(frozen=True)
class Place:
    """Where an engine is.

    Attributes:
        host: ``unix:///…`` or ``tcp://…``.
        context: the name of the context that says so; empty: none does.
        certificates: the folder with them; None: without TLS.
        verify: with TLS, whether the engine has to show one that is trusted.
    """

    host: str
    context: str = ""
    certificates: Path | None = None
    verify: bool = False


def configuration(settings: Settings) -> Path:
    """The folder of Docker's configuration."""
    return Path(settings.docker_config or docker_config({}) or "/nonexistent")


def engine_place(settings: Settings) -> Place:
    """Where the engine is that the settings name.

    Raises:
        ConfigurationError: they name two, or a context that cannot be used.
    """
    context = settings.docker_context
    if settings.docker_host and context not in ("", NO_CONTEXT):
        raise ConfigurationError(
            "--docker-context: --docker-host is given as well; give one of them"
        )
    # Settings that were not read from an environment have no folder, and so no current context.
    if not settings.docker_host and not context and settings.docker_config:
        context = _current(configuration(settings) / "config.json")
    if context not in ("", NO_CONTEXT):
        return _of_context(configuration(settings), context)
    host, verify = settings.docker_host or DEFAULT_DOCKER_HOST, settings.docker_tls_verify
    if host.startswith("tcp://") and (verify or settings.docker_cert_path):
        folder = Path(settings.docker_cert_path or configuration(settings))
        return Place(host, certificates=folder, verify=verify)
    return Place(host)


def _current(file: Path) -> str:
    """The current context. A file that cannot be opened has none, as for Docker's own tools.

    Raises:
        ConfigurationError: it is not theirs. They warn and go on without it; what they would say at
            every use, a listener would say once.
    """
    try:
        said = _read(file) or b"null"  # a crash may leave an empty one, which Docker's tools take
        return str((json.loads(said) or {}).get("currentContext") or "")
    except OSError:
        return ""
    except (ValueError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"--docker-context: {file} is not JSON, so the current context is not known; mend it,"
            " or give --docker-host"
        ) from error


def _read(file: Path) -> bytes:
    """What is in a file, and in nothing that takes for ever.

    Raises:
        OSError: it cannot be read, or is none.
        ValueError: it is far too large.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file")
    with file.open("rb") as opened:
        said = opened.read(LARGEST)
    if len(said) == LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return said.strip()


def _of_context(folder: Path, name: str) -> Place:
    id_ = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    file = folder / "contexts" / "meta" / id_ / "meta.json"
    try:
        endpoint = json.loads(_read(file))["Endpoints"]["docker"]
        host, verify = str(endpoint.get("Host") or ""), not endpoint.get("SkipTLSVerify")
    except FileNotFoundError:
        raise _unusable(f"{folder} has no context {name!r}") from None
    except OSError as error:
        raise _unusable(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable(f"{file}, of the context {name!r}, names no Docker Engine") from error
    if host.startswith("ssh://"):
        raise ConfigurationError(
            f"--docker-context: the context {name!r} is at {host}, and SSH is not spoken here; run"
            " on that host, or forward its socket with ssh -L and give that to --docker-host"
        )
    try:
        host = docker_host(host) or DEFAULT_DOCKER_HOST
    except ValueError as error:
        raise _unusable(f"the context {name!r}: {error}") from None
    certificates = folder / "contexts" / "tls" / id_ / "docker"
    try:
        over_tls = host.startswith("tcp://") and (certificates.is_dir() or not verify)
    except OSError as error:
        raise _unusable(f"{certificates} cannot be read: {error.strerror}") from error
    return Place(host, name, certificates if over_tls else None, verify)


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError(f"--docker-context: {problem}; {OTHERWISE}")
