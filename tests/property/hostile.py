"""What a broken or malicious engine could say, and whose a thing described like that is.

JSON is put together from raw pieces here, because a serializer would never write most of it: bytes
that are no UTF-8, numbers that no float holds, a key twice, lists nested too deep to be read.

Whose a thing is stands in the oracle of this package, for texts; :func:`owners` adds what is to
become of everything that is no text. Neither has seen ``listener.core.ownership``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings

from tests.world.engine import Container, Network
from tests.world.oracle import owners_of

PROFILE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    report_multiple_bugs=False,
    # An example is hundreds of cases, and the one that failed is told: to shrink takes minutes.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

P, Q = "aaaaaaaa", "12345679"
TOPOLOGY, OTHER = f"{P}-0000-4000-8000-000000000001", f"{Q}-0000-4000-8000-000000000002"

ID = "decnet.topology.id"
PROJECT = "com.docker.compose.project"
PROTECT = "topology-reaper.protect"
MARKS = [
    *(ID, PROJECT, PROTECT, "decnet.topology.service", "decnet.topology.role"),
    *(
        "name",
        "oldName",
        "image",
        "type",
        "container",
        "execID",
        "signal",
        "",
        "a\nb",
        "é😀",
        "\x00",
    ),
]
"""Keys of labels: DECNET's, those that an event uses itself, and odd ones."""

Raw: TypeAlias = "bytes | Sequence[tuple[str, Raw]]"
"""A piece of JSON as it is written, or an object: its keys, in order and perhaps twice."""
Pairs: TypeAlias = list[tuple[str, Raw]]

HOSTILE = {
    **{
        name: name.encode()
        for name in (
            *("null", "true", "false", "0", "-1", "1.5", "1e400", "NaN", "-Infinity", "-0", "01"),
            *("0x10", '""', '" "', '"/"', r'"\u0000"', r'"\ud800"', r'"\udfff\ud800"', r'"\u202e"'),
            *('"a\nb"', '"open', "'single'", "", "}", "[]", "{}", "[null]", "[[[[]]]]", '{"a":{}}'),
            *(f'"{P}"', f'["{TOPOLOGY}"]', f'{{"{ID}":"{TOPOLOGY}"}}'),
        )
    },
    "an integer that no float holds": b"9" * 400,
    "an integer that Python does not read": b"9" * 5000,
    "bytes that are no UTF-8": b'"\xff\xfe"',
    "a surrogate as UTF-8": b'"\xed\xa0\x80"',
    "a slash in two bytes": b'"\xc0\xaf"',
    "nested": b"[" * 50 + b"]" * 50,
    "lists nested too deep": b"[" * 5000 + b"]" * 5000,
    "objects nested too deep": b'{"a":' * 5000,
    "huge": b'"' + b"x" * 20_000 + b'"',
}
"""What stands in the place of a value, by a short name for it."""


def text(value: str) -> bytes:
    """A text as JSON."""
    return json.dumps(value).encode()


def written(raw: Raw) -> bytes:
    """A piece of JSON as bytes."""
    if isinstance(raw, bytes):
        return raw
    return b"{" + b",".join(text(key) + b":" + written(value) for key, value in raw) + b"}"


def maimed(pairs: Sequence[tuple[str, Raw]], wrong: Sequence[bytes]) -> Iterator[Pairs]:
    """The same object with something wrong in one place, for each place and each wrong value."""
    for at, (key, value) in enumerate(pairs):
        before, after = list(pairs[:at]), list(pairs[at + 1 :])
        yield before + after
        for other in wrong:
            yield [*before, (key, other), *after]
            yield [*before, (key, other), *after, (key, value)]
            yield [*before, (key, value), *after, (key, other)]
        if not isinstance(value, bytes):
            for inner in maimed(value, wrong):
                yield [*before, (key, inner), *after]


def understood(data: bytes) -> Any:
    """What it says; ``...`` where it is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return ...


def owners(
    kind: str, name: object, labels: Mapping[str, object], image: Mapping[str, object]
) -> frozenset[str]:
    """The full ids and prefixes that a thing belongs to; what is no text says nothing.

    Args:
        kind: ``container``, ``network`` for a local bridge, or anything else.
        name: its own name.
        labels: its labels.
        image: those of its image.
    """
    name = name if isinstance(name, str) else ""
    if labels.get(PROTECT) == "true":
        return frozenset()
    if kind == "network":
        return owners_of(Network("", name, "bridge", "local", 0.0, 0))
    own = {key: value for key, value in labels.items() if key not in image or image[key] != value}
    if kind != "container" or not isinstance(own.get(ID), str | None):
        return frozenset()  # an owner that nobody can ask about
    texts = {key: value for key, value in own.items() if isinstance(value, str)}
    return owners_of(Container("", name, texts, "", {}, 0.0, 0))


@st.composite
def nearly(draw: st.DrawFn, valid: str) -> str:
    """A valid text, or one with a small change somewhere."""
    how, at = draw(st.integers(0, 17)), draw(st.integers(0, len(valid)))
    changed = {
        0: valid[:at] + valid[at + 1 :],
        1: valid + "\n",
        2: valid.upper(),
        3: valid * 2,
        4: "/" + valid,
        5: valid[:at] + draw(st.sampled_from("0gGA_- \n\x00é\ud800٣/")) + valid[at:],
        6: valid[:at],
    }
    return changed.get(how, valid)


names = st.one_of(
    *(nearly(f"decnet_t_{p}_{s}") for p in (P, Q) for s in ("decky-001", "lan1")),
    *(nearly(f"0123abcd_decnet_t_{P}_decky-001"), nearly("decky-001-ssh"), nearly(f"decnet_t_{P}")),
)
values = st.one_of(
    *(nearly(TOPOLOGY), nearly(OTHER), nearly(f"decnet-topo-{P}"), nearly(f"decnet-topo-{Q}")),
    *(names, st.sampled_from(["true", "false", "", "bridge", "x" * 5000])),
)
labels = st.dictionaries(st.sampled_from(MARKS), values.map(text), max_size=4)
hostile = st.sampled_from(list(HOSTILE))
