"""What a database knew before another table, or an older state of it, took its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from listener.core.evidence import Answer, Evidence, Memory, State, Verdict
from listener.core.judge import Answers, Judge
from listener.core.resources import Resource
from tests.world.parts import TOPOLOGY, P, base, network, topology

from .test_evidence import unasked

LIVE = topology("11111111")
NEIGHBOUR = base("neighbour", LIVE)
"""Its row exists in every database all the time, so that each is vouched for."""


class Court:
    """Databases whose answers are given; ``look`` observes, settles and weighs."""

    def __init__(
        self,
        *memories: Memory | None,
        grace: float = 30.0,
        same: Callable[[str, str, bool], bool] = lambda before, now, _: before == now,
    ) -> None:
        self.evidence = [Evidence(grace, memory=memory, same=same) for memory in memories]
        self.judge = Judge([(unasked, evidence) for evidence in self.evidence])
        self.identities = ["one"] * len(memories)
        self.now = 0.0

    def look(
        self,
        resource: Resource,
        *rows: set[str],
        at: float | None = None,
        position: int = 0,
        listed: bool = False,
    ) -> Verdict:
        """By the rows of each database beside that of the neighbour."""
        resources = [resource, NEIGHBOUR]
        prefixes = frozenset(prefix for r in resources for prefix in r.prefixes)
        at = self.now if at is None else at
        answers = Answers(
            [
                Answer(prefixes, frozenset(ids | {LIVE}), at, identity, position=position)
                for ids, identity in zip(rows, self.identities, strict=True)
            ]
        )
        self.judge.observe(answers, resources)
        here = frozenset(owner for r in resources for owner in r.owners)
        self.judge.prune(answers, resources, here, listed=listed)
        return self.judge.weigh(resource, answers)

    def memories(self) -> list[Memory]:
        """What the next run would know."""
        return [evidence.memory for evidence in self.evidence]


# Rows that moved, or were in both.


@pytest.mark.parametrize("first", [set(), {TOPOLOGY}])
def test_a_row_that_is_missing_where_it_moved_to_is_no_deletion(first: set[str]) -> None:
    court = Court(None, None)
    court.look(base(), {TOPOLOGY}, set())
    court.look(base(), first, {TOPOLOGY})
    court.identities[1] = "being restored"
    court.now = 1000.0
    assert court.look(base(), set(), set()).state is State.HELD
    later = Court(*court.memories())
    later.identities = court.identities
    assert later.look(base(), set(), set()).state is State.HELD, "after a restart too"
    assert later.look(base(), set(), {TOPOLOGY}).state is State.ALIVE
    assert later.look(base(), set(), set()).state is State.ORPHAN, "it was seen there since"


def test_what_the_replaced_database_never_knew_goes_by_its_own_witness() -> None:
    court = Court(None, None)
    court.look(base(), {TOPOLOGY}, set())
    court.identities[1] = "being restored"
    assert court.look(base(), set(), set()).state is State.ORPHAN


def test_a_doubt_ends_with_the_listing_that_leaves_nothing_in_doubt() -> None:
    court = Court(None, None)
    court.look(base(), {TOPOLOGY}, {TOPOLOGY})
    court.identities[1] = "restored"
    court.look(base(), {TOPOLOGY}, set(), listed=True)
    court.look(base(), {TOPOLOGY}, set(), listed=True)
    assert court.memories()[1].former == frozenset()
    assert court.look(base(), set(), set()).state is State.ORPHAN


# An older state of the same table.


def test_an_older_state_than_an_earlier_run_knew_is_another_table() -> None:
    court = Court(None)
    court.look(base(), {TOPOLOGY}, position=10)
    assert court.memories()[0].position == 10
    same, older = Court(*court.memories()), Court(*court.memories())
    assert same.look(base(), set(), position=10).state is State.ORPHAN
    assert older.look(base(), set(), position=9).state is State.HELD
    assert older.look(base(), set(), position=11).state is State.HELD, "for good"


def test_what_tells_no_position_is_no_older_state() -> None:
    court = Court(Memory("one", frozenset({TOPOLOGY}), vouched=True, position=10))
    assert court.look(base(), set()).state is State.ORPHAN


def test_another_identity_of_the_same_table_replaces_nothing_and_is_kept() -> None:
    first = Court(Memory("one", frozenset({TOPOLOGY}), vouched=True), same=same_letter)
    first.identities = ["other"]
    assert first.look(base(), set()).state is State.ORPHAN
    assert first.memories()[0].identity == "other"
    assert first.judge.unsaved()
    first.identities = ["two"]
    assert first.look(base(), set()).state is State.HELD


def same_letter(before: str, now: str, _: bool) -> bool:
    """Whether both begin with it."""
    return before[0] == now[0]


@pytest.mark.parametrize(("later", "state"), [(60.0, State.ORPHAN), (61.0, State.HELD)])
def test_whether_the_table_was_watched_is_told_to_who_compares_identities(
    later: float, state: State
) -> None:
    court = Court(None, same=lambda before, now, watched: before == now or watched)
    court.look(base(), {TOPOLOGY})
    court.identities = ["two"]
    assert court.look(base(), set(), at=later).state is state


def test_the_position_alone_is_no_news() -> None:
    court = Court(None)
    court.look(base(), {TOPOLOGY}, position=1)
    assert court.judge.unsaved()
    court.look(base(), {TOPOLOGY}, position=2)
    assert not court.judge.unsaved()
    assert [memory.position for memory in court.judge.unsaved(everything=True).values()] == [2]


def test_of_two_absences_observed_in_the_wrong_order_both_count() -> None:
    court = Court(None)
    court.look(base(), {TOPOLOGY}, at=0.0)
    assert court.look(base(), set(), at=2.0).state is State.ORPHAN
    assert court.look(base(), set(), at=1.0).state is State.ORPHAN


# Before the first listing.


def test_nothing_is_forgotten_before_it_is_known_what_is_on_this_host() -> None:
    court = Court(Memory("one", frozenset({TOPOLOGY, P}), vouched=True))
    court.look(NEIGHBOUR, set(), at=100_000.0)
    assert court.look(base(), set(), at=100_001.0).state is State.ORPHAN
    court = Court(Memory("one", frozenset({TOPOLOGY, P}), vouched=True))
    court.look(NEIGHBOUR, set(), at=100_000.0, listed=True)
    assert TOPOLOGY not in court.memories()[0].witnessed


def test_a_change_that_an_earlier_run_saw_is_past_with_the_first_listing() -> None:
    court = Court(Memory("one", vouched=True, replaced=True))
    assert court.look(network(), set(), listed=True).state is State.HELD
    court.look(NEIGHBOUR, set(), listed=True)
    assert not court.memories()[0].replaced
