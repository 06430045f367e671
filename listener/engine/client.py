"""The few calls to the Docker Engine that this project needs, and what their answers mean.

The low-level client of the Docker SDK is used throughout: ``client.containers.list()`` inspects
every container (1,480 ms for 500 of them, where one list request takes 70 ms). Every failure
becomes one of this package's errors. Nothing is retried here: the callers know how often, and
whether something has to be asked first.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
import urllib3
from docker.utils import convert_filters

from listener.core import ownership as naming
from listener.core.ownership import Labels
from listener.core.resources import Endpoint, Kind, Resource, Subnet
from listener.errors import EngineError, Gone, InProgress, InUse, Refused, TimedOut, Unanswered

REQUEST_TIMEOUT = 10
"""Seconds after which a request is given up; a list of 500 containers takes 0.07 s. The engine goes
on with a removal all the same, and it is looked at again."""
QUIET = 60.0
"""Seconds without an event after which the stream is opened anew, to prove that it still speaks."""

EVENT_FILTERS = {"type": ["container", "network"], "event": ["create", "rename", "destroy"]}
"""What changes who is on this host; health checks alone would add three events each."""


class Engine:
    """One Docker Engine.

    Args:
        host: ``unix:///…`` or ``tcp://…``.
        tls: where to find the client's certificates for TLS; None for none.
        keep_volumes: leave a removed container's anonymous volumes.
        connect_timeout: of the requests that find out whether there is an engine, in seconds.
        own: the ids of containers that are treated like protected ones.
    """

    def __init__(
        self,
        host: str,
        *,
        tls: docker.tls.TLSConfig | None = None,
        keep_volumes: bool = False,
        connect_timeout: int = REQUEST_TIMEOUT,
        own: Collection[str] = (),
    ) -> None:
        self.host = host
        self._tls = tls
        self._keep_volumes = keep_volumes
        self._connect_timeout = connect_timeout
        self._own = own
        self._connecting = threading.Lock()
        self._connected: docker.APIClient | None = None
        self._known_images: dict[str, Labels] = {}
        self.subnets: Sequence[Subnet] = ()
        """Of every network on this host, by the last listing."""
        self.mark = ""
        """Tells this engine from others, by the last listing: the id of a network that it made for
        itself when it was new. Its own id stands in ``/info``, which socket proxies refuse."""

    def connect(self) -> None:
        """Reach the engine and agree on a version of the API, anew after it was replaced."""
        path = Path(self.host.removeprefix("unix://"))
        if self.host.startswith("unix://") and path.exists() and not path.is_socket():
            raise EngineError(f"--docker-host: {self.host} is not a socket")
        with self._connecting, self._errors():
            api = _Client(
                self.host, version="auto", tls=self._tls or False, timeout=self._connect_timeout
            )
            api.timeout = REQUEST_TIMEOUT
            self._connected = api

    @property
    def api(self) -> docker.APIClient:
        """The SDK's low-level client; reaches the engine when first used."""
        if self._connected is None:
            self.connect()
        assert self._connected is not None  # noqa: S101 - connect() raises otherwise
        return self._connected

    def attempt(self, call: Callable[[], object]) -> None:
        """Make a call with :attr:`api` of which only the failure matters.

        Raises:
            Gone: the engine knows no such object.
            EngineError: it failed; where the engine answered, that answer is its cause.
        """
        with self._object():
            call()

    def now(self) -> float:
        """The engine's own time, in seconds since the epoch, cut to whole seconds."""
        with self._errors():
            answer = self.api.get(f"{self.api.base_url}/_ping", timeout=self._connect_timeout)
            _raise_for_status(answer)
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()

    def resources(self) -> list[Resource]:
        """Everything on this host that belongs to a topology: two list requests."""
        with self._errors():
            found = [self._container(summary) for summary in self.api.containers(all=True)]
            networks = self.api.networks()
            found += [_network(attributes) for attributes in networks]
            self.mark = _mark(networks)
            self.subnets = [subnet for attributes in networks for subnet in _subnets(attributes)]
        return [resource for resource in found if resource is not None]

    def read(self, resource: Resource) -> Resource | None:
        """The resource as the engine knows it now; None if it is none of ours.

        Raises:
            Gone: the engine does not know it, or only as the name of another: what it does not find
                by an id it looks for by name.
        """
        is_network = resource.kind is Kind.NETWORK
        with self._object():
            inspect = self.api.inspect_network if is_network else self.api.inspect_container
            attributes = inspect(resource.id)
            if attributes["Id"] != resource.id:
                raise Gone(f"{resource.id[:12]} is only the name of another")
            if is_network:
                return _network(attributes)
            labels = self._labels(attributes["Id"], attributes["Config"].get("Labels"))
            return naming.container(
                attributes["Id"],
                attributes["Name"].removeprefix("/"),
                labels,
                self._image_labels(attributes.get("Image"), labels),
                _epoch(attributes.get("Created")),
            )

    def find(self, whats: Collection[str]) -> list[Found]:
        """The containers and networks with one of these names, ids, or beginnings of an id."""
        found = []
        for what in filter(_NAME.fullmatch, whats):
            with contextlib.suppress(Gone), self._object():
                found.append(self._found_container(self.api.inspect_container(what)))
        with self._errors():
            found += [
                self._found_network(attributes)
                for attributes in self.api.networks()
                if not {attributes["Name"], attributes["Id"], attributes["Id"][:12]}.isdisjoint(
                    whats
                )
            ]
        return found

    def _found_container(self, attributes: Mapping[str, Any]) -> Found:
        id_, name = attributes["Id"], attributes["Name"].removeprefix("/")
        labels = self._labels(id_, attributes["Config"].get("Labels"))
        image_labels = self._image_labels(attributes.get("Image"), labels)
        created = _epoch(attributes.get("Created"))
        return Found(
            Kind.CONTAINER,
            id_,
            name,
            naming.container_signals(name, labels, image_labels),
            naming.container(id_, name, labels, image_labels, created),
            _places(attributes),
            stays=naming.carries_marks(name, labels, image_labels),
        )

    def _found_network(self, attributes: Mapping[str, Any]) -> Found:
        name = attributes["Name"]
        signals = naming.network_signals(
            name,
            attributes.get("Labels") or {},
            driver=attributes.get("Driver"),
            scope=attributes.get("Scope"),
        )
        return Found(Kind.NETWORK, attributes["Id"], name, signals, _network(attributes))

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        """By network id: every container on it, in one list request.

        A container that is stopped, or was never started, keeps its reference to a network, which
        an inspect of the network does not show; one that was never started knows it by name only.
        """
        found: dict[str, list[Endpoint]] = {network.id: [] for network in networks}
        filters = {"network": [*found, *{network.name for network in networks}]}
        with self._errors():
            for summary in self.api.containers(all=True, filters=filters):
                places = _places(summary)
                for network in networks:
                    if _is_on(places, network):
                        found[network.id].append(self._endpoint(summary))
        return found

    def endpoints(self, network: Resource) -> Sequence[Endpoint]:
        """The endpoints that the network lists: of running containers, and stale ones."""
        found = []
        with self._object():
            listed = self.api.inspect_network(network.id).get("Containers") or {}
            for key, endpoint in listed.items():
                name = endpoint.get("Name") or ""
                stale = key.startswith("ep-")
                # A running container shows no labels here, so it passes for one that stays.
                found.append(Endpoint(name if stale else key, name, ours=not stale, stale=stale))
        return found

    def disconnect(self, network: Resource, endpoint: Endpoint) -> bool:
        """Take a container off a network; returns whether there were both, which is fine if not."""
        with contextlib.suppress(Gone), self._object():
            self.api.disconnect_container_from_network(
                endpoint.container, network.id, force=endpoint.stale
            )
            return True
        return False

    def remove(self, resource: Resource) -> None:
        """Remove a container with its anonymous volumes, or a network, by id.

        Raises:
            Gone: it was gone already.
            InProgress: it is being removed.
            InUse: the network still has endpoints.
        """
        with self._object():
            if resource.kind is Kind.NETWORK:
                self.api.remove_network(resource.id)
            else:
                self.api.remove_container(resource.id, v=not self._keep_volumes, force=True)

    def events(self, since: float, quiet: float = QUIET) -> EventStream:
        """Subscribe to what appears, is renamed and goes.

        Args:
            since: replay from here on, in seconds since the epoch, as far as the engine kept it.
            quiet: end the stream after so many seconds without a byte.
        """
        api = self.api
        with self._errors():
            answer = api.get(
                f"{api.base_url}/v{api.api_version}/events",
                params={
                    "since": f"{since:.9f}",
                    "filters": convert_filters(EVENT_FILTERS),
                },
                stream=True,
                timeout=(self._connect_timeout, quiet),
            )
            _raise_for_status(answer)
            return EventStream(answer)

    def _container(self, summary: Mapping[str, Any]) -> Resource | None:
        return naming.container(
            _id(summary), *self._marks(summary), created=naming.born_by(summary.get("Created"))
        )

    def _endpoint(self, summary: Mapping[str, Any]) -> Endpoint:
        name, labels, image_labels = self._marks(summary)
        ours = naming.carries_marks(name, labels, image_labels)
        return Endpoint(summary["Id"], name, ours=ours)

    def _marks(self, summary: Mapping[str, Any]) -> tuple[str, Labels, Labels | None]:
        labels = self._labels(summary["Id"], summary.get("Labels"))
        try:
            image_labels = self._image_labels(summary.get("ImageID"), labels)
        except EngineError:
            image_labels = None  # one image that cannot be read must not spoil the whole list
        return naming.own_name(summary.get("Names")), labels, image_labels

    def _labels(self, id_: str, labels: Labels | None) -> Labels:
        labels = labels or {}
        return {**labels, naming.PROTECT_LABEL: "true"} if id_ in self._own else labels

    def _image_labels(self, image: str | None, labels: Labels) -> Labels:
        """The labels of a container's image, asked for once an image and only if they matter.

        An image's id is a digest of its content, so its labels never change.
        """
        if not naming.may_inherit(labels):
            return {}
        if not image:
            return naming.LOST
        if image not in self._known_images:
            try:
                with self._object():
                    image_: Any = self.api.inspect_image(image)  # type: ignore[no-untyped-call]
                    config = image_["Config"] or {}  # what has none is no image at all
            except Gone:
                return naming.LOST
            self._known_images[image] = config.get("Labels") or {}
        return self._known_images[image]

    @contextlib.contextmanager
    def _object(self) -> Iterator[None]:
        """The errors of a request about one object, where some statuses have a meaning."""
        try:
            with self._errors():
                yield
        except EngineError as error:
            cause = error.__cause__
            if isinstance(cause, docker.errors.APIError) and cause.status_code in _MEANINGS:
                raise _MEANINGS[cause.status_code](_explanation(cause)) from cause
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns whatever the SDK and the layers below raise into an EngineError."""
        try:
            yield
        except (
            docker.errors.DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            meaning = _meaning(error)
            raise _kind(error, meaning)(f"--docker-host: {self.host} {meaning}") from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise EngineError(f"--docker-host: {self.host} {_NO_ENGINE}") from error


class _Client(docker.APIClient):
    """The SDK's client, without what the environment tells every HTTP client of this host.

    A proxy to the web does not lead to the engine, and ``REQUESTS_CA_BUNDLE`` would take the place
    of the engine's own authority.
    """

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        self.trust_env = False  # the constructor sets it, and then makes the first request
        return super().merge_environment_settings(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Found:
    """A container or network, and what could tie it to a topology.

    Attributes:
        kind: container or network.
        id: the engine's id.
        name: its own name.
        signals: each of them, whether it counts or not.
        resource: what it is to us; None if it is none of ours.
        networks: those that a container is on, by name; the id is empty before its first start.
        stays: whether a container is never taken off them.
    """

    kind: Kind
    id: str
    name: str
    signals: Sequence[naming.Signal]
    resource: Resource | None
    networks: Mapping[str, str] = field(default_factory=dict)
    stays: bool = False

    def is_on(self, network: Resource) -> bool:
        """Whether it is a container on this network."""
        return _is_on(self.networks, network)


class EventStream:
    """A subscription: bytes as they arrive, until it is closed or breaks."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        # A socket of our own to shut the connection down with, from any thread: closing the answer
        # would wait for the thread that reads it.
        self._socket = socket.socket(fileno=os.dup(answer.raw.fileno()))
        self.silent = False
        """Whether it ended because nothing came for too long."""

    def __iter__(self) -> Iterator[bytes]:
        """Blocks; ends when the stream does, or was quiet for too long.

        Raises:
            EngineError: the stream broke.
        """
        try:
            yield from self._answer.raw.stream(None, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError:
            self.silent = True
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EngineError(f"the event stream broke: {error}") from error
        finally:
            self._answer.close()

    def close(self) -> None:
        """End it; a reader that blocks returns."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _raise_for_status(answer: requests.Response) -> None:
    """Raise what the SDK raises for an answer that says no."""
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _id(attributes: Mapping[str, Any]) -> str:
    """The id that the engine gave an object.

    Raises:
        TypeError: it is none.
    """
    id_ = attributes["Id"]
    if not isinstance(id_, str) or not id_:
        raise TypeError(f"an id that is none: {id_!r}")
    return id_


def _network(attributes: Mapping[str, Any]) -> Resource | None:
    return naming.network(
        _id(attributes),
        attributes["Name"],
        driver=attributes.get("Driver"),
        scope=attributes.get("Scope"),
        labels=attributes.get("Labels"),
        created=_epoch(attributes.get("Created")),
    )


def _mark(networks: Sequence[Mapping[str, Any]]) -> str:
    """The id of the first network that is there for good: Docker's ``none``, or Podman's own."""
    ids = {attributes["Name"]: str(attributes["Id"]) for attributes in networks}
    return next((ids[name] for name in ("none", "host", "podman") if name in ids), "")


def _places(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The networks that a container is on: their ids by their names."""
    networks = attributes["NetworkSettings"]["Networks"] or {}
    return {name: endpoint.get("NetworkID") or "" for name, endpoint in networks.items()}


def _is_on(places: Mapping[str, str], network: Resource) -> bool:
    """Whether one of these is this network, known by its name where it has no id; names repeat."""
    return network.id in places.values() or places.get(network.name) == ""


def _subnets(attributes: Mapping[str, Any]) -> Iterator[Subnet]:
    resource = _network(attributes)
    prefix = min(resource.prefixes) if resource is not None else None
    for pool in (attributes.get("IPAM") or {}).get("Config") or ():
        yield Subnet(attributes["Id"], attributes["Name"], str(pool.get("Subnet", "")), prefix)


_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
"""The form of a container's name or id: only then is it part of a path."""
_TIMED_OUT = "does not answer in time"
_CLOSED = "closed the connection"
_NO_ENGINE = "does not answer like a Docker Engine"
_MEANINGS = {404: Gone, 409: InProgress, 403: InUse}


def _meaning(error: BaseException) -> str:
    """What went wrong between us and the engine, as a predicate; the root cause tells most."""
    for cause in reversed(list(_causes(error))):
        match cause:
            case FileNotFoundError() | NotADirectoryError():
                return "does not exist; start the Docker Engine, or give its own socket"
            case PermissionError():
                return f"may not be used by uid {os.geteuid()}; run in the socket's group"
            case ConnectionRefusedError():
                return "refuses connections; start the Docker Engine"
            case ssl.SSLError():
                return _refusal(cause)
            case ConnectionResetError() | BrokenPipeError():
                return _CLOSED
            case socket.gaierror():
                return "names a host that is not known"
            case TimeoutError() | requests.Timeout() | urllib3.exceptions.TimeoutError():
                return _TIMED_OUT
            case docker.errors.APIError(status_code=400) if "HTTPS server" in _explanation(cause):
                return (
                    "speaks TLS alone; set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder"
                    " with ca.pem, cert.pem and key.pem"
                )
            case docker.errors.APIError():
                return f"answered {_explanation(cause)}"
            case docker.errors.InvalidVersion():
                return "speaks a version of the API that is too old"
            case OSError(errno=int()):
                return f"cannot be reached: {cause.strerror}"
    return _NO_ENGINE


_NO_ANSWERS: Mapping[int, type[EngineError]] = {502: Unanswered, 503: Unanswered, 504: TimedOut}
"""What a proxy says that had no answer from the engine."""


def _kind(error: BaseException, meaning: str) -> type[EngineError]:
    """Whether the engine has refused the request, or may still do what it was asked."""
    if isinstance(error, docker.errors.APIError):
        return _NO_ANSWERS.get(error.status_code or 0, Refused)
    if isinstance(error, requests.ConnectTimeout):
        return EngineError  # it was not even asked
    return {_TIMED_OUT: TimedOut, _CLOSED: Unanswered}.get(meaning, EngineError)


def _refusal(error: ssl.SSLError) -> str:
    """Which side does not trust the other, or that one of them does not speak TLS."""
    reason = (error.reason or "the connection ended").replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not trusted ({error.verify_message.rstrip('.')}); put its"
            " authority's ca.pem into DOCKER_CERT_PATH, and name the host as the certificate does"
        )
    if "alert" in reason:
        return (
            f"refuses our certificate ({reason}); put a cert.pem and key.pem that its authority"
            " signed for a client into DOCKER_CERT_PATH"
        )
    return (
        f"does not agree on TLS ({reason}); give its port for TLS, and put the cert.pem and key.pem"
        " that it asks for into DOCKER_CERT_PATH"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything that it was made from, the root last."""
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        if isinstance(reason := getattr(error, "reason", None), BaseException):
            inner.append(reason)  # what urllib3 gave up on
        error = next(iter(inner), None) or error.__cause__ or error.__context__


def _explanation(error: docker.errors.APIError) -> str:
    text = error.explanation
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if text and text.startswith("<"):
        text = ""  # a page for a browser
    return f"{error.status_code}: {text or 'no reason given'}"


def _epoch(text: object) -> float | None:
    """Seconds since the epoch of a time in the engine's RFC 3339 form, None if it is none."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(str(text)).timestamp()
    return None
