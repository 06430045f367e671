"""The Docker Engine: how it is reached, and whether each call of a listener is let through.

A socket proxy may let through some calls and not others, and that shows only when they are made. So
each is made once. Those that read are made in earnest. Those about one object are made about one
that does not exist, under an id of 64 random digits: an engine answers that it knows none, and
names the id or, if it is Podman, itself, where a proxy refuses. What would change that object is
tried only after the engine has said, to a question about it, that there is none.
"""

from __future__ import annotations

import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker.errors

from listener.core.findings import Finding, clock, failed, fault, ok, warning
from listener.core.ownership import network_name
from listener.core.resources import PREFIX_LENGTH, Kind, Resource, Stage
from listener.databases.mounts import mounts
from listener.engine import podman
from listener.engine.client import Engine
from listener.errors import EngineError, Gone, TimedOut
from listener.runtime.sweep import reach
from listener.settings import Settings

_REACH = "give the address of a Docker Engine, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH for TLS"
_SLOW = "see what keeps it busy, and give --docker-timeout more than that"
_ALLOW = "let the socket proxy pass it; contrib/compose/api-calls.txt has all that are needed"


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that a listener makes.

    Attributes:
        id: of what is found.
        does: what it does.
        make: makes it.
        of_nobody: it is about an object that does not exist.
        unless: the id of the call without which it is not tried, for that has to show it first.
    """

    id: str
    does: str
    make: Callable[[], object]
    of_nobody: bool = True
    unless: str = ""


def examine(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Everything about it."""
    yield from _address(engine)
    try:
        reach(engine.connect, settings.timeout)
    except EngineError as error:
        yield failed("docker.reachable", error, _REACH)
        return
    yield ok("docker.reachable", f"it answers, with version {engine.api.api_version} of its API")
    with suppress(EngineError):  # each call is looked at below
        yield ok("docker.engine", f"it is {engine.describe()}")
    nobody = secrets.token_hex(32)
    refused: set[str] = set()
    silent = ""
    for call in _calls(engine, nobody, settings):
        if silent or call.unless in refused:
            first = silent or call.unless
            yield warning(call.id, f"{call.does} was not tried", f"see to {first} first")
            continue
        began = time.monotonic()
        try:
            _make(engine, call, nobody)
        except TimedOut as error:
            silent = call.id  # as it would be for the others
            yield fault(call.id, f"{call.does} fails: {_words(error)}", error.remedy or _SLOW)
        except EngineError as error:
            refused.add(call.id)
            yield fault(call.id, f"{call.does} fails: {_words(error)}", error.remedy or _ALLOW)
        else:
            if (took := time.monotonic() - began) > settings.docker_timeout:
                yield warning(call.id, f"{call.does} took {took:.1f} s, the engine is slow", _SLOW)
                continue
            tried = "; tried on an id that does not exist, and on no other" if call.unless else ""
            yield ok(call.id, f"{call.does} is let through{tried}")
    if not silent and "docker.ping" not in refused:
        yield from _clock(engine)


def _calls(engine: Engine, nobody: str, settings: Settings) -> Iterator[_Call]:
    api, lan = engine.api, network_name(nobody[:PREFIX_LENGTH], nobody)
    yield _Call("docker.ping", "asking for the time", engine.now, of_nobody=False)
    yield _Call(
        "docker.events",
        "following events",
        lambda: _follow(engine, settings.docker_timeout),
        of_nobody=False,
    )
    yield _Call(
        "docker.containers.list",
        "listing containers",
        lambda: api.containers(all=True),
        of_nobody=False,
    )
    yield _Call("docker.networks.list", "listing networks", api.networks, of_nobody=False)
    yield _Call(
        "docker.containers.read", "reading a container", lambda: api.inspect_container(nobody)
    )
    yield _Call("docker.networks.read", "reading a network", lambda: api.inspect_network(nobody))
    yield _Call(
        "docker.images.read",
        "reading an image",
        lambda: api.inspect_image(f"sha256:{nobody}"),  # type: ignore[no-untyped-call]
    )
    yield _Call(
        "docker.networks.disconnect",
        "taking a container off a network",
        lambda: api.disconnect_container_from_network(nobody, nobody),
        unless="docker.networks.read",
    )
    yield _Call(
        "docker.networks.remove",
        "removing a network",
        lambda: engine.remove(Resource(Kind.NETWORK, nobody, lan, (), Stage.NETWORK)),
        unless="docker.networks.read",
    )
    yield _Call(
        "docker.containers.remove",
        "removing a container",
        lambda: engine.remove(Resource(Kind.CONTAINER, nobody, nobody, (), Stage.BASE)),
        unless="docker.containers.read",
    )
    if not settings.keep_volumes:
        yield _Call("docker.volumes.read", "reading a volume", lambda: api.inspect_volume(nobody))
        yield _Call(
            "docker.volumes.remove",
            "removing a volume",
            lambda: api.remove_volume(nobody),
            unless="docker.volumes.read",
        )
    if settings.images:
        yield _Call("docker.images.list", "listing images", engine.images, of_nobody=False)
        yield _Call(
            "docker.images.remove",
            "removing an image",
            lambda: api.remove_image(f"sha256:{nobody}", noprune=True),
            unless="docker.images.read",
        )


def _follow(engine: Engine, timeout: float) -> None:
    stream = engine.events(time.time(), quiet=timeout)
    stream.close()
    with suppress(EngineError):
        list(stream)  # lets go of the connection


def _make(engine: Engine, call: _Call, nobody: str) -> None:
    """Make a call.

    Raises:
        EngineError: it was not let through.
    """
    try:
        engine.attempt(call.make)
    except Gone as error:
        if not call.of_nobody or not (nobody in str(error) or podman.answered(error)):
            raise  # a proxy's own way to refuse
    else:
        if call.of_nobody:
            raise EngineError("what does not exist is answered for")


def _words(error: EngineError) -> str:
    """What went wrong: which request was refused, where one was."""
    cause = error.__cause__
    if isinstance(cause, docker.errors.APIError) and cause.response is not None:
        request = cause.response.request
        path = urlsplit(request.path_url).path
        return f"{request.method} {path} was answered with {cause.response.status_code}"
    return error.problem


def _clock(engine: Engine) -> Iterator[Finding]:
    with suppress(EngineError):  # it went away just now
        before = time.time()
        theirs = engine.now() + 0.5  # cut to whole seconds
        yield clock("docker.clock", theirs - (before + time.time()) / 2)


def _address(engine: Engine) -> Iterator[Finding]:
    """Whether others than we may use it."""
    if engine.host.startswith("unix://"):
        yield from _socket(Path(engine.host.removeprefix("unix://")))
    elif engine.tls is None:
        yield warning(
            "docker.tls",
            "it is reached over TCP without TLS, so whoever reaches it may do what a listener may",
            "have it ask for certificates (DOCKER_TLS_VERIFY), or keep it, as a socket proxy, in a"
            " network of its own",
        )
    elif not engine.tls.verify:
        said = "its certificate is not verified, so another may stand in its place"
        do = "update the context with skip-tls-verify=false" if engine.context else ""
        yield warning("docker.tls", said, do or "set DOCKER_TLS_VERIFY=1")
    elif engine.tls.cert is None:
        yield ok("docker.tls", "it is reached over TLS, and its certificate is verified")
    else:
        yield ok("docker.tls", "it is reached over TLS, with certificates on both sides")


def _socket(path: Path) -> Iterator[Finding]:
    try:
        found = path.stat()
    except OSError:
        return  # whoever connects is told why
    if not stat.S_ISSOCK(found.st_mode):
        return
    if found.st_mode & stat.S_IWOTH:
        message = f"{path} may be used by anybody on this host, who is root by that"
        yield warning("docker.socket", message, f"chmod o-rw {path}, and run in its group")
    else:
        yield ok("docker.socket", "nobody but its owner and group may use the socket")
    if path.resolve() in mounts():
        message = f"{path} is mounted as a file, which goes stale when the daemon restarts"
        yield warning("docker.mount", message, "mount the folder that it lies in")
