"""What belongs to which topology: every convention of DECNET, and no other module knows one.

A topology is a row whose id is a lower-case UUID; its *prefix* is the id's first eight digits.
Docker resources point at it by up to three signals: the id label, the compose project and the
name. Each signal counts only when it matches in full. What a resource's signals name are its
*owners*: a full id where the label says one, otherwise a bare prefix, which stands for every
topology that begins with it. A resource is alive while any of its owners is.

There is one list of signals for a container and one for a network. The owners are what it names,
and ``explain`` prints it.

Labels are inherited from images. A container started from an image that compose built for a
topology, or from a ``docker commit`` of one of its containers, carries the labels without belonging
to the topology, so a label that the image carries with the same value is no signal.

The image's record may be gone: with the containerd image store a new build under the same tag takes
it away. Compose writes the id of the image into a label of each container that it makes, and the
label of its project, so what has both, with its own image and a project of DECNET's, inherited
nothing. Of anything else nobody can tell: it is *doubtful*, unless its name counts as well.

What compose builds carries the labels of its project and service too, and so does whatever is made
of that: a build on top of it, a ``docker commit`` of a container that runs it. An image is
compose's own if its one name is what compose makes of these two, and if it has no label that
compose or DECNET puts on containers only. Another tag is somebody's who wants to keep it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from listener.core.resources import Kind, Resource, Stage, prefix_of

ID_LABEL = "decnet.topology.id"
DECKY_LABEL = "decnet.topology.decky"
ROLE_LABEL = "decnet.topology.role"
SERVICE_LABEL = "decnet.topology.service"
SERVICE_NAME_LABEL = "decnet.topology.service_name"
PROJECT_LABEL = "com.docker.compose.project"
IMAGE_LABEL = "com.docker.compose.image"
COMPOSE_SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
PROTECT_LABEL = "topology-reaper.protect"

PREFIX = re.compile(r"[0-9a-f]{8}")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PROJECT = re.compile(r"decnet-topo-([0-9a-f]{8})")
# Of a LAN's name DECNET checks the length only, and Docker takes any character in a network's, a
# newline too.
_NAME = re.compile(r"decnet_t_([0-9a-f]{8})_.+", re.DOTALL)
# How compose calls what it builds for a service, where the compose file has no name for it, as
# DECNET's has none; Podman puts a registry before that.
_BUILT = re.compile(r"(?:docker\.io/library/|localhost/)?(decnet-topo-[0-9a-f]{8})[-_](.+)")
_MARK = "decnet.topology."
_LABELS: Final = (
    (f"label {ID_LABEL}", ID_LABEL, ID),
    (f"label {PROJECT_LABEL}", PROJECT_LABEL, _PROJECT),
)

Labels = Mapping[str, object]

LOST: Labels = MappingProxyType({})
"""The labels of an image that is gone: any of its container's may have been inherited."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that ties a resource to a topology, or could, or keeps it from us.

    As text it is a line for a person.
    """

    what: str
    """Such as ``label decnet.topology.id``."""
    effect: str
    """Whether it counts, and why not."""
    value: object = None
    """Of a label, or the name; None where there is none."""
    owner: str = ""
    """The full id or the prefix that it names; empty where it does not count."""
    excludes: bool = False
    """With it the resource is none of ours, whatever the other signals name."""

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value!r}"
        return f"{self.what}{value}: {self.effect}"


_PROTECTED: Final = Signal(
    "it is protected, by its label or as our own", "it is never touched", excludes=True
)


def container(
    id_: str,
    name: str,
    labels: Labels,
    image_labels: Labels | None,
    created: float | None = None,
    volumes: tuple[str, ...] = (),
) -> Resource | None:
    """The container as a topology's resource, or None if it is none of ours.

    Args:
        id_: the engine's id.
        name: its own name.
        labels: its labels; an event's attributes will do.
        image_labels: the labels of its image; None when they are not known yet, as in an event,
            and then every label counts for now and the resource is not verified; LOST when they
            never will be, and then labels keep it alive but are no reason to remove it: without a
            name that counts it is doubtful.
        created: seconds since the epoch, by the engine's clock.
        volumes: see :class:`Resource`.
    """
    signals = container_signals(name, labels, image_labels)
    owners = _owners(signals)
    if not owners:
        return None
    is_service = labels.get(SERVICE_LABEL) == "true" and not _inherits(
        SERVICE_LABEL, labels, image_labels
    )
    return Resource(
        kind=Kind.CONTAINER,
        id=id_,
        name=name,
        owners=owners,
        stage=Stage.SERVICE if is_service else Stage.BASE,
        created=created,
        verified=image_labels is not None
        and image_labels is not LOST
        and any(signal.owner for signal in signals[:-1]),  # the last is the name
        doubtful=image_labels is LOST and not signals[-1].owner,
        volumes=volumes,
    )


def of_lost_image(image: str, labels: Labels) -> Labels:
    """What counts as the labels of a container's image whose record is gone.

    Whoever inherits the labels by ``docker commit`` has another image, and whom another's compose
    makes of such an image has another project.

    Args:
        image: its id, as the container has it.
        labels: the container's.

    Returns:
        None at all where DECNET's compose made the container, else LOST.
    """
    is_decnets = _PROJECT.fullmatch(str(labels.get(PROJECT_LABEL))) is not None
    return {} if is_decnets and labels.get(IMAGE_LABEL) == image else LOST


def network(
    id_: str,
    name: str,
    *,
    driver: object,
    scope: object,
    labels: Labels | None = None,
    created: float | None = None,
) -> Resource | None:
    """The network as a topology's resource, or None if it is none of ours.

    An overlay network is cluster-wide: whatever its name, one host's reaper must not touch it.
    """
    owners = _owners(network_signals(name, labels or {}, driver=driver, scope=scope))
    if not owners:
        return None
    return Resource(Kind.NETWORK, id_, name, owners, Stage.NETWORK, created)


def image(id_: str, names: Collection[str], labels: Labels) -> Resource | None:
    """The image as one that compose built for a topology, or None if it may be anybody's.

    Args:
        id_: the engine's id.
        names: all of its references, by tags and by digests.
        labels: its labels.
    """
    found = _PROJECT.fullmatch(str(labels.get(PROJECT_LABEL)))
    of_container = NUMBER_LABEL in labels or any(label.startswith(_MARK) for label in labels)
    if found is None or of_container or _protected(labels):
        return None
    tags = [name for name in names if "@" not in name]
    # A name by digest is of a repository, and compose's tag is the one that is left out.
    called = {name.partition("@")[0].removesuffix(":latest") for name in names}
    built = _BUILT.fullmatch(called.pop()) if tags and len(called) == 1 else None
    if built is None or built.groups() != (found[0], labels.get(COMPOSE_SERVICE_LABEL)):
        return None
    return Resource(
        kind=Kind.IMAGE,
        id=id_,
        name=tags[0],
        owners=(found[1],),
        stage=Stage.IMAGE,
    )


def container_signals(name: str, labels: Labels, image_labels: Labels | None) -> list[Signal]:
    """What could tie a container to a topology; its name is the last.

    Args:
        name: its own name.
        labels: its labels.
        image_labels: those of its image, LOST, or None when they are not known yet.
    """
    signals, named = [_PROTECTED] if _protected(labels) else [], _name_signal(name)
    if image_labels is LOST:
        signals.append(
            Signal(
                "its image is gone, so its labels may be inherited",
                "they keep it alive, and are no reason to remove it",
            )
        )
    for what, label, form in _LABELS:
        if (value := labels.get(label)) is None:
            signals.append(Signal(what, "absent"))
        elif image_labels and image_labels.get(label) == value:
            signals.append(Signal(what, "does not count, its image carries it too", value))
        elif isinstance(value, str) and (found := form.fullmatch(value)):
            signals.append(Signal(what, "counts", value, found[form.groups]))
        else:
            # Such an id is an owner that nobody can ask about, so nobody can say that it is gone.
            effect = "does not count, it is not of DECNET's form"
            signals.append(Signal(what, effect, value, excludes=label == ID_LABEL))
    signals.append(named)
    return signals


def network_signals(name: str, labels: Labels, *, driver: object, scope: object) -> list[Signal]:
    """The same of a network."""
    signals = [_PROTECTED] if _protected(labels) else []
    if driver != "bridge" or scope != "local":
        what = f"driver {driver}, scope {scope}"
        signals.append(Signal(what, "only local bridges are DECNET's", excludes=True))
    signals.append(_name_signal(name))
    return signals


def carries_marks(name: str, labels: Labels, image_labels: Labels | None) -> bool:
    """Whether a container is DECNET's or protected in any way: its endpoints stay as they are.

    Wider than :func:`container`: a mark that cannot be read still is one.
    """
    return (
        _protected(labels)
        or any(
            label.startswith(_MARK) and not _inherits(label, labels, image_labels)
            for label in labels
        )
        or any(signal.owner for signal in container_signals(name, labels, image_labels))
    )


def may_inherit(labels: Labels) -> bool:
    """Whether a container has labels that make its image's labels worth a look."""
    project_name = str(labels.get(PROJECT_LABEL, ""))
    return project_name.startswith("decnet-topo-") or any(key.startswith(_MARK) for key in labels)


def network_name(prefix: str, lan: str) -> str:
    """The name of a topology's network."""
    return f"decnet_t_{prefix}_{lan}"


def project(prefix: str) -> str:
    """The name of a topology's compose project."""
    return f"decnet-topo-{prefix}"


def _owners(signals: Sequence[Signal]) -> tuple[str, ...]:
    """What the signals name, together."""
    owners: dict[str, str] = {}
    for signal in signals:
        if signal.excludes:
            return ()
        if signal.owner:  # a full id is the first, and says more than its own prefix
            owners.setdefault(prefix_of(signal.owner), signal.owner)
    return tuple(sorted(owners.values()))


def _name_signal(name: str) -> Signal:
    if (found := _NAME.fullmatch(name)) is None:
        return Signal("name", "is not of DECNET's form", name)
    return Signal("name", "counts", name, found[1])


def _protected(labels: Labels) -> bool:
    return labels.get(PROTECT_LABEL) == "true"


def _inherits(label: str, labels: Labels, image_labels: Labels | None) -> bool:
    """Whether the image carries this label of a container too, with the same value."""
    return (label, labels[label]) in (image_labels or {}).items()
