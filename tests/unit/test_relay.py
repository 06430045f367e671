"""A relay without its connections: interests, turns, what is asked together, and who is told.

The messages stand here as they are on the wire, so that nothing is learned from the code.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from listener.core.evidence import Answer
from listener.core.resources import prefix_of
from listener.databases.nats.wire import Question, Subjects
from listener.errors import NoAnswer
from listener.runtime.health import Pulse
from listener.runtime.relay import announcing as announcing_module
from listener.runtime.relay import interests as interests_module
from listener.runtime.relay.announcing import Announcing
from listener.runtime.relay.answering import Answering
from listener.runtime.relay.interests import Interests
from listener.runtime.relay.tally import Tally
from listener.runtime.relay.waiting import Asked, Rates, WaitingRoom
from tests.support.process import eventually

if TYPE_CHECKING:
    from loguru import Record

A, B, C = (f"{digit * 8}-0000-4000-8000-000000000001" for digit in "abc")
PREFIXES = frozenset(map(prefix_of, (A, B, C)))
Message = dict[str, Any]


def some(*prefixes: str) -> frozenset[str]:
    return frozenset(prefixes)


# Interests.


def test_a_host_is_told_of_what_it_has_named_and_of_nothing_else() -> None:
    interests = Interests()
    assert interests.replace("one", some("aaaaaaaa", "bbbbbbbb"), 0)
    assert interests.add("one", some("cccccccc"), 0)
    assert interests.replace("two", some("bbbbbbbb"), 0)
    assert interests.concerned([A, B]) == {"one": [A, B], "two": [B]}
    assert interests.replace("one", some("aaaaaaaa"), 0)
    assert interests.concerned([A, B, C]) == {"one": [A], "two": [B]}
    assert (interests.hosts, len(interests)) == (2, 2)
    assert interests.prefixes() == {"aaaaaaaa", "bbbbbbbb"}


def test_a_host_that_says_nothing_for_ten_minutes_is_forgotten() -> None:
    interests = Interests()
    interests.replace("silent", some("aaaaaaaa"), 0)
    interests.replace("alive", some("aaaaaaaa"), 0)
    interests.add("alive", some(), 300)
    interests.forget(601)
    assert interests.concerned([A]) == {"alive": [A]}
    assert (interests.hosts, len(interests)) == (1, 1)


def test_what_hosts_name_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interests_module, "MOST_OF_A_HOST", 2)
    monkeypatch.setattr(interests_module, "MOST", 3)
    interests = Interests()
    assert interests.replace("one", some("aaaaaaaa", "bbbbbbbb"), 0)
    assert not interests.add("one", some("cccccccc"), 0)
    assert not interests.replace("two", some("aaaaaaaa", "bbbbbbbb"), 0)
    assert interests.replace("two", some("cccccccc"), 0)
    assert interests.concerned([A, B, C]) == {"one": [A, B], "two": [C]}


# Whose turn it is.


def asked(host: str, *prefixes: str) -> Asked:
    return Asked(host, f"_INBOX.{host}.1", Question("nonce", frozenset(prefixes)))


def test_hosts_take_turns_and_a_gathering_has_its_bound() -> None:
    room = WaitingRoom()
    many = [f"{number:08x}" for number in range(1_500)]
    waiting = [asked("greedy", *many[:-number]) for number in (1, 2, 3, 4)]
    assert all(map(room.enter, waiting))
    assert not room.enter(asked("greedy", *many)), "four of one host wait already"
    modest = asked("modest", "f0000000")
    assert room.enter(modest)
    gathered, prefixes = room.gather()
    assert gathered[:2] == [waiting[0], modest]
    assert prefixes == {*many[:-1], "f0000000"}, "they are about the same prefixes"
    assert len(gathered) == 5
    assert not room
    for number in range(3):
        room.enter(asked(f"host-{number}", *(f"{number + 1:04x}{p[4:]}" for p in many)))
    assert [len(room.gather()[0]) for _ in range(2)] == [2, 1]


def test_one_host_may_send_so_much_and_no_more() -> None:
    rates = Rates()
    assert [rates.allow("one", 0.0) for _ in range(101)] == [True] * 100 + [False]
    assert rates.allow("two", 0.0)
    assert [rates.allow("one", 0.5) for _ in range(26)] == [True] * 25 + [False]
    assert rates.allow("two", 4.0)
    rates.charge("two", ["aaaaaaaa"] * 15_000)
    assert not rates.allow("two", 5.0), "it owes a hundred"
    assert rates.allow("two", 6.0)


# What hosts are told.


class Stage:
    """The parts of a relay that say something, and all that they say."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.looks = 0
        self.ended: list[str] = []
        self.tally = Tally()
        self.announcing = Announcing(
            subjects=Subjects("lab"),
            kind="sqlite",
            send=self.send,
            look=self.look,
            end=self.ended.append,
            runs=lambda: "",
            down=lambda: "",
            tally=self.tally,
        )

    def send(self, *messages: tuple[str, bytes]) -> None:
        self.sent += ((subject, json.loads(data)) for subject, data in messages)

    def look(self) -> None:
        self.looks += 1

    def says(self, host: str, reply: str = "", **fields: Any) -> None:
        """A host says something."""
        message = {"v": 1, "nonce": "n", "adds": False, "expect": "", **fields}
        self.announcing.hear_host(f"lab.ask.{host}", reply, json.dumps(message).encode())

    def beats(self, relay: str, identity: str) -> None:
        """Another relay is there."""
        beat = {"v": 1, "kind": "heartbeat", "relay": relay, "database": "sqlite"}
        runs = "e3b0c44298fc1c14"  # nobody can tell
        rest = {"identity": identity, "runs": runs, "any": 1, "within": 0.0, "reading": ""}
        self.announcing.hear_relay("lab.all", "", json.dumps(beat | rest).encode())

    def said(self, subject: str) -> list[Message]:
        return [message for to, message in self.sent if to == subject]

    @contextmanager
    def beating(self) -> Iterator[None]:
        """With heartbeats."""
        stop = threading.Event()
        thread = threading.Thread(target=self.announcing.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.announcing.leave()
            thread.join()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_deletion_is_announced_to_those_who_named_it(stage: Stage) -> None:
    stage.says("one", kind="interest", prefixes=["aaaaaaaa"])
    (taken,) = stage.said("lab.host.one")
    assert (taken["kind"], taken["nonce"], taken["relay"]) == ("ack", "n", stage.announcing.relay)
    stage.says("two", "_INBOX.two.1", kind="ask", prefixes=["bbbbbbbb"])
    assert stage.said("lab.host.two") == []
    stage.sent.clear()
    stage.announcing.hinted(0, [A, B, C, "no topology"])
    stage.announcing.hinted(0, [A], torn_down=True)
    to_one, to_two = stage.said("lab.host.one"), stage.said("lab.host.two")
    assert [(m["kind"], m["ids"], m["torn_down"]) for m in to_one] == [
        ("deleted", [A], False),
        ("deleted", [A], True),
    ]
    assert [(m["ids"], m["torn_down"]) for m in to_two] == [([B], False)]
    assert stage.announcing.lately_deleted(["aaaaaaaa", "cccccccc"]) == {A, C}
    assert len(stage.sent) == 3


def test_what_is_hostile_is_refused_and_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.says("one", "_INBOX.two.1", kind="ask", prefixes=["aaaaaaaa"])
    stage.says("one", "lab.host.two", kind="ask", prefixes=["aaaaaaaa"])
    stage.says("one", "_INBOX.one.>", kind="ask", prefixes=["aaaaaaaa"])
    stage.announcing.hear_host("lab.ask.one", "_INBOX.one.1", b"[" * 60_000)
    stage.announcing.hear_relay("lab.all", "", b"{}")
    assert stage.tally.refused["malformed"] == 5
    monkeypatch.setattr(interests_module, "MOST_OF_A_HOST", 1)
    stage.says("one", kind="interest", prefixes=["aaaaaaaa", "bbbbbbbb"])
    assert stage.tally.refused["interests"] == 1
    while not stage.tally.refused["often"]:
        stage.says("flood", kind="interest", prefixes=[])
    stage.says("two", kind="interest", prefixes=["aaaaaaaa"])
    assert len(stage.said("lab.host.two")) == 1
    assert stage.said("lab.host.one") == []
    assert stage.announcing.interests.concerned([A]) == {"two": [A]}


def test_any_is_told_by_a_number_that_grows(stage: Stage) -> None:
    with stage.beating():
        stage.announcing.connected()
        eventually(lambda: any(m["any"] == 1 for m in stage.said("lab.all")), "a heartbeat")
        assert stage.said("lab.all")[-1]["reading"] != ""
        stage.announcing.hinted(0, None)
        eventually(lambda: any(m["any"] == 2 for m in stage.said("lab.all")), "a larger number")
        assert stage.said("lab.all")[-1]["reading"] == ""
        stage.announcing.feed_lost(0, broken=True)
        eventually(lambda: stage.said("lab.all")[-1]["reading"] != "", "that it hears nothing")
        stage.announcing.connected()
        eventually(lambda: any(m["any"] == 3 for m in stage.said("lab.all")), "another connection")
    assert stage.looks == 1


def test_hosts_are_not_told_to_ask_again_before_they_can_have_been_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing_module, "SPREAD", 600.0)
    monkeypatch.setattr(announcing_module, "ANY_SPACING", 0.0)
    stage.says("one", kind="interest", prefixes=[])
    with stage.beating():
        stage.announcing.hinted(0, None)
        eventually(lambda: any(m["any"] == 1 for m in stage.said("lab.all")), "at once")
        stage.announcing.hinted(0, None)
        stage.beats("another", "")  # is answered at once
        eventually(lambda: len(stage.said("lab.all")) > 2, "another heartbeat")
    assert {(m["any"], m["within"]) for m in stage.said("lab.all")[1:]} == {(1, 600.0)}


def test_a_relay_of_another_database_silences_us(stage: Stage) -> None:
    stage.says("one", kind="interest", prefixes=["aaaaaaaa"])
    assert stage.announcing.identified("a table") == ""
    stage.beats("another", "another table")
    assert "another" in stage.announcing.conflict
    assert stage.looks == 1, "ours may have changed as well"
    assert "two different databases" in stage.announcing.identified("a table")
    stage.announcing.hinted(0, [A])
    assert [m["kind"] for m in stage.said("lab.host.one")] == ["ack"]
    assert stage.announcing.identified("another table") == ""
    stage.announcing.hinted(0, [A])
    assert [m["kind"] for m in stage.said("lab.host.one")] == ["ack", "deleted"]


def test_a_conflict_is_said_when_it_has_lasted(
    stage: Stage, log: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing_module, "SETTLED", 600.0)
    stage.announcing.identified("a table")
    stage.beats("another", "the same, altered")
    assert stage.announcing.conflict
    stage.announcing.identified("the same, altered")
    assert log == []
    monkeypatch.setattr(announcing_module, "SETTLED", 0.0)
    stage.beats("another", "another table")
    stage.beats("another", "another table")
    stage.announcing.identified("another table")
    assert [record["level"].name for record in log] == ["ERROR", "INFO"]


def test_what_another_table_had_is_not_told_as_deleted(stage: Stage) -> None:
    stage.announcing.identified("a table")
    stage.announcing.hinted(0, [A])
    stage.announcing.identified("another table")
    assert stage.announcing.lately_deleted(["aaaaaaaa"]) == frozenset()


def test_a_broker_that_passes_nothing_on_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing_module, "HEARTBEAT", 0.01)
    monkeypatch.setattr(announcing_module, "SILENCE", 0.05)
    with stage.beating():
        stage.announcing.connected()
        eventually(lambda: bool(stage.ended), "the connection is given up")
    assert "permissions" in stage.ended[0]


# What the database is asked.


class Asking:
    """A database that answers when it is let, and who asks it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.questions: list[frozenset[str]] = []
        self.rows = {A, B}
        self.refusal: NoAnswer | None = None
        self.may_answer = threading.Event()
        self.closed = threading.Event()
        self.stop = threading.Event()
        self.answering = Answering(
            subjects=Subjects("lab"),
            ask=self.ask,
            close=self.closed.set,
            anywhere=lambda identity: identity.removeprefix("here "),
            presentable=lambda text: text,
            kind="sqlite",
            announcing=stage.announcing,
            send=stage.send,
            tally=stage.tally,
            pulse=Pulse("questions"),
            stop=self.stop,
        )

    def ask(self, prefixes: Iterable[str]) -> Answer:
        wanted = frozenset(prefixes)
        self.questions.append(wanted)
        assert self.may_answer.wait(30)
        if self.refusal is not None:
            raise self.refusal
        ids = frozenset(id_ for id_ in self.rows if prefix_of(id_) in wanted)
        return Answer(wanted, ids, 0.0, "here a table", torn_down=ids & {B})

    def hears(self, host: str, *prefixes: str, reply: str = "", expect: str = "") -> None:
        fields = {"v": 1, "kind": "ask", "nonce": host, "prefixes": prefixes, "expect": expect}
        inbox = reply or f"_INBOX.{host}.1"
        self.answering.hear(f"lab.ask.{host}", inbox, json.dumps(fields).encode())

    def answered(self, host: str) -> list[Message]:
        return self.stage.said(f"_INBOX.{host}.1")


@pytest.fixture
def asking(stage: Stage) -> Iterator[Asking]:
    asking = Asking(stage)
    thread = threading.Thread(target=asking.answering.run, daemon=True)
    thread.start()
    eventually(lambda: len(asking.questions) == 1, "it looks who the database is")
    yield asking
    asking.stop.set()
    asking.may_answer.set()
    asking.answering.wake()
    thread.join()


def test_questions_that_wait_are_one_and_none_joins_the_one_that_runs(asking: Asking) -> None:
    for host, prefix in {"one": "aaaaaaaa", "two": "bbbbbbbb", "three": "cccccccc"}.items():
        asking.hears(host, prefix)
    asking.may_answer.set()
    eventually(lambda: bool(asking.answered("three")), "an answer")
    assert asking.questions == [frozenset(), PREFIXES]
    (one,), (two,), (three,) = map(asking.answered, ("one", "two", "three"))
    assert [m["prefixes"] for m in (one, two, three)] == [["aaaaaaaa"], ["bbbbbbbb"], ["cccccccc"]]
    assert (one["ids"], two["ids"]) == ([[A, False, False]], [[B, False, True]])
    assert (three["ids"], three["identity"], three["changed"]) == ([], "a table", False)


def test_an_answer_tells_what_was_lately_deleted_and_that_another_table_was_expected(
    asking: Asking,
) -> None:
    asking.may_answer.set()
    asking.hears("one", "cccccccc", expect="a table")
    eventually(lambda: bool(asking.answered("one")), "an answer")
    asking.stage.announcing.hinted(0, [A, C])  # of which A is there again
    asking.hears("two", "aaaaaaaa", "cccccccc", expect="another table")
    eventually(lambda: bool(asking.answered("two")), "an answer")
    (one,), (two,) = asking.answered("one"), asking.answered("two")
    assert (one["deleted"], one["changed"]) == ([], False)
    assert (two["ids"], two["deleted"], two["changed"]) == ([[A, False, False]], [C], True)


def test_a_refusal_goes_to_all_who_asked(asking: Asking) -> None:
    asking.refusal = NoAnswer("it is a replica", "replica")
    asking.hears("one", "aaaaaaaa")
    asking.hears("two", "bbbbbbbb")
    asking.may_answer.set()
    eventually(lambda: bool(asking.answered("two")), "a refusal")
    for host in ("one", "two"):
        (message,) = asking.answered(host)
        assert (message["kind"], message["nonce"]) == ("refusal", host)
        assert (message["refused"], message["aspect"]) == ("it is a replica", "replica")
    assert asking.stage.tally.refused["no-answer"] == 2


def test_nobody_is_answered_while_another_relay_serves_another_database(asking: Asking) -> None:
    asking.stage.beats("another", "another table")
    asking.hears("one", "aaaaaaaa")
    asking.may_answer.set()
    eventually(lambda: bool(asking.answered("one")), "a refusal")
    assert "two different databases" in asking.answered("one")[0]["refused"]


def test_an_answer_goes_to_an_inbox_of_the_host_and_nowhere_else(asking: Asking) -> None:
    for reply in ("lab.host.two", "_INBOX.two.1", "_INBOX.one", "_INBOX.one.*", "lab.all"):
        asking.hears("one", "aaaaaaaa", reply=reply)
    asking.hears("two", "bbbbbbbb")
    asking.may_answer.set()
    eventually(lambda: bool(asking.answered("two")), "an answer")
    assert [subject for subject, _ in asking.stage.sent] == ["_INBOX.two.1"]
    assert asking.questions == [frozenset(), {"bbbbbbbb"}]


def test_more_than_may_wait_is_refused(asking: Asking) -> None:
    for _ in range(7):
        asking.hears("one", "aaaaaaaa")
    asking.hears("two", "bbbbbbbb")
    asking.may_answer.set()
    eventually(lambda: bool(asking.answered("two")), "an answer")
    assert len(asking.answered("one")) == 4
    assert asking.stage.tally.refused["waiting"] == 3
    assert asking.stage.tally.asked == 5


def test_who_is_not_asked_closes_what_it_kept_open(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listener.runtime.relay.answering.IDLE", 0.01)
    asking.may_answer.set()
    asking.hears("one", "aaaaaaaa")
    eventually(asking.closed.is_set, "what is idle is closed")
    asking.hears("two", "bbbbbbbb")
    eventually(lambda: bool(asking.answered("two")), "an answer all the same")
