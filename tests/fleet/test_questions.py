"""A question to relays: what is an answer, and what is none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from listener.databases.nats import table as module
from listener.databases.nats.table import NatsTopologies
from listener.databases.urls import open_topologies
from listener.errors import NoAnswer
from tests.fleet.relay import ScriptedRelay, changed
from tests.support.process import eventually
from tests.support.servers import PrivateNats, free_port

ID, OTHER = str(uuid4()), str(uuid4())
PREFIXES = {ID[:8], OTHER[:8]}


def refusal(relayed: NatsTopologies) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        relayed.ask(PREFIXES)
    assert str(caught.value).startswith("--database-url: ")
    return caught.value


def conflicts(relayed: NatsTopologies) -> bool:
    try:
        relayed.ask(())
    except NoAnswer:
        return True
    return False


def test_an_answer_is_about_what_was_asked(relayed: NatsTopologies, relay: ScriptedRelay) -> None:
    relay.rows = {ID, str(uuid4())}
    answer = relayed.ask(PREFIXES)
    assert answer.ids == {ID}
    assert answer.prefixes == PREFIXES
    assert answer.live(ID)
    assert not answer.live(OTHER)


def test_an_answer_is_as_old_as_its_question(relayed: NatsTopologies, relay: ScriptedRelay) -> None:
    asked_by: list[float] = []

    def late(answer: bytes) -> bytes:
        asked_by.append(time.monotonic())
        return answer

    relay.lie = late
    assert relayed.ask(PREFIXES).at <= asked_by[0]


def test_more_prefixes_than_a_message_takes(relayed: NatsTopologies, relay: ScriptedRelay) -> None:
    relay.rows = {str(uuid4()) for _ in range(2_001)}
    assert relayed.ask(id_[:8] for id_ in relay.rows).ids == relay.rows
    assert {len(relay.questions.get().prefixes) for _ in range(2)} == {2_000, 1}


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "0123"},
    "other prefixes": {"prefixes": [ID[:8]]},
    "rows of others": {"ids": [[str(uuid4()), False, False]]},
    "an identity as expected that is not": {"changed": True},
    "no kind of database": {"database": "oracle"},
    "a generation that is true": {"generation": True},
    "another version": {"v": 2},
    **{f"no {name}": {name: None} for name in ("v", "kind", "nonce", "relay", "identity", "ids")},
    **{f"no {name}": {name: None} for name in ("prefixes", "position", "behind", "deleted")},
    **{
        f"no {name}": {name: None}
        for name in ("generation", "no_status", "database", "changed", "runs")
    },
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_is_no_answer(
    relayed: NatsTopologies, relay: ScriptedRelay, lie: dict[str, Any]
) -> None:
    relay.lie = changed(**lie)
    assert "is refused" in str(refusal(relayed))
    assert relayed.refused == 1
    relay.lie = lambda answer: answer
    assert relayed.ask(PREFIXES).ids == set()


def test_a_refusal_comes_with_its_sentence(relayed: NatsTopologies, relay: ScriptedRelay) -> None:
    relay.lie = changed(
        kind="refusal",
        refused="--database-url: the database is a replica; give the primary's URL",
        aspect="replica",
    )
    error = refusal(relayed)
    assert error.aspect == "replica"
    assert error.problem.endswith("gave no answer: the database is a replica")
    assert error.remedy == "give the primary's URL"


def test_no_relay_is_said_at_once_and_one_that_comes_is_asked(
    relayed: NatsTopologies, start: Callable[[str], ScriptedRelay]
) -> None:
    assert "no relay named" in str(refusal(relayed))
    start("one")
    assert relayed.ask(PREFIXES).ids == set()


def test_a_silent_relay_is_no_answer(
    url: str, relay: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.1)
    relay.lie = lambda _: None
    relayed = open_topologies(url)
    assert isinstance(relayed, NatsTopologies)
    with closing(relayed):
        assert "gave no answer within 0.1 s" in str(refusal(relayed))


def test_no_broker() -> None:
    url = f"nats://127.0.0.1:{free_port()}/decnet"
    with (
        closing(open_topologies(url)) as relayed,
        pytest.raises(NoAnswer, match="cannot be reached"),
    ):
        relayed.ask(())


def test_any_of_several_brokers_will_do(
    nats: PrivateNats, fleet: str, relay: ScriptedRelay
) -> None:
    url = f"nats://127.0.0.1:{free_port()},{nats.address}/{fleet}"
    with closing(open_topologies(url)) as relayed:
        assert relayed.ask(PREFIXES).ids == relay.rows


def test_what_the_broker_forbids_is_said(fleet: str) -> None:
    users = [
        f'{{user: stranger, password: "{secrets.token_hex(8)}"}}',
        f'{{user: mute, password: m, permissions: {{publish: {{deny: "{fleet}.ask.>"}}}}}}',
        f'{{user: deaf, password: d, permissions: {{subscribe: {{deny: "{fleet}.all"}}}}}}',
    ]
    with PrivateNats(f"authorization: {{users: [{', '.join(users)}]}}") as server:
        relay = f"nats://stranger:wrong@{server.address}/{fleet}"
        said = {
            relay: "does not let this user in",
            f"nats://mute:m@{server.address}/{fleet}": f"Publish to .{fleet}.ask.mute",
            f"nats://deaf:d@{server.address}/{fleet}": f"Subscription to .{fleet}.all",
        }
        for url, words in said.items():
            with closing(open_topologies(url)) as relayed:
                with pytest.raises(NoAnswer, match=f"(?i){words}") as caught:
                    relayed.ask(())
                assert "wrong" not in str(caught.value)


def test_another_identity_is_one_and_the_relay_hears_which_was_expected(
    relayed: NatsTopologies, relay: ScriptedRelay
) -> None:
    before = relayed.ask(()).identity
    assert relay.questions.get().expect == ""
    relay.identity = "public 9/1 database 2 table 3 collation 4"
    after = relayed.ask(()).identity
    assert not relayed.same_table(before, after, watched=True)
    assert relay.questions.get().expect != relay.identity
    assert relayed.ask(()).identity == after


def test_a_generation_is_counted_for_each_relay(
    relayed: NatsTopologies, relay: ScriptedRelay
) -> None:
    relay.generation = 5
    first = relayed.ask(()).generation
    relay.relay, relay.generation = "two", 3
    assert relayed.ask(()).generation == first
    relay.relay, relay.generation = "one", 6
    assert relayed.ask(()).generation > first


def test_a_relay_that_takes_over_before_a_server_of_the_same_image(
    relayed: NatsTopologies, relay: ScriptedRelay
) -> None:
    tables = [f"decnet server 1 table of {created} number 20 of 9" for created in (1, 2, 3)]
    relay.kind, relay.identity = "mysql", tables[0]
    before = relayed.ask(()).generation
    relay.identity = tables[1]
    assert relayed.ask(()).generation == before, "it has watched how the table was altered"
    relay.relay, relay.identity = "two", tables[2]
    assert relayed.ask(()).generation > before


def test_an_answer_that_another_relays_heartbeat_contradicts_is_none(
    relayed: NatsTopologies, relay: ScriptedRelay
) -> None:
    relayed.ask(())
    relay.runs = "the original"
    relay.beat()
    relay.relay, relay.runs = "two", "a copy"  # which has not been heard yet
    eventually(lambda: conflicts(relayed), "that the first is heard")
    assert "serve two different databases" in str(refusal(relayed))


def test_relays_of_two_databases_are_no_answer_until_one_is_gone(
    relayed: NatsTopologies,
    start: Callable[[str], ScriptedRelay],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = start("one"), start("two")
    two.identity = "public 9/1 database 2 table 3 collation 4"
    relayed.ask(())
    one.beat()
    two.beat()
    eventually(lambda: conflicts(relayed), "that both are heard")
    assert "the relays one and two named" in str(refusal(relayed))
    two.close()
    monkeypatch.setattr("listener.databases.nats.wire.SILENCE", 0.0)
    assert relayed.ask(PREFIXES).ids == set()
