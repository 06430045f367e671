"""The messages of hosts and relays: read as they were written, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.databases.nats import wire

ID = "0123abcd-0000-4000-8000-000000000000"
QUESTION = wire.Question("n1", frozenset({"0123abcd", "89ef0123"}), "public 1/1")
INTEREST = wire.Interest("n2", frozenset({"0123abcd"}), adds=True)
REPLY = wire.Reply(
    nonce="n1",
    relay="r",
    identity="public 2/1",
    runs="a run",
    changed=True,
    kind="postgresql",
    generation=1,
    position=2**64 - 1,
    behind="the database is a copy; give the origin's",
    no_status="",
    prefixes=QUESTION.prefixes,
    ids=frozenset({ID, "89ef0123"}),
    deployed=frozenset({ID}),
    torn_down=frozenset({"89ef0123"}),
    deleted=frozenset({"89ef0123-0000-4000-8000-000000000000"}),
)
REFUSAL = wire.Refusal("n1", "r", "the database is a replica", "replica")
DELETED = wire.Deleted("r", frozenset({ID}), torn_down=True)
ACKNOWLEDGED = wire.Acknowledged("n2", "r", 7)
HEARTBEAT = wire.Heartbeat("r", "sqlite", "", "a run", 7, 2.5, "the database is away")

Case = tuple[wire.Message, Callable[[bytes], wire.Message]]
READ: dict[str, Case] = {
    "a question": (QUESTION, wire.from_host),
    "an interest": (INTEREST, wire.from_host),
    "an answer": (REPLY, lambda data: wire.answer_to(QUESTION, data)),
    "a refusal": (REFUSAL, lambda data: wire.answer_to(QUESTION, data)),
    "an announcement": (DELETED, wire.to_host),
    "an acknowledgement": (ACKNOWLEDGED, wire.to_host),
    "a heartbeat": (HEARTBEAT, wire.heartbeat),
}


@pytest.fixture(params=READ)
def case(request: pytest.FixtureRequest) -> Case:
    return READ[request.param]


def test_a_message_is_read_as_it_was_written(case: Case) -> None:
    message, read = case
    data = wire.encode(message)
    assert read(data) == message
    assert read(json.dumps({**json.loads(data), "of a later version": 1}).encode()) == message


WRONG: tuple[Any, ...] = (
    None,
    True,
    1,
    -1,
    1.5,
    "",
    "x" * 3_000,
    "\n",
    [],
    ["x"],
    [[]],
    [None] * 3_000,
    {},
)


def test_no_field_is_taken_as_anything_else(case: Case) -> None:
    message, read = case
    fields = json.loads(wire.encode(message))
    for name, right in fields.items():
        without = {other: value for other, value in fields.items() if other != name}
        for wrong in WRONG:
            may_be = type(wrong) is type(right) and wrong != "x" * 3_000 and wrong != "\n"
            if may_be or (name == "within" and wrong in (1, 1.5)):
                continue
            with pytest.raises(wire.Malformed):
                read(json.dumps({**without, name: wrong}).encode())
        with pytest.raises(wire.Malformed):
            read(json.dumps(without).encode())


@given(st.binary() | st.text().map(str.encode))
def test_whatever_the_bytes_are_they_are_read_or_refused(data: bytes) -> None:
    for _, read in READ.values():
        with pytest.raises(wire.Malformed):
            read(data)


ODD = {
    "too large": b" " * wire.MOST_FROM_HOST + wire.encode(QUESTION),
    "deep": b'{"v":' + b"[" * 30_000,
    "a number of many digits": b'{"v":' + b"1" * 30_000 + b"}",
    "no number": b'{"v":NaN}',
    "no UTF-8": b'{"v":"\xff"}',
    "UTF-16": '{"v":1}'.encode("utf-16"),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_would_harm_who_reads_it_is_refused(data: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.from_host(data)


@pytest.mark.parametrize(
    "reply",
    [
        *("", "decnet.host.host-7", "decnet.all", "_INBOX.host-7", "_INBOX.host-7.", "_INBOX.>"),
        *("_INBOX.host-8.x", "_INBOX.host-7.*", "_INBOX.host-7.>", "_INBOX.host-7..x"),
        *("_INBOX.host-7x.y", "_INBOX.host-7.x\n", "_INBOX.host-7.x y", "_INBOX.host-7.a.b.c.d.e"),
    ],
)
def test_no_subject_but_an_inbox_of_the_host_is_answered_to(reply: str) -> None:
    with pytest.raises(wire.Malformed):
        wire.Subjects.inbox_of("host-7", reply)
    assert wire.Subjects.inbox_of("host-7", "_INBOX.host-7.mux.1") == "_INBOX.host-7.mux.1"


@pytest.mark.parametrize("subject", ["decnet.ask.", "decnet.ask.a.b", "decnet.all", "x.ask.a", "?"])
def test_a_host_is_named_by_its_own_subject(subject: str) -> None:
    subjects = wire.Subjects("decnet")
    assert subjects.asked_by(subjects.ask("host-7")) == "host-7"
    with pytest.raises(wire.Malformed):
        subjects.asked_by(subject)


def test_a_message_that_nobody_would_take_is_not_made() -> None:
    with pytest.raises(wire.Malformed):
        wire.encode(wire.Question("n", frozenset(f"{n:08x}" for n in range(10_000))))


@given(st.sets(st.integers(0, 2**32 - 1).map("{:08x}".format)))
def test_any_number_of_prefixes_is_told_in_parts(prefixes: set[str]) -> None:
    parts = wire.in_messages(prefixes)
    assert frozenset().union(*parts) == prefixes
    assert all(len(part) <= wire.MOST_PREFIXES for part in parts)
