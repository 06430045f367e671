"""A host that was taken over, against a relay behind the broker of contrib/nats.

It says what the broker lets it say, on its own subject. What the relay refuses it counts, and it
goes on answering others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from listener.telemetry.healthcheck import read_status
from tests.conftest import make_table
from tests.fleet.guarded import NAME, RELAY, GuardedNats, Speaker
from tests.support.decnet import new_id
from tests.support.process import RelayProcess, eventually
from tests.support.rows import Rows

LIVE = new_id("aaaaaaaa")
QUESTION = {"v": 1, "kind": "ask", "nonce": "n", "prefixes": ["aaaaaaaa"], "expect": ""}
INTEREST = {"v": 1, "kind": "interest", "nonce": "n", "prefixes": ["aaaaaaaa"], "adds": False}
ELSEWHERE = (
    *(f"{NAME}.host.victim", f"{NAME}.host.twisted", f"{NAME}.all", f"{NAME}.ask.twisted"),
    *("_INBOX.victim.1", "_INBOX.twisted", "_INBOX.twisted.", "_INBOX.twisted..1", "_INBOX.1"),
    *("_INBOX.*.1", "_INBOX.>", "_INBOX.twisted.*", "_INBOX.twisted.>", "_INBOX.twisted.1.>"),
    *("_INBOX.twisted.\u00e9", "_inbox.twisted.1", "$SYS.REQ.SERVER.PING", ">", ""),
)
"""Where a host may want its answer, and does not get it."""


def but(**fields: object) -> bytes:
    """The question, with other fields."""
    return json.dumps({**QUESTION, **fields}).encode()


MALFORMED = {
    "nothing": b"",
    "no JSON": b"a question",
    "no object": b"[1]",
    "half of it": but()[:-1],
    "deep": b"[" * 60_000,
    "deep in a field": but(prefixes=[])[:-2] + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "no UTF-8": but().replace(b'"n"', b'"\xff"'),
    "a surrogate": but(expect="\ud800"),
    "a line break": but(expect="one\ntwo"),
    "no number": but().replace(b'"v": 1', b'"v": NaN'),
    "a huge number": but().replace(b'"v": 1', b'"v": 1' + b"0" * 30_000),
    "true for a number": but(v=True),
    "another version": but(v=2),
    "another kind": but(kind="heartbeat"),
    "an answer": but(kind="answer"),
    "a number for a nonce": but(nonce=1),
    "a long nonce": but(nonce="n" * 65),
    "a number for an identity": but(expect=1),
    "a long identity": but(expect="x" * 2_001),
    "one prefix for a list": but(prefixes="aaaaaaaa"),
    "an object for a list": but(prefixes={"aaaaaaaa": 1}),
    "a number for a prefix": but(prefixes=[11111111]),
    "a list for a prefix": but(prefixes=[["aaaaaaaa"]]),
    "SQL for a prefix": but(prefixes=["' OR 1=1"]),
    "SQL behind a prefix": but(prefixes=["aaaaaaaa'; DELETE FROM topologies; --"]),
    "a wildcard for a prefix": but(prefixes=["aaaaaaa%"]),
    "capitals for a prefix": but(prefixes=["AAAAAAAA"]),
    "a line break behind a prefix": but(prefixes=["aaaaaaaa\n"]),
    "2,001 prefixes": but(prefixes=[f"{number:08x}" for number in range(2_001)]),
    "too many bytes": but(padding="x" * 2**16),
    "an interest that does not say in place of what": but(kind="interest"),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[GuardedNats]:
    with GuardedNats("victim", "twisted", "odd", "loud") as broker:
        yield broker


class Relay:
    """A relay, and a database whose one row it knows."""

    def __init__(self, broker: GuardedNats, folder: Path) -> None:
        self.broker = broker
        url = f"sqlite:///{folder / 'decnet.db'}"
        self.rows = Rows(url)
        make_table(self.rows, url)
        self.rows.insert(LIVE)
        answering, announcing = (broker.urls[user] for user in RELAY)
        self._state = folder / "state"
        options = ("--state-dir", str(self._state), "--http", "off")
        self.process = RelayProcess(url, answering, NAME, "--nats-announce", announcing, *options)

    def refused(self) -> dict[str, int]:
        """How much it has refused so far, by reason."""
        return dict(read_status(self._state)["refused"])


@pytest.fixture(scope="module")
def relay(broker: GuardedNats, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = Relay(broker, tmp_path_factory.mktemp("relay"))
    with relay.process:
        yield relay
    relay.rows.close()


@pytest.fixture
def victim(relay: Relay) -> Iterator[Speaker]:
    """Another host, which has named its interest."""
    with Speaker(relay.broker.urls["victim"]) as victim:
        victim.subscribe(f"{NAME}.host.victim", f"{NAME}.all", "_INBOX.victim.>")
        victim.publish(f"{NAME}.ask.victim", json.dumps(INTEREST).encode())
        eventually(lambda: "ack" in kinds(victim), "an acknowledgement")
        yield victim


def kinds(speaker: Speaker) -> set[str]:
    """The kinds of the messages that it has heard."""
    speaker.fence()
    return {json.loads(data)["kind"] for _, data in speaker.heard}


def is_answered(speaker: Speaker, user: str) -> bool:
    """Whether this host's question is answered in time for a listener, with the row."""
    speaker.publish(f"{NAME}.ask.{user}", but(), f"_INBOX.{user}.1")
    speaker.fence()
    return any(
        answer["kind"] == "answer" and [row[0] for row in answer["ids"]] == [LIVE]
        for answer in map(decoded, speaker.heard)
    )


def decoded(heard: tuple[str, bytes]) -> dict[str, Any]:
    return dict(json.loads(heard[1]))


def test_a_relay_writes_nowhere_for_a_host_but_to_its_inbox(relay: Relay, victim: Speaker) -> None:
    before = relay.refused()
    with Speaker(relay.broker.urls["twisted"]) as twisted:
        twisted.subscribe(f"{NAME}.host.twisted", "_INBOX.twisted.>")
        for reply in ELSEWHERE:
            twisted.publish(f"{NAME}.ask.twisted", but(), reply)
        eventually(
            lambda: relay.refused() == before | {"malformed": before["malformed"] + len(ELSEWHERE)},
            "each is counted",
        )
        eventually(lambda: is_answered(twisted, "twisted"), "what may be asked is answered")
        assert {subject for subject, _ in twisted.heard} == {"_INBOX.twisted.1"}
    assert kinds(victim) <= {"ack", "heartbeat"}


def test_whatever_a_host_says_is_counted_and_asks_the_database_nothing(
    relay: Relay, victim: Speaker
) -> None:
    before = relay.refused()
    with Speaker(relay.broker.urls["odd"]) as odd:
        odd.subscribe("_INBOX.odd.>")
        for data in MALFORMED.values():
            odd.publish(f"{NAME}.ask.odd", data, "_INBOX.odd.1")
        eventually(
            lambda: relay.refused() == before | {"malformed": before["malformed"] + len(MALFORMED)},
            "each is counted",
        )
        eventually(lambda: is_answered(odd, "odd"), "a question is answered")
    eventually(lambda: is_answered(victim, "victim"), "others are answered")
    assert relay.process.logged("defect") == []


def test_a_host_that_asks_too_much_waits_for_itself_and_for_nobody_else(
    relay: Relay, victim: Speaker
) -> None:
    before = relay.refused()
    with Speaker(relay.broker.urls["loud"]) as loud:
        many = but(prefixes=[f"{number:08x}" for number in range(20)])
        for _ in range(500):
            loud.publish(f"{NAME}.ask.loud", many, "_INBOX.loud.1")
        eventually(lambda: is_answered(victim, "victim"), "another host is answered")
        loud.fence()
    eventually(
        lambda: all(relay.refused()[why] > before[why] for why in ("often", "waiting")),
        "what is too much is counted",
    )
    relay.rows.delete(LIVE)
    eventually(lambda: "deleted" in kinds(victim), "a deletion is announced")
    relay.rows.insert(LIVE)
