"""The few calls to the Docker Engine that this project needs, and what their answers mean.

The low-level client of the Docker SDK is used throughout: ``client.containers.list()`` inspects
every container (1,480 ms for 500 of them, where one list request takes 70 ms). Every failure
becomes one of this package's errors. Nothing is retried here: the callers know how often, and
whether something has to be asked first.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import docker

from listener.core import ownership
from listener.core.ownership import Labels
from listener.core.resources import Endpoint, Kind, Resource, Subnet
from listener.engine import about, images, objects, podman
from listener.engine.about import About
from listener.engine.errors import OF_ONE_OBJECT, raise_for_status, translated
from listener.engine.events import QUIET, EventStream, subscribe
from listener.engine.objects import Found, Listing
from listener.errors import Blocked, EngineError, Gone, InProgress, TimedOut

REQUEST_TIMEOUT = 10.0
"""Seconds after which a request is given up; a list of 500 containers takes 0.07 s. The engine goes
on with a removal all the same, and it is looked at again."""
LONGEST_LIST = 12
"""How many times as long a list may take; it holds a slow engine up, whoever has given it up."""
_LISTS = ("/containers/json", "/networks", "/images/json")
INFO_TIMEOUT = 2
"""Seconds for which it is asked what it is, for events wait meanwhile; it answers in 0.006 s."""
ANONYMOUS = "com.docker.volume.anonymous"
"""The label by which an engine marks a volume that nobody named."""
MARKS_ALL = "1.48"
"""From this version of the API on (Docker 28.0) every such volume has it. Before, there was no such
label (20.10), or none where a mount made the volume, as it does for compose (26.1)."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
"""The form of a container's name or id: only then is it part of a path."""


class Engine:
    """One Docker Engine.

    Args:
        host: ``unix:///…`` or ``tcp://…``.
        context: the name of the Docker context that it is from; empty if it is from none.
        tls: where to find the client's certificates for TLS; None for none.
        keep_volumes: leave a removed container's anonymous volumes.
        timeout: seconds after which a request is given up.
        connect_timeout: of the requests that find out whether there is an engine, in seconds.
        list_timeout: of the first list; see :attr:`list_timeout`.
        own: the ids of containers that are treated like protected ones.
    """

    def __init__(
        self,
        host: str,
        *,
        context: str = "",
        tls: docker.tls.TLSConfig | None = None,
        keep_volumes: bool = False,
        timeout: float = REQUEST_TIMEOUT,
        connect_timeout: float = REQUEST_TIMEOUT,
        list_timeout: float = 0.0,
        own: Collection[str] = (),
    ) -> None:
        self.host = host
        self.context = context
        self.tls = tls
        self.address = f"{host} (context {context})" if context else host
        self.about: About | None = None
        """What it said of itself when it was asked last; None if it never was."""
        option = "--docker-context" if context else "--docker-host"
        self._named = f"{option}: {self.address}"
        self._keep_volumes = keep_volumes
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self.list_timeout = list_timeout or timeout
        """Seconds after which a list is given up. Three times what the last listing took, twice as
        long after one that was given up, and from one to :data:`LONGEST_LIST` times ``timeout``."""
        self._own = own
        self.is_podman = False
        """Whether it is Podman; known once it was reached."""
        self._connecting = threading.Lock()
        self._connected: _Client | None = None
        self._known_images: dict[str, Labels] = {}

    def connect(self) -> None:
        """Reach the engine and agree on a version of the API, anew after it was replaced."""
        path = Path(self.host.removeprefix("unix://"))
        with self._connecting, self._errors():
            if self.host.startswith("unix://") and path.exists() and not path.is_socket():
                raise EngineError(f"{self._named} is not a socket")
            api = _Client(
                self.host,
                version="auto",
                tls=self.tls or False,
                timeout=self._connect_timeout,  # type: ignore[arg-type]  # a fraction will do
            )
            api.timeout = self._timeout  # type: ignore[assignment]
            api.list_timeout = lambda: self.list_timeout
            self._connected, self.is_podman = api, podman.is_podman(api.said)

    def close(self) -> None:
        """Close the connections; whoever asks again makes new ones."""
        if self._connected is not None:
            self._connected.close()

    @property
    def api(self) -> _Client:
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

    def describe(self) -> About:
        """What it says of itself, which :attr:`about` keeps; less where it is slow or may not tell.

        Raises:
            EngineError: it does not answer, or not like an engine.
        """
        api = self.api
        with self._errors():
            self.about = about.read(api.said, {})
        with contextlib.suppress(EngineError), self._errors():
            answer = api.get(f"{api.base_url}/v{api.api_version}/info", timeout=INFO_TIMEOUT)
            self.about = about.read(api.said, answer.json() if answer.ok else {})
        return self.about

    def now(self) -> float:
        """The engine's own time, in seconds since the epoch, cut to whole seconds."""
        with self._errors():
            answer = self.api.get(f"{self.api.base_url}/_ping", timeout=self._connect_timeout)
            raise_for_status(answer)
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()

    def listing(self) -> Listing:
        """Everything on this host that belongs to a topology, and every subnet: two requests."""
        began = time.monotonic()
        try:
            listing = self._listing()
        except TimedOut:
            self._expect(self.list_timeout * 2)
            raise
        self._expect((time.monotonic() - began) * 3)
        return listing

    def _expect(self, list_timeout: float) -> None:
        self.list_timeout = max(self._timeout, min(list_timeout, self._timeout * LONGEST_LIST))

    def _listing(self) -> Listing:
        with self._errors():
            found = [self._container(summary) for summary in self.api.containers(all=True)]
            networks = self.api.networks()
            found += [objects.network(attributes) for attributes in networks]
            return Listing(
                [resource for resource in found if resource is not None],
                [subnet for attributes in networks for subnet in objects.subnets(attributes)],
                objects.mark(networks),
            )

    def read(self, resource: Resource) -> Resource | None:
        """The resource as the engine knows it now; None if it is none of ours.

        Raises:
            Gone: the engine does not know it, or only as the name of another: what it does not find
                by an id it looks for by name.
        """
        is_network = resource.kind is Kind.NETWORK
        with self._object():
            if resource.kind is Kind.IMAGE:
                return images.read(self.api, resource)
            inspect = self.api.inspect_network if is_network else self.api.inspect_container
            attributes = inspect(resource.id)
            if attributes["Id"] != resource.id:
                raise Gone(f"{resource.id[:12]} is only the name of another")
            if is_network:
                return objects.network(attributes)
            return ownership.container(
                attributes["Id"],
                *self._inspected(attributes),
                objects.epoch(attributes.get("Created")),
                objects.volumes(attributes),
            )

    def subnets(self, network: str) -> list[Subnet]:
        """The subnets of the network with this id.

        Raises:
            Gone: the engine does not know it.
        """
        with self._object():
            return list(objects.subnets(self.api.inspect_network(network)))

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
        id_, (name, labels, image_labels) = attributes["Id"], self._inspected(attributes)
        created = objects.epoch(attributes.get("Created"))
        return Found(
            Kind.CONTAINER,
            id_,
            name,
            ownership.container_signals(name, labels, image_labels),
            ownership.container(id_, name, labels, image_labels, created),
            objects.places(attributes),
            stays=ownership.carries_marks(name, labels, image_labels),
        )

    def _found_network(self, attributes: Mapping[str, Any]) -> Found:
        name = attributes["Name"]
        signals = ownership.network_signals(
            name,
            attributes.get("Labels") or {},
            driver=attributes.get("Driver"),
            scope=attributes.get("Scope"),
        )
        return Found(Kind.NETWORK, attributes["Id"], name, signals, objects.network(attributes))

    def attached(self, networks: Sequence[Resource]) -> Mapping[str, Sequence[Endpoint]]:
        """By network id: every container on it, in one list request.

        A container that is stopped, or was never started, keeps its reference to a network, which
        an inspect of the network does not show; one that was never started knows it by name only.
        """
        found: dict[str, list[Endpoint]] = {network.id: [] for network in networks}
        filters = {"network": [*found, *{network.name for network in networks}]}
        with self._errors():
            for summary in self.api.containers(all=True, filters=filters):
                places = objects.places(summary)
                for network in networks:
                    if objects.is_on(places, network):
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
        """Take a container off a network; returns whether there were both, which is fine if not.

        Raises:
            Blocked: the endpoint is stale, and another container has its name. Whatever force is
                asked for, the engine takes that name for the container's (20.10; the same in the
                source of 29), and its answer is 500. It takes no endpoint's id.
        """
        if endpoint.stale:
            self._check_that_nobody_is_called(endpoint.name)
        with contextlib.suppress(Gone), self._object():
            self.api.disconnect_container_from_network(
                endpoint.container, network.id, force=endpoint.stale
            )
            return True
        return False

    def _check_that_nobody_is_called(self, name: str) -> None:
        with contextlib.suppress(Gone), self._object():
            id_ = self.api.inspect_container(name)["Id"][:12]
            raise Blocked(
                f"an endpoint on it outlived its container, and can be taken off by its name alone,"
                f" {name!r}, which container {id_} has now; rename that container, or restart the"
                " Docker Engine"
            )

    def remove(self, resource: Resource) -> None:
        """Remove a container with its anonymous volumes, a network (Podman: by name), or an image.

        Raises:
            Gone: it was gone already.
            InProgress: it is being removed.
            InUse: the network still has endpoints.
            Blocked: something uses the image, or another name has been given to it.
        """
        if resource.kind is Kind.IMAGE:
            with translated(self._named, images.STATUSES):
                images.remove(self.api, resource)
            return
        with self._object():
            if resource.kind is Kind.NETWORK:
                self.api.remove_network(resource.name if self.is_podman else resource.id)
            elif self.is_podman:
                podman.remove_container(self.api, resource.id, volumes=not self._keep_volumes)
            else:
                self.api.remove_container(resource.id, v=not self._keep_volumes, force=True)

    @property
    def dependents_first(self) -> bool:
        """Whether services have to go before their base."""
        return self.is_podman

    def remove_volume(self, name: str) -> bool:
        """Remove a volume that a container mounted, if it is anonymous and none mounts it.

        Args:
            name: 64 hex digits, as an engine makes them up.

        Returns:
            Whether it was removed. Else it was gone already, which is the rule, for the engine
            takes along what was not mounted by name; or somebody named it, or it is in use.
        """
        if self._keep_volumes or self.is_podman:  # which takes along what was handed on as well
            return False
        with contextlib.suppress(Gone, InProgress), self._object():
            labels = self.api.inspect_volume(name)["Labels"] or {}
            marks_all = docker.utils.version_gte(self.api.api_version, MARKS_ALL)
            # Before, it has no label at all, unless somebody gave it one.
            if ANONYMOUS in labels or not (marks_all or labels):
                self.api.remove_volume(name)
                return True
        return False

    def images(self, leaving: Collection[str] = ()) -> list[Resource]:
        """The images that compose built and nobody else has a use for; see :mod:`.images`.

        Args:
            leaving: the ids of containers whose use of an image does not count.
        """
        with self._errors():
            return images.unused(self.api, leaving)

    def events(self, since: float, quiet: float = QUIET) -> EventStream:
        """Subscribe to what appears, is renamed and goes.

        Args:
            since: replay from here on, in seconds since the epoch, as far as the engine kept it.
            quiet: end the stream after so many seconds without a byte.
        """
        with self._errors():
            return subscribe(self.api, since, (self._connect_timeout, quiet))

    def _container(self, summary: Mapping[str, Any]) -> Resource | None:
        return ownership.container(
            objects.id_of(summary),
            *self._listed(summary),
            objects.created_before(summary.get("Created")),
            objects.volumes(summary),
        )

    def _endpoint(self, summary: Mapping[str, Any]) -> Endpoint:
        name, labels, image_labels = self._listed(summary)
        ours = ownership.carries_marks(name, labels, image_labels)
        return Endpoint(summary["Id"], name, ours=ours)

    def _listed(self, summary: Mapping[str, Any]) -> tuple[str, Labels, Labels | None]:
        """The name, the labels and the image's labels of a container in a list."""
        labels = self._labels(summary["Id"], summary.get("Labels"))
        try:
            image_labels = self._image_labels(summary.get("ImageID"), labels)
        except EngineError:
            image_labels = None  # one image that cannot be read must not spoil the whole list
        return objects.own_name(summary.get("Names")), labels, image_labels

    def _inspected(self, attributes: Mapping[str, Any]) -> tuple[str, Labels, Labels]:
        """The same of a container that was inspected."""
        labels = self._labels(attributes["Id"], attributes["Config"].get("Labels"))
        image_labels = self._image_labels(attributes.get("Image"), labels)
        return attributes["Name"].removeprefix("/"), labels, image_labels

    def _labels(self, id_: str, labels: Labels | None) -> Labels:
        labels = labels or {}
        return {**labels, ownership.PROTECT_LABEL: "true"} if id_ in self._own else labels

    def _image_labels(self, image: str | None, labels: Labels) -> Labels:
        """The labels of a container's image, asked for once an image and only if they matter.

        An image's id is a digest of its content, so its labels never change.
        """
        if not ownership.may_inherit(labels):
            return {}
        if not image:
            return ownership.LOST
        if image not in self._known_images:
            try:
                with self._object():
                    image_: Any = self.api.inspect_image(image)  # type: ignore[no-untyped-call]
                    config = image_["Config"]
                    if config is None or image_.get("Os") == "":
                        # The record is there, and what it tells of was removed (seen on 28.5, after
                        # one platform of an image was removed by force).
                        return ownership.of_lost_image(image, labels)
            except Gone:
                return ownership.of_lost_image(image, labels)
            self._known_images[image] = config.get("Labels") or {}
        return self._known_images[image]

    def _errors(self) -> AbstractContextManager[None]:
        """Turns whatever a request raises into an EngineError."""
        return translated(self._named)

    def _object(self) -> AbstractContextManager[None]:
        """The errors of a request about one object, where some statuses have a meaning."""
        return translated(self._named, OF_ONE_OBJECT)


class _Client(docker.APIClient):
    """The SDK's client, without what the environment tells every HTTP client of this host.

    A proxy to the web does not lead to the engine, and ``REQUESTS_CA_BUNDLE`` would take the place
    of the engine's own authority. A list has a time limit of its own.
    """

    said: Mapping[str, Any]
    """Of its version, when the constructor asked."""
    list_timeout: Callable[[], float]

    def version(self, api_version: bool = True) -> Any:
        self.said = super().version(api_version)
        return self.said

    def get(self, url: Any, **kwargs: Any) -> Any:
        if url.endswith(_LISTS):
            kwargs["timeout"] = self.list_timeout()
        return super().get(url, **kwargs)

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        self.trust_env = False  # the constructor sets it, and then makes the first request
        return super().merge_environment_settings(*args, **kwargs)
