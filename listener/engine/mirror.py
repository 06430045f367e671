"""The index as a mirror of the engine: listings replace it, events bring it up to date.

An id is never used twice and the last event about one is its last state, so it does no harm to
apply an event that a listing shows already, or one twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from listener.control.inventory import PrefixIndex
from listener.control.subnets import SubnetIndex
from listener.core import ownership
from listener.core.resources import Kind, Resource
from listener.engine.events import GONE
from listener.engine.objects import created_before
from listener.errors import EngineError


class Mirror:
    """Applies what the engine says to the index.

    Args:
        index: what it keeps.
        appeared: called with each prefix that a container or network has just appeared under.
        vanished: called with each prefix of what was destroyed.
        subnets: are kept as well, of every network, whoever it belongs to.
    """

    def __init__(
        self,
        index: PrefixIndex,
        appeared: Callable[[str], None],
        vanished: Callable[[str], None] = lambda _: None,
        subnets: SubnetIndex | None = None,
    ) -> None:
        self._index = index
        self._subnets = subnets
        self._appeared = appeared
        self._vanished = vanished
        self._listed_at = 0.0
        self._replays = False

    def list(self, resources: Iterable[Resource], at: float) -> None:
        """Take in a full listing.

        Args:
            resources: all there are.
            at: the engine's time before it, in seconds since the epoch.
        """
        self._index.replace(resources, at=at)
        self._replays |= at != self._listed_at
        self._listed_at = at

    def apply(self, *lines: bytes) -> None:
        """Take in events that came together, each in the engine's JSON.

        A replay begins before the listing, and what came and went in between must not seem to be
        there for a moment. So a creation from before the listing, of what that does not show, is
        passed over, and so is all that came together with the destruction of its object.

        Raises:
            EngineError: one of them is no event; none was taken in.
        """
        events = [_event(line) for line in lines if line.strip()]
        # An image's event, for one, has the labels of the image.
        ours = [item for item in events if item[0].get("Type") in (Kind.CONTAINER, Kind.NETWORK)]
        gone = {id_ for event, id_, *_ in ours if event.get("Action") in GONE}
        for event, id_, name, attributes in ours:
            if self._subnets is not None and event.get("Type") == Kind.NETWORK:
                self._note(event.get("Action"), id_, self._subnets)
            if event.get("Action") in GONE:
                known = self._index.discard(id_)
                for prefix in known.prefixes if known is not None else ():
                    self._vanished(prefix)
            elif id_ not in gone and not self._is_over(event, id_):
                resource = _resource(event, id_, name, attributes)
                self._put(id_, resource, unconfirmed=ownership.may_inherit(attributes))

    @staticmethod
    def _note(action: object, network: str, subnets: SubnetIndex) -> None:
        if action in GONE:
            subnets.vanished(network)
        elif action == "create":
            subnets.appeared(network)

    def _is_over(self, event: Mapping[str, Any], id_: str) -> bool:
        """Whether it tells of the creation of what the listing, which came later, does not show.

        The replay ends with the first event that is as late as the listing: from then on a clock
        that is set back must hide nothing.
        """
        second = event.get("time")  # both are cut to whole seconds
        self._replays &= isinstance(second, int | float) and second < self._listed_at
        is_creation = event.get("Action") == "create"
        return self._replays and is_creation and self._index.get(id_) is None

    def _put(self, id_: str, resource: Resource | None, *, unconfirmed: bool) -> None:
        known = self._index.get(id_)
        if resource is None:
            self._index.discard(id_)  # renamed away from a name that was its only mark
        elif known is None or known.name != resource.name:
            # A listing has told already that a thing is its owners', whatever it is called now.
            listed = known is not None and known.owners == resource.owners
            if known is not None and known.doubtful and listed:
                resource = replace(resource, doubtful=True)  # an event tells nothing of its image
            is_new = unconfirmed and not (listed and not self._index.is_unconfirmed(id_))
            self._index.put(resource, unconfirmed=is_new)
            for prefix in resource.prefixes:
                self._appeared(prefix)


def _event(line: bytes) -> tuple[Mapping[str, Any], str, str, Mapping[str, object]]:
    """An event, with the id, the name and the attributes of its object."""
    try:
        event = json.loads(line)
        id_, attributes = event["Actor"]["ID"], event["Actor"]["Attributes"] or {}
        name = str(attributes.get("name", ""))
        if event.get("Type") == Kind.NETWORK:
            name = name or str(attributes.get("network", ""))  # Podman 5.4
        if not isinstance(id_, str):
            raise TypeError(id_)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError("the event stream brought something that is no event") from error
    return event, id_, name, attributes


def _resource(
    event: Mapping[str, Any], id_: str, name: str, attributes: Mapping[str, object]
) -> Resource | None:
    """What an event tells of its object: all of a container's labels, and the name of either."""
    created = created_before(event.get("time")) if event.get("Action") == "create" else None
    if event.get("Type") == "network":
        driver = attributes.get("type") or attributes.get("driver")  # the latter: Podman
        return ownership.network(
            id_, name, driver=driver, scope=event.get("scope"), created=created
        )
    return ownership.container(id_, name, attributes, image_labels=None, created=created)
