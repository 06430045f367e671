"""Whatever the engine lists, what is taken for DECNET's is just that, and nothing else is raised.

The lists come through the real SDK, from a proxy that answers in an engine's place. Each drawn
container and network is listed as it is and maimed in every place; what the engine makes up, it
makes up for a whole page of them at once, and whatever nobody can read is a page of its own.

A page is either refused with an error of ours, which only a page that no engine could have sent may
be, or every entry on it belongs to whom an oracle of its own says. An image may be known, gone, or
answer nonsense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from listener.control.inventory import PrefixIndex
from listener.core.resources import Resource
from listener.engine.client import Engine
from listener.engine.mirror import Mirror
from listener.errors import EngineError
from tests.support.proxy import Action, FaultProxy, Request, answer

from .hostile import (
    HOSTILE,
    ID,
    OTHER,
    PROFILE,
    PROJECT,
    TOPOLOGY,
    P,
    Pairs,
    hostile,
    labels,
    maimed,
    names,
    owners,
    text,
    understood,
    written,
)

NOW = 1_700_000_000.0
PAGE = 50
OTHERS = 6
"""Of what no engine could list, one in so many is listed: each takes requests of its own."""
ANY_ID = b'"ID"'
"""Stands for an id, which each entry of a page has of its own."""

IMAGES: dict[str, tuple[int, bytes]] = {
    "sha256:plain": (200, b'{"Config":{"Labels":null}}'),
    "sha256:bare": (200, b'{"Config":null}'),
    "sha256:one": (200, written([("Config", [("Labels", [(ID, text(TOPOLOGY))])])])),
    "sha256:two": (
        200,
        written(
            [("Config", [("Labels", [(ID, text(OTHER)), (PROJECT, text(f"decnet-topo-{P}"))])])]
        ),
    ),
    "sha256:gone": (404, b'{"message":"No such image"}'),
    "sha256:error": (500, b'{"message":"layer does not exist"}'),
    "sha256:cut": (200, b'{"Config":{"Lab'),
    "sha256:deep": (200, b"[" * 5000),
    "sha256:list": (200, b"[]"),
}
"""What the engine answers about each image."""

Owners = frozenset[str]
Entry = Mapping[str, Any]


class Listing:
    """The real client, before a proxy that answers with what is set here."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.containers = self.networks = b"[]"
        self.engine = Engine(proxy.host)
        proxy.hook = self._answer

    def _answer(self, request: Request) -> Action:
        path = request.path.split("?")[0]
        if path.endswith("/version"):
            return answer(200, b'{"ApiVersion":"1.41"}')
        if path.endswith("/containers/json"):
            return answer(200, self.containers)
        if path.endswith("/networks"):
            return answer(200, self.networks)
        image = path.split("/images/")[-1].removesuffix("/json")
        return answer(*IMAGES.get(image, (404, b"")))


def name_of(entry: Entry) -> str:
    """A container's own name."""
    names_ = entry.get("Names")
    own = [
        name[1:]
        for name in (names_ if isinstance(names_, list) else [])
        if isinstance(name, str) and name[:1] == "/" and "/" not in name[1:]
    ]
    return own[0] if own else ""


def container_owners(entry: Entry) -> Owners:
    """To whom it belongs, or may belong."""
    name, labels_, image = name_of(entry), labels_of(entry), entry.get("ImageID")
    status, body = IMAGES.get(image, (404, b"")) if isinstance(image, str) else (404, b"")
    if status == 200 and isinstance(config := understood(body), dict):
        image_labels = (config["Config"] or {}).get("Labels") or {}
        return owners("container", name, labels_, image_labels)
    return owners("container", name, labels_, {})


def is_doubtful(entry: Entry) -> bool:
    """Whether nothing but labels tells whose it is, and its image is gone."""
    return entry["ImageID"] in ("sha256:gone", "sha256:bare") and not owners(
        "container", name_of(entry), {}, {}
    )


def network_owners(entry: Entry) -> Owners:
    """To whom it belongs."""
    bridge = (entry.get("Driver"), entry.get("Scope")) == ("bridge", "local")
    return owners("network" if bridge else "", entry.get("Name"), labels_of(entry), {})


def labels_of(entry: Entry) -> Mapping[str, object]:
    """Its labels."""
    found = entry.get("Labels")
    return found if isinstance(found, dict) else {}


def in_form(entry: Any, kind: str) -> bool:
    """Whether an engine could list it: the id, the labels, a network's name are what they are."""
    match entry:
        case {"Id": str(id_), "Labels": None | dict()} if id_:
            if kind == "network":
                return isinstance(entry.get("Name"), str)
            return isinstance(entry.get("ImageID"), str)
    return False


def check(page: Sequence[bytes], kind: str, listing: Listing) -> None:
    """List a page, and compare."""
    body = b"[" + b",".join(page) + b"]"
    listing.containers, listing.networks = (body, b"[]") if kind == "container" else (b"[]", body)
    entries = understood(body)
    readable = isinstance(entries, list) and all(in_form(entry, kind) for entry in entries)
    if entries is ...:  # the SDK guesses an encoding where it is not UTF-8
        entries = understood(body.decode(errors="replace").encode())
    try:
        resources = listing.engine.listing().resources
    except EngineError:
        assert not readable, body[:1000]
        return
    assert isinstance(entries, list), body[:1000]
    index = PrefixIndex()
    Mirror(index, lambda _: None).list(resources, at=0.0)
    assert all(isinstance(resource.id, str) and resource.id for resource in resources), body[:1000]
    assert len(index) == len({resource.id for resource in resources})
    whose = container_owners if kind == "container" else network_owners
    left = list(resources)
    for entry in entries:
        assert isinstance(entry, dict), f"taken for a {kind}: {entry!r}"
        expected = whose(entry)
        listed_next = (
            bool(left)
            and readable_part(left[0].id) == readable_part(entry.get("Id"))
            and frozenset(left[0].owners) == expected
        )
        resource = left.pop(0) if listed_next else None
        assert resource or not expected, entry
        assert resource is None or reasonable(resource), entry
        if resource and readable and entry.get("ImageID") in IMAGES:
            assert resource.doubtful == is_doubtful(entry), entry
    assert not left, f"not on the list, or not its own: {left[:3]}"


def readable_part(text_: object) -> object:
    """What is left of a text in whatever encoding it was read."""
    return text_.encode("ascii", "ignore") if isinstance(text_, str) else None


def reasonable(resource: Resource) -> bool:
    """Whether its age can be told, where it has one."""
    created: object = resource.created
    return created is None or (isinstance(created, int | float) and math.isfinite(NOW - created))


@st.composite
def containers(draw: st.DrawFn) -> Pairs:
    """An entry of the list of containers: with links it has several names, or none at all."""
    listed = draw(st.lists(names.map(lambda name: f"/{name}"), max_size=3))
    listed += draw(st.sampled_from([[], [], [f"/other/decnet_t_{P}_alias"]]))
    return [
        ("Id", ANY_ID),
        ("Names", b"[" + b",".join(map(text, listed)) + b"]"),
        ("ImageID", text(draw(st.sampled_from(list(IMAGES))))),
        ("Created", b"%d" % draw(st.integers(-1, 2**33))),
        ("Labels", [*draw(labels).items()]),
    ]


@st.composite
def networks(draw: st.DrawFn) -> Pairs:
    """An entry of the list of networks."""
    days = st.sampled_from(["2024-01-02T03:04:05.123456789Z", "0001-01-01T00:00:00Z", "", "now"])
    return [
        ("Id", ANY_ID),
        ("Name", text(draw(names))),
        ("Driver", text(draw(st.sampled_from(["bridge", "bridge", "overlay", "BRIDGE"])))),
        ("Scope", text(draw(st.sampled_from(["local", "local", "swarm"])))),
        ("Created", text(draw(days))),
        ("Labels", [*draw(labels).items()]),
    ]


def pages(drawn: Sequence[Pairs], wrong: Sequence[bytes], kind: str) -> Iterator[list[bytes]]:
    """All of them as they are; all that an engine could have listed; then others, one by one."""
    everything = [*drawn, *(variant for pairs in drawn for variant in maimed(pairs, wrong))]
    entries = [
        written(pairs).replace(ANY_ID, text(f"{number:064x}"))
        for number, pairs in enumerate(everything)
    ]
    good = [entry for entry in entries if in_form(understood(entry), kind)]
    bad = [entry for entry in entries if not in_form(understood(entry), kind)]
    yield from (good[at : at + PAGE] for at in range(0, len(good), PAGE))
    yield from ([*good[:1], entry] for entry in bad[::OTHERS])


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listing]:
    """What an engine lists."""
    folder = tmp_path_factory.mktemp("proxy")
    with FaultProxy("/nowhere", listen=folder / "proxy.sock") as proxy:
        yield Listing(proxy)


@pytest.mark.parametrize(("kind", "things"), [("container", containers()), ("network", networks())])
def test_what_is_listed_belongs_to_whom_the_rule_says(
    listing: Listing, kind: str, things: st.SearchStrategy[Pairs]
) -> None:
    @settings(PROFILE, max_examples=8)
    @given(
        drawn=st.lists(things, min_size=2, max_size=5),
        wrong=st.lists(hostile, min_size=3, max_size=3),
    )
    def play(drawn: list[Pairs], wrong: list[str]) -> None:
        for page in pages(drawn, [HOSTILE[name] for name in wrong], kind):
            check(page, kind, listing)

    play()
