"""What belongs to which topology: every convention of DECNET, and no other module knows one.

A topology is a row whose id is a lower-case UUID; its *prefix* is the id's first eight digits.
Docker resources point at it by up to three signals: the id label, the compose project and the
name. Each signal counts only when it matches in full. What a resource's signals name are its
*owners*: a full id where the label says one, otherwise a bare prefix, which stands for every
topology that begins with it. A resource is alive while any of its owners is.

Labels are inherited from images. A container started from an image that compose built for a
topology, or from a ``docker commit`` of one of its containers, carries the labels without belonging
to the topology, so a label that the image carries with the same value is no signal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from listener.core.resources import Kind, Resource, Stage

ID_LABEL = "decnet.topology.id"
DECKY_LABEL = "decnet.topology.decky"
ROLE_LABEL = "decnet.topology.role"
SERVICE_LABEL = "decnet.topology.service"
SERVICE_NAME_LABEL = "decnet.topology.service_name"
PROJECT_LABEL = "com.docker.compose.project"
PROTECT_LABEL = "topology-reaper.protect"

PREFIX = re.compile(r"[0-9a-f]{8}")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PROJECT = re.compile(r"decnet-topo-([0-9a-f]{8})")
# The characters that Docker allows in a name today. Old engines took spaces and newlines in the
# names of networks; DECNET never wrote any.
_NAME = re.compile(r"decnet_t_([0-9a-f]{8})_[A-Za-z0-9_.-]+")
_MARK = "decnet.topology."

Labels = Mapping[str, object]

LOST: Labels = MappingProxyType({})
"""The labels of an image that is gone: any of its container's may have been inherited."""


def born_by(second: object) -> float | None:
    """The end of the second that a list or an event names, None if it names none.

    Both cut a time to whole seconds, and nothing must pass for older than it is.
    """
    return second + 1.0 if isinstance(second, int | float) and 0 < second < 2**40 else None


def own_name(names: object) -> str:
    """A container's own name among the ``Names`` of a listing.

    With links there are several, and only its own has a single slash. The list may be empty or
    null while a container is being removed.
    """
    if isinstance(names, Iterable):
        for name in names:
            if isinstance(name, str) and name.rfind("/") == 0:
                return name[1:]
    return ""


def container(
    id_: str,
    name: str,
    labels: Labels,
    image_labels: Labels | None,
    created: float | None = None,
) -> Resource | None:
    """The container as a topology's resource, or None if it is none of ours.

    Args:
        id_: the engine's id.
        name: its own name.
        labels: its labels; an event's attributes will do.
        image_labels: the labels of its image; None when they are not known yet, as in an event,
            and then every label counts for now and the resource is not settled; LOST when they
            never will be, and then labels keep it alive but are no reason to remove it.
        created: seconds since the epoch, by the engine's clock.
    """
    if _protected(labels) or (image_labels is LOST and not _owners(name, {})):
        return None
    known = image_labels is not None and image_labels is not LOST
    own = _own(labels, image_labels) if image_labels else labels
    owners = _owners(name, own)
    if not owners:
        return None
    return Resource(
        kind=Kind.CONTAINER,
        id=id_,
        name=name,
        owners=owners,
        stage=Stage.SERVICE if own.get(SERVICE_LABEL) == "true" else Stage.BASE,
        created=created,
        settled=known and bool(_owners("", own)),
    )


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
    found = _NAME.fullmatch(name)
    if found is None or driver != "bridge" or scope != "local" or _protected(labels or {}):
        return None
    return Resource(Kind.NETWORK, id_, name, (found[1],), Stage.NETWORK, created)


def container_signals(name: str, labels: Labels, image_labels: Labels) -> list[str]:
    """What could tie a container to a topology, a line each: whether it counts, and why.

    Args:
        name: its own name.
        labels: its labels.
        image_labels: those of its image, or LOST.
    """
    lines = _protection(labels)
    if image_labels is LOST:
        lines.append(
            "its image is gone, so its labels may be inherited: they keep it alive, and are no"
            " reason to remove it"
        )
    for label, form in ((ID_LABEL, ID), (PROJECT_LABEL, _PROJECT)):
        if (value := labels.get(label)) is None:
            lines.append(f"label {label}: absent")
        elif image_labels.get(label) == value:
            lines.append(f"label {label}={value!r}: does not count, its image carries it too")
        elif not form.fullmatch(str(value)):
            lines.append(f"label {label}={value!r}: does not count, it is not of DECNET's form")
        else:
            lines.append(f"label {label}={value!r}: counts")
    return [*lines, _name_signal(name)]


def network_signals(name: str, labels: Labels, *, driver: object, scope: object) -> list[str]:
    """The same of a network."""
    lines = _protection(labels)
    if driver != "bridge" or scope != "local":
        lines.append(f"driver {driver}, scope {scope}: only local bridges are DECNET's")
    return [*lines, _name_signal(name)]


def carries_marks(name: str, labels: Labels, image_labels: Labels | None) -> bool:
    """Whether a container is DECNET's or protected in any way: its endpoints stay as they are.

    Wider than :func:`container`: a mark that cannot be read still is one.
    """
    own = _own(labels, image_labels) if image_labels else labels
    return (
        _protected(labels)
        or any(label.startswith(_MARK) for label in own)
        or bool(_owners(name, own))
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


def _protection(labels: Labels) -> list[str]:
    return (
        ["it is protected, by its label or as our own: it is never touched"]
        if _protected(labels)
        else []
    )


def _name_signal(name: str) -> str:
    counts = "counts" if _NAME.fullmatch(name) else "is not of DECNET's form"
    return f"name {name!r}: {counts}"


def _protected(labels: Labels) -> bool:
    return labels.get(PROTECT_LABEL) == "true"


def _own(labels: Labels, image_labels: Labels) -> Labels:
    return {key: value for key, value in labels.items() if image_labels.get(key) != value}


def _owners(name: str, labels: Labels) -> tuple[str, ...]:
    owners: set[str] = set()
    if (topology_id := labels.get(ID_LABEL)) is not None:
        if not isinstance(topology_id, str) or not ID.fullmatch(topology_id):
            # It names an owner that nobody can ask about, so nobody can say that it is gone.
            return ()
        owners.add(topology_id)
    project_name = labels.get(PROJECT_LABEL)
    for found in (
        _PROJECT.fullmatch(project_name) if isinstance(project_name, str) else None,
        _NAME.fullmatch(name),
    ):
        # A full id says more than its own prefix.
        if found and not any(owner.startswith(found[1]) for owner in owners):
            owners.add(found[1])
    return tuple(sorted(owners))
