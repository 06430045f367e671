"""Absence weighed: witnessed, grace, vouched for, held."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from listener.core.evidence import Answer, Evidence, Memory, State, Verdict
from listener.core.judge import Answers, Judge
from listener.core.resources import Resource
from tests.world.parts import TOPOLOGY, P, Q, base, network, topology

OTHER = topology(tail=2)
LIVE = topology("11111111")
NEIGHBOUR = base("neighbour", LIVE)
"""Its row exists all the time, so that the database is vouched for."""


def unasked(_prefixes: Iterable[str]) -> Answer:
    raise AssertionError("the answers are given")


class Book:
    """One database and one host's resources: ``look`` asks, observes and weighs."""

    def __init__(self, grace: float = 30.0) -> None:
        self.evidence = Evidence(grace)
        self.judge = Judge([(unasked, self.evidence)])

    def watch(self, resource: Resource, since: float, until: float) -> Verdict:
        """Look every four seconds, which is no outage, and at the end."""
        for second in range(int(since), int(until), 4):
            self.look(resource, at=float(second))
        return self.look(resource, at=until)

    def look(
        self,
        resource: Resource,
        rows: Iterable[str] = (),
        *,
        at: float = 0.0,
        identity: str = "one",
        beside: Iterable[Resource] = (),
        engine_now: float | None = None,
        behind: str = "",
        deployed: Iterable[str] = (),
    ) -> Verdict:
        resources = [resource, *beside]
        prefixes = frozenset(prefix for r in resources for prefix in r.prefixes)
        answer = Answer(
            prefixes,
            frozenset(r for r in rows if r[:8] in prefixes),
            at,
            identity,
            behind=behind,
            deployed=frozenset(deployed),
        )
        answers = Answers([answer])
        self.judge.observe(answers, resources)
        return self.judge.weigh(resource, answers, engine_now)


@pytest.fixture
def vouched() -> Book:
    """A book whose database owns something on this host."""
    book = Book()
    assert book.look(NEIGHBOUR, [LIVE]).state is State.ALIVE
    return book


# ReportedDeletions.


@pytest.mark.parametrize("resource", [base(), network()])
def test_a_reported_deletion_needs_no_grace(vouched: Book, resource: Resource) -> None:
    vouched.evidence.deletions.add([TOPOLOGY], 0.0)
    verdict = vouched.look(resource, at=600.0)
    assert (verdict.state, verdict.evidence) == (State.ORPHAN, "its deletion was reported")
    assert Book().look(resource).state is State.HELD


def test_a_report_is_worth_nothing_after_ten_minutes(vouched: Book) -> None:
    vouched.evidence.deletions.add([TOPOLOGY], 0.0)
    assert vouched.look(base(), at=600.1).state is State.WAITING


def test_a_report_releases_nothing_that_is_held(vouched: Book) -> None:
    unvouched = Book()
    unvouched.evidence.deletions.add([TOPOLOGY], 0.0)
    assert unvouched.look(base()).state is State.HELD
    vouched.evidence.deletions.add([TOPOLOGY], 0.0)
    assert vouched.look(base(), beside=[NEIGHBOUR], rows=[LIVE], identity="two").state is State.HELD
    assert not vouched.evidence.deletions.explain(TOPOLOGY, 0.0), "it was about another table"


# The answer.


def test_a_full_id_lives_by_its_own_row_and_a_prefix_by_any_row() -> None:
    answer = Answer(frozenset({P, Q}), frozenset({OTHER}), 0.0, "one")
    assert [answer.live(o) for o in (TOPOLOGY, OTHER, P, Q)] == [False, True, True, False]


def test_an_id_that_is_written_otherwise_keeps_all_with_its_prefix_alive() -> None:
    answer = Answer(frozenset({P}), frozenset({OTHER.replace("-", "")}), 0.0, "one")
    assert [answer.live(o) for o in (TOPOLOGY, OTHER, P)] == [True, True, True]


def test_what_nobody_asked_about_is_neither_alive_nor_dead() -> None:
    with pytest.raises(KeyError, match=LIVE):
        Answer(frozenset({P}), frozenset(), 0.0, "one").live(LIVE)


# One owner.


@pytest.mark.parametrize("resource", [base(), network()])
def test_a_witnessed_row_counts_as_deleted_at_once(resource: Resource) -> None:
    book = Book()
    assert book.look(resource, [TOPOLOGY], at=1.0).state is State.ALIVE
    verdict = book.look(resource, at=1.0)
    assert (verdict.state, verdict.wait) == (State.ORPHAN, 0.0)
    assert "witnessed" in verdict.evidence


def test_an_unwitnessed_row_waits_for_the_grace_and_not_longer(vouched: Book) -> None:
    assert vouched.look(base(), at=100.0).wait == 30.0
    assert vouched.watch(base(), 100.0, 110.0).wait == 20.0
    verdict = vouched.watch(base(), 110.0, 129.5)
    assert (verdict.state, verdict.wait) == (State.WAITING, 0.5)
    assert vouched.look(base(), at=130.0).state is State.ORPHAN


def test_the_grace_begins_with_the_first_answer_that_shows_the_absence(vouched: Book) -> None:
    assert vouched.look(base(), at=500.0).wait == 30.0
    assert vouched.watch(base("later"), 500.0, 520.0).wait == 10.0


def test_an_outage_begins_the_grace_anew_and_five_seconds_are_none(vouched: Book) -> None:
    vouched.look(base(), at=100.0)
    assert vouched.look(base(), at=105.0).wait == 25.0
    assert vouched.look(base(), at=110.5).wait == 30.0, "5.5 s without an answer"
    assert vouched.look(base(), at=115.5).wait == 25.0
    vouched.evidence.interrupted()
    assert vouched.look(base(), at=116.5).wait == 30.0, "the feed was lost"


# Whether the database is current.


BEHIND = "the database is a replica; give the primary's URL"


def test_what_was_never_seen_is_held_while_the_database_may_be_behind(vouched: Book) -> None:
    verdict = vouched.look(base(), at=100.0, behind=BEHIND)
    assert (verdict.state, BEHIND in verdict.evidence) == (State.HELD, True)
    vouched.evidence.deletions.add([TOPOLOGY], 100.0)
    assert vouched.look(base(), at=101.0, behind=BEHIND).state is State.HELD, "nor by a report"
    vouched.look(base(), [TOPOLOGY], at=102.0)
    assert vouched.look(base(), at=103.0, behind=BEHIND).state is State.ORPHAN, "witnessed"


YOUNGER = topology("77777777")


@pytest.mark.parametrize(
    ("lan", "decky", "deployed", "proves"),
    [
        (501.0, 501.0, True, True),
        (500.0, 501.0, True, False),  # in the same second nobody can tell
        (None, 501.0, True, False),  # compose makes containers anew
        (501.0, 400.0, True, False),
        (501.0, 501.0, False, False),
    ],
)
def test_a_copy_is_past_what_is_older_than_a_topology_that_it_shows_as_deployed(
    vouched: Book, lan: float | None, decky: float, deployed: bool, proves: bool
) -> None:
    younger = [base("decky", YOUNGER, created=decky)]
    if lan is not None:
        younger.append(network("lan", "77777777", created=lan))
    old = base("old", created=500.0)
    vouched.evidence.deletions.add([TOPOLOGY], 100.0)
    verdict = vouched.look(
        old,
        [YOUNGER],
        at=100.0,
        beside=younger,
        behind=BEHIND,
        deployed=[YOUNGER] if deployed else [],
    )
    assert (verdict.state is State.ORPHAN) is proves
    # It goes on in order, so that later answers need not show it again; another table has to.
    assert (vouched.look(old, at=101.0, behind=BEHIND).state is State.ORPHAN) is proves
    vouched.look(NEIGHBOUR, [LIVE], at=102.0, identity="two")
    assert vouched.look(old, at=103.0, identity="two", behind=BEHIND).state is State.HELD


def test_of_two_rows_with_one_prefix_none_proves_anything(vouched: Book) -> None:
    vouched.evidence.deletions.add([TOPOLOGY], 100.0)
    younger = [base("decky", YOUNGER, created=501.0), network("lan", "77777777", created=501.0)]
    verdict = vouched.look(
        base("old", created=500.0),
        [YOUNGER, topology("77777777", tail=2)],
        at=100.0,
        beside=younger,
        behind=BEHIND,
        deployed=[YOUNGER],
    )
    assert verdict.state is State.HELD


def test_a_database_that_never_owned_anything_here_is_not_believed() -> None:
    book = Book()
    for at in (0.0, 31.0, 1e9):
        assert book.look(base(), at=at).state is State.HELD
    # A row that owns nothing on this host does not vouch for it.
    assert book.look(base(), [OTHER], at=2e9).state is State.HELD


# The identity.


def test_a_table_that_comes_back_is_another_one_again(vouched: Book) -> None:
    vouched.look(base(), [TOPOLOGY])
    vouched.look(base(), [TOPOLOGY], identity="two")
    assert vouched.look(base(), identity="one").state is State.HELD


# The token.


def held_book(identity: str = "one") -> Book:
    book = Book()
    assert book.look(base(), identity=identity).state is State.HELD
    return book


def test_the_token_of_exactly_these_prefixes_of_this_database_releases_them() -> None:
    book = held_book()
    assert book.judge.release([P], book.judge.token([P]), 0.0)
    verdict = book.look(base())
    assert verdict.state is State.ORPHAN
    assert "confirmed" in verdict.evidence


@pytest.mark.parametrize("held", [[P, Q], [], [Q]])
def test_the_token_of_other_prefixes_releases_nothing(held: list[str]) -> None:
    book = held_book()
    assert not book.judge.release([P], book.judge.token(held), 0.0)
    assert book.look(base()).state is State.HELD


def test_a_release_ends_with_the_table_it_was_given_for() -> None:
    book = held_book()
    assert book.judge.release([P], book.judge.token([P]), 0.0)
    assert book.look(base(), identity="two").state is State.HELD


# Several owners, and one prefix with several topologies.


def test_of_several_owners_the_one_with_the_weakest_evidence_counts(vouched: Book) -> None:
    vouched.look(base(), [TOPOLOGY], at=10.0)
    shared = base("shared", TOPOLOGY, Q)
    verdict = vouched.look(shared, at=10.0)
    assert (verdict.state, verdict.wait) == (State.WAITING, 30.0)
    assert vouched.look(shared, [TOPOLOGY], at=11.0).state is State.ALIVE
    assert vouched.watch(shared, 12.0, 40.0).state is State.ORPHAN


@pytest.mark.parametrize(
    ("states", "weakest"),
    [
        ([State.ORPHAN, State.WAITING], State.WAITING),
        ([State.WAITING, State.HELD], State.HELD),
        ([State.HELD, State.ALIVE, State.ORPHAN], State.ALIVE),
        ([State.ORPHAN, State.ORPHAN], State.ORPHAN),
    ],
)
def test_the_weakest_verdict_allows_the_least(states: list[State], weakest: State) -> None:
    for verdicts in (states, states[::-1]):
        assert Verdict.weakest(Verdict(state, "") for state in verdicts).state is weakest


def test_of_two_topologies_with_one_prefix_only_the_labelled_resources_of_the_dead_go() -> None:
    book = Book()
    both = [TOPOLOGY, OTHER]
    dead, alive, unlabelled, lan = base("1"), base("2", OTHER), base("3", P), network()
    for resource in (dead, alive, unlabelled, lan):
        assert book.look(resource, both).state is State.ALIVE
    states = [book.look(r, [OTHER]).state for r in (dead, alive, unlabelled, lan)]
    assert states == [State.ORPHAN, State.ALIVE, State.ALIVE, State.ALIVE]
    assert book.look(lan, []).state is State.ORPHAN


# A single look.


@pytest.mark.parametrize(
    ("created", "wait"),
    [(1000.0, 0.0), (1070.0, 0.0), (1099.0, 29.0), (1100.0, 30.0), (1100.5, 30.0), (None, 30.0)],
)
def test_in_a_single_look_the_resources_age_stands_for_the_absence(
    vouched: Book, created: float | None, wait: float
) -> None:
    first = vouched.look(base(created=created), at=5.0, engine_now=1100.0)
    assert first.wait == max(wait, 1.0), "two answers, a second apart"
    second = vouched.look(base(created=created), at=6.0, engine_now=1100.0)
    assert second.state is (State.WAITING if wait else State.ORPHAN)
    assert second.wait == wait


def test_a_long_grace_is_told_with_all_its_digits() -> None:
    book = Book(grace=31_536_000.0)
    for second in (0.0, 1.0):
        verdict = book.look(
            base(created=1.0), beside=[NEIGHBOUR], rows=[LIVE], at=second, engine_now=4e7
        )
    assert verdict.evidence == "absent for more than the grace of 31536000 s"


def test_in_a_single_look_what_an_earlier_run_observed_is_no_second_answer() -> None:
    book = Book()
    memory = Memory("one", vouched=True, absent={TOPOLOGY: 100.0})
    book.evidence = Evidence(30.0, memory=memory)
    book.judge = Judge([(unasked, book.evidence)])
    assert book.look(base(created=1.0), at=5.0, engine_now=1100.0).wait == 1.0
    assert book.look(base(created=1.0), at=6.0, engine_now=1100.0).state is State.ORPHAN


def test_in_a_single_look_age_alone_does_not_vouch() -> None:
    assert Book().look(base(created=1.0), engine_now=1e9).state is State.HELD
