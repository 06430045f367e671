"""The permissions and the limits of contrib/nats, against who has one host's password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from subprocess import CalledProcessError

import pytest

from tests.fleet.guarded import NAME, RELAY, GuardedNats, Refused, Speaker
from tests.support.process import eventually

ANSWERS, ANNOUNCES = RELAY
TO_ALL = f"{NAME}.all"
FORGED = (
    *(f"{NAME}.host.victim", f"{NAME}.host.intruder", TO_ALL, f"{NAME}.ask.victim"),
    *(f"{NAME}.ask.intruder.more", f"{NAME}.ask", f"{NAME}.ask.*", f"{NAME}.host.*", f"{NAME}.>"),
    *("_INBOX.victim.1", "_INBOX.intruder.1", "_INBOX.1", "_INBOX.relay-answers.1"),
    *("$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$JS.API.INFO", "_R_.1", "$GR.1"),
)
"""Where a host may not say anything."""
SECRET = (
    *(">", "*.>", "*.*.*", f"{NAME}.>", f"{NAME}.*", f"{NAME}.*.*", f"{NAME}.*.intruder"),
    *(f"{NAME}.host.victim", f"{NAME}.host.*", f"{NAME}.host.>", "*.host.intruder"),
    *(f"{NAME}.ask.>", f"{NAME}.ask.*", f"{NAME}.ask.victim", f"{NAME}.ask.intruder"),
    *("_INBOX.>", "_INBOX.*", "_INBOX.*.*", "_INBOX.*.>", "_INBOX.victim.>", "_INBOX.intruder"),
    *("$SYS.>", "$SYS.ACCOUNT.>", "_R_.>"),
)
"""What a host may not hear."""


@pytest.fixture(scope="module")
def broker() -> Iterator[GuardedNats]:
    with GuardedNats("intruder", "victim", "goes", "stays") as broker:
        yield broker


class Fleet:
    """All who may be there, each hearing all that it may."""

    def __init__(self, broker: GuardedNats, stack: ExitStack) -> None:
        users = ("intruder", "victim", *RELAY)
        self.of = {user: stack.enter_context(Speaker(broker.urls[user])) for user in users}
        for host in ("intruder", "victim"):
            self.of[host].subscribe(f"{NAME}.host.{host}", TO_ALL, f"_INBOX.{host}.>")
        self.of[ANSWERS].subscribe(f"{NAME}.ask.*", queue="relays")
        self.of[ANNOUNCES].subscribe(f"{NAME}.ask.*", TO_ALL)
        self.heard()

    def heard(self) -> dict[str, list[str]]:
        """By user the subjects of what it has heard so far; those without anything are left out."""
        for speaker in self.of.values():
            speaker.fence()  # all is said
        for speaker in self.of.values():
            speaker.fence()  # and heard
        return {
            user: [subject for subject, _ in speaker.heard]
            for user, speaker in self.of.items()
            if speaker.heard
        }


@pytest.fixture
def fleet(broker: GuardedNats) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(broker, stack)


def test_a_host_asks_in_its_own_name_and_says_nothing_else(fleet: Fleet) -> None:
    intruder = fleet.of["intruder"]
    for subject in FORGED:
        intruder.publish(subject, b"forged")
    assert fleet.heard() == {}
    assert intruder.errors == [
        f'Permissions Violation for Publish to "{subject}"' for subject in FORGED
    ]
    intruder.publish(f"{NAME}.ask.intruder", b"a question")
    assert fleet.heard() == {relay: [f"{NAME}.ask.intruder"] for relay in RELAY}


@pytest.mark.parametrize("queue", ["", "relays"])
def test_a_host_hears_what_is_for_it_and_nothing_else(fleet: Fleet, queue: str) -> None:
    intruder = fleet.of["intruder"]
    intruder.subscribe(*SECRET, queue=queue)
    fleet.of["victim"].publish(f"{NAME}.ask.victim")
    fleet.of[ANSWERS].publish("_INBOX.victim.1")
    fleet.of[ANNOUNCES].publish(f"{NAME}.host.victim")
    assert "intruder" not in fleet.heard()
    assert len(intruder.errors) == len(SECRET)
    fleet.of[ANSWERS].publish("_INBOX.intruder.1")
    fleet.of[ANNOUNCES].publish(f"{NAME}.host.intruder")
    fleet.of[ANNOUNCES].publish(TO_ALL)
    own = [f"{NAME}.host.intruder", TO_ALL, "_INBOX.intruder.1"]
    assert sorted(fleet.heard()["intruder"]) == sorted(own)


@pytest.mark.parametrize(
    ("user", "says", "hears"),
    [
        (
            ANSWERS,
            (f"{NAME}.host.victim", TO_ALL, f"{NAME}.ask.victim"),
            (f"{NAME}.ask.*", f"{NAME}.host.*", TO_ALL),
        ),
        (
            ANNOUNCES,
            ("_INBOX.victim.1", f"{NAME}.ask.victim"),
            (f"{NAME}.host.*", "_INBOX.>"),
        ),
    ],
)
def test_of_the_relays_connections_one_answers_and_the_other_announces(
    fleet: Fleet, user: str, says: tuple[str, ...], hears: tuple[str, ...]
) -> None:
    for subject in says:
        fleet.of[user].publish(subject)
    fleet.of[user].subscribe(*hears)
    assert fleet.heard() == {}
    assert len(fleet.of[user].errors) == len(says) + len(hears)


@pytest.mark.parametrize("change", ["revoke", "add"])
def test_whose_password_is_revoked_or_replaced_is_put_out_at_once(
    broker: GuardedNats, change: str
) -> None:
    old = broker.urls["goes"]
    with Speaker(broker.urls["goes"]) as goes, Speaker(broker.urls["stays"]) as stays:
        broker.users(change, "goes")
        broker.take_users()
        goes.await_end()
        with pytest.raises(Refused, match="Authorization Violation"):
            Speaker(old)
        stays.fence()
    broker.users("add", "goes")
    broker.take_users()
    eventually(lambda: lets_in(broker, "goes"), "the new password is taken")


def lets_in(broker: GuardedNats, user: str) -> bool:
    try:
        with Speaker(broker.urls[user]):
            return True
    except Refused:
        return False


@pytest.mark.parametrize(
    "name", ["", "a.b", "a b", "*", ">", "a'", "a\nb", "\u00e9", "x" * 65, ANSWERS, ANNOUNCES]
)
def test_no_user_is_made_whose_name_would_be_more_than_a_hosts(
    broker: GuardedNats, name: str
) -> None:
    file = broker.directory / "users.conf"
    before = file.read_bytes()
    with pytest.raises(CalledProcessError):
        broker.users("add", name)
    assert file.read_bytes() == before


@pytest.mark.parametrize("user", ["", "nobody", "victim", ANNOUNCES])
def test_nobody_is_let_in_without_a_password_of_its_own(broker: GuardedNats, user: str) -> None:
    with pytest.raises(Refused, match="Authorization Violation"):
        Speaker(broker.urls["intruder"].replace("intruder", user))


def test_who_wants_too_much_does_not_get_it(broker: GuardedNats) -> None:
    with Speaker(broker.urls["intruder"]) as greedy:
        greedy.subscribe(*(f"_INBOX.intruder.{number}" for number in range(100)))
        greedy.fence()
        assert greedy.errors == ["maximum subscriptions exceeded"] * 92
    with Speaker(broker.urls["intruder"]) as loud:
        loud.say(f"PUB {NAME}.ask.intruder {2**20 + 1}")
        assert "Maximum Payload Violation" in loud.await_end()
