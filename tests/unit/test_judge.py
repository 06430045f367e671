"""One verdict from several databases, put off by a delay or narrowed by a policy."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from listener.core import evidence
from listener.core.evidence import Evidence, Memory, State, Verdict
from listener.core.judge import Hold, Judge, Peers
from listener.core.resources import Resource
from listener.errors import NoAnswer
from tests.world.database import Database
from tests.world.engine import Clock
from tests.world.parts import TOPOLOGY, P, Q, base, network, topology

MINE, THEIRS = base("mine", topology("11111111")), base("theirs", topology("22222222"))
"""Alive all the time, in the first and the second database, so that both are vouched for."""


class Court:
    """A judge over two databases that share a clock."""

    def __init__(
        self,
        *,
        grace: float = 30.0,
        delay: float = 0.0,
        policy: bool = False,
        alive: Iterable[str] = (),
    ) -> None:
        self.clock = Clock()
        self.databases = [Database(self.clock, identity=name) for name in ("first", "second")]
        self.first, self.second = self.databases
        self.evidence = [Evidence(grace, witnessed_only=policy) for _ in self.databases]
        pairs = [(d.ask, e) for d, e in zip(self.databases, self.evidence, strict=True)]
        self.peers = Peers()
        self.judge = Judge(pairs, delay=delay, peers=lambda: self.peers, alive=alive)

    def vouch(self) -> None:
        """Let both databases own something here."""
        self.first.rows |= set(MINE.owners)
        self.second.rows |= set(THEIRS.owners)
        self.look(MINE)
        self.look(THEIRS)

    def pass_time(self, seconds: float) -> None:
        """Answers come all the time, and are about something else."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.look(MINE)

    def look(self, resource: Resource, beside: Iterable[Resource] = ()) -> Verdict:
        """Ask, observe, weigh."""
        resources = [resource, *beside]
        answers = self.judge.ask({owner for r in resources for owner in r.owners})
        self.judge.observe(answers, resources)
        if beside:  # as a screening does, which looks at everything
            here = frozenset(owner for r in resources for owner in r.owners)
            self.judge.prune(answers, resources, here, listed=True)
        return self.judge.weigh(resource, answers)


@pytest.fixture
def court() -> Court:
    """Two databases, both vouched for."""
    made = Court()
    made.vouch()
    return made


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("resource", [base(), network()])
def test_a_row_in_any_database_is_life(court: Court, number: int, resource: Resource) -> None:
    court.databases[number].rows.add(TOPOLOGY)
    assert court.look(resource).state is State.ALIVE


@pytest.mark.parametrize("resource", [base(), network()])
def test_what_somebody_else_has_seen_alive_is_alive_and_vouches_for_nothing(
    resource: Resource,
) -> None:
    court = Court(grace=0.0, alive=[TOPOLOGY])
    assert court.look(resource).state is State.ALIVE
    assert court.look(base("stranger", topology(Q))).state is State.HELD
    court.vouch()
    assert court.look(resource).state is State.ALIVE


@pytest.mark.parametrize("number", [0, 1])
def test_all_databases_must_answer(court: Court, number: int) -> None:
    court.databases[number].failing = True
    with pytest.raises(NoAnswer):
        court.look(base())


@pytest.mark.parametrize("number", [0, 1])
def test_an_id_goes_by_the_database_that_had_it_whatever_the_other_knows(number: int) -> None:
    court = Court()  # the other one is not vouched for
    court.databases[number].rows.add(TOPOLOGY)
    court.look(base())
    court.databases[number].rows.clear()
    assert court.look(base()).state is State.ORPHAN


def test_a_resource_known_by_its_name_alone_takes_the_weakest_evidence(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(network())
    court.first.rows.remove(TOPOLOGY)
    verdict = court.look(network())
    assert verdict.state is State.WAITING  # the second database never saw it
    court.pass_time(30)
    assert court.look(network()).state is State.ORPHAN

    unvouched = Court()
    unvouched.first.rows.add(TOPOLOGY)
    unvouched.look(network())
    unvouched.first.rows.clear()
    assert unvouched.look(network()).state is State.HELD


def test_an_absence_that_any_database_goes_by_has_to_be_observed_on(court: Court) -> None:
    court.look(base())
    court.pass_time(30)
    court.judge.note_deletions(0, [TOPOLOGY], court.clock.now)
    verdict = court.look(base())
    assert (verdict.state, verdict.timed) == (State.ORPHAN, True)


def test_an_answer_that_was_overtaken_begins_no_absence() -> None:
    court = Court(delay=10.0)
    court.vouch()
    late = court.judge.ask({TOPOLOGY})
    court.clock.now += 1.0
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.judge.observe(late, [base()])
    court.first.rows.clear()
    court.clock.now += 1.0
    assert court.look(base()).wait == 10.0


def test_an_id_of_a_database_that_is_replaced_is_held_though_the_other_is_vouched_for(
    court: Court,
) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.clear()
    court.first.identity = "restored"
    court.clock.now += 1000.0
    assert court.look(base()).state is State.HELD


def test_a_change_of_the_table_is_past_once_nothing_here_is_in_doubt(court: Court) -> None:
    court.first.identity = "restored"
    assert court.look(base(), beside=[MINE, THEIRS]).state is State.HELD
    court.first.rows.add(TOPOLOGY)
    assert court.look(base(), beside=[MINE, THEIRS]).state is State.ALIVE
    court.look(base("later", topology(Q)))
    court.pass_time(30)
    assert court.look(base("later", topology(Q))).state is State.ORPHAN


def test_a_change_of_the_table_is_not_past_by_the_listing_at_hand_when_it_was_learned(
    court: Court,
) -> None:
    court.first.identity = "restored"
    court.look(MINE, beside=[THEIRS])  # nothing that was listed is in doubt
    assert court.look(base()).state is State.HELD, "it may have been here unlisted"
    court.first.rows.add(TOPOLOGY)
    court.look(base(), beside=[MINE, THEIRS])
    assert court.look(base("later", topology(Q))).state is State.WAITING


def test_the_nearest_look_at_a_reported_row_counts_whichever_database_it_is_in(
    court: Court,
) -> None:
    for later, database in ((0, 1), (1, 0)):
        court.clock.now += 1000.0
        court.first.rows = court.second.rows = {TOPOLOGY}
        court.judge.note_deletions(database, [TOPOLOGY], court.clock.now)
        court.clock.now += 0.3
        court.judge.note_deletions(later, [TOPOLOGY], court.clock.now)
        waits = court.judge.still_there(court.judge.ask([P]))
        assert round(waits[P], 3) == 0.005
        court.clock.now += 0.19
        assert round(court.judge.still_there(court.judge.ask([P]))[P], 3) == 0.01


def test_the_time_of_an_answer_is_that_of_the_first_question(court: Court) -> None:
    def pass_time() -> None:
        court.clock.now += 0.7

    court.second.before = pass_time
    assert court.judge.ask([P]).at == 1000.0


def test_with_the_policy_witnessed_time_proves_nothing() -> None:
    court = Court(policy=True)
    court.vouch()
    for _ in range(3):
        verdict = court.look(base())
        assert (verdict.state, "policy" in verdict.evidence) == (State.HELD, True)
        court.clock.now += 1000.0
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    assert court.look(base()).state is State.ORPHAN


def test_a_delay_is_time_observed_and_ends_with_the_return_of_the_row() -> None:
    court = Court(delay=60.0)
    court.vouch()
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    assert court.look(base()).wait == 60.0
    court.pass_time(20)
    assert court.look(base()).wait == 40.0
    court.clock.now += 1000.0  # an outage, in which it pauses
    assert court.look(base()).wait == 40.0
    court.pass_time(10)
    assert court.look(base()).wait == 30.0
    later = restarted(court, delay=60.0)
    answers = later.judge.ask([])  # before anything is listed
    later.judge.observe(answers, [])
    later.judge.prune(answers, [], frozenset(), listed=False)
    assert later.look(base()).wait == 30.0, "it outlives a restart"
    later.pass_time(30)
    assert later.look(base()).state is State.ORPHAN
    later.first.rows.add(TOPOLOGY)
    assert later.look(base()).state is State.ALIVE
    later.first.rows.remove(TOPOLOGY)
    assert later.look(base()).wait == 60.0


def test_a_delay_does_not_put_off_what_an_operator_confirms() -> None:
    court = Court(delay=60.0)
    assert court.look(base()).state is State.HELD
    assert court.judge.release([P], court.judge.token([P]), 0.0)
    assert court.look(base()).state is State.ORPHAN


def test_a_token_is_bound_to_all_databases(court: Court) -> None:
    token = court.judge.token([P])
    court.second.identity = "restored"
    court.look(base())
    assert court.judge.token([P]) != token
    assert not court.judge.release([P], token, 0.0)


# What other listeners on this engine hold.


def test_what_another_listener_holds_is_held_until_an_operator_confirms_it(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    court.peers = Peers({P: Hold("another holds it", never_seen=False)})
    held = Verdict(State.HELD, "another holds it", elsewhere=True)
    assert court.look(base()) == held
    assert court.look(base("young", topology(Q))).state is State.WAITING, (
        "of it, nobody said a word"
    )
    assert court.judge.release([P], court.judge.token([P]), 0.0)
    assert court.look(base()).state is State.ORPHAN


def test_who_saw_the_row_go_knows_better_than_who_never_saw_it(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    stranger = base("stranger", topology(Q))
    court.peers = Peers(dict.fromkeys((P, Q), Hold("its row was never seen", never_seen=True)))
    assert court.look(base()).state is State.ORPHAN
    assert court.look(stranger).state is State.HELD
    court.judge.note_deletions(0, stranger.owners, court.clock.now)
    assert court.look(stranger).state is not State.HELD, "a report is as good"


def test_while_another_listener_is_silent_what_was_never_seen_waits(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    stranger = base("stranger", topology(Q))
    court.look(stranger)
    court.pass_time(30)
    court.peers = Peers(silent="the listener with pid 7")
    assert court.look(base()).state is State.ORPHAN
    waits = court.look(stranger)
    assert waits.state is State.WAITING
    assert waits.evidence == "the listener with pid 7 does not say what it holds"
    assert waits.elsewhere, "time alone does not end it"
    court.peers = Peers()
    assert court.look(stranger).state is State.ORPHAN


def test_nobody_is_asked_what_it_holds_while_all_is_alive(court: Court) -> None:
    court.first.rows |= {TOPOLOGY}

    def asked() -> Peers:
        raise AssertionError

    court.judge._peers = asked
    assert court.look(base(), beside=[MINE]).state is State.ALIVE


# What outlives a restart.


def restarted(court: Court, delay: float = 0.0) -> Court:
    """Another process with the memory of the first."""
    later = Court()
    later.clock = court.clock
    later.databases = court.databases
    later.first, later.second = court.databases
    memories = court.judge.unsaved(everything=True)
    now = court.clock.now
    later.evidence = [Evidence(30.0, memory=memory, now=now) for memory in memories.values()]
    pairs = [(d.ask, e) for d, e in zip(later.databases, later.evidence, strict=True)]
    later.judge = Judge(pairs, memories=memories.values(), delay=delay, now=now)
    return later


def test_what_was_witnessed_outlives_a_restart(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    assert restarted(court).look(base()).state is State.ORPHAN


def test_a_table_that_was_replaced_between_two_runs_is_noticed(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.clear()
    court.first.identity = "restored"
    later = restarted(court)
    assert later.look(base()).state is State.HELD
    later.first.rows |= set(MINE.owners)
    later.look(MINE)  # which vouches for it
    assert restarted(later).look(base()).state is State.HELD, "and this is remembered too"


def test_a_report_vouches_for_nothing() -> None:
    court = Court()
    court.look(base())
    court.judge.note_deletions(0, [TOPOLOGY], court.clock.now)
    court.judge.note_deletions(1, [TOPOLOGY], court.clock.now)
    assert court.look(base()).state is State.HELD


def test_a_report_about_another_table_explains_nothing(court: Court) -> None:
    court.judge.note_deletions(0, [TOPOLOGY], court.clock.now)
    court.first.identity = "restored"
    court.look(base())
    assert not court.judge.reported(P, court.clock.now)


def test_news_is_told_once(court: Court) -> None:
    assert set(court.judge.unsaved()) == {0, 1}
    assert court.judge.unsaved() == {}
    court.second.rows.add(TOPOLOGY)
    court.look(base())
    news = court.judge.unsaved()
    assert set(news) == {1}
    assert isinstance(news[1], Memory)
    assert TOPOLOGY in news[1].witnessed


def test_what_left_this_host_is_forgotten_after_a_day_and_not_before(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    for seconds, witnessed in ((86_400.0, True), (0.5, False)):
        court.clock.now += seconds
        court.look(MINE, beside=[THEIRS])
        assert court.evidence[0].witnessed(TOPOLOGY) is witnessed, "a deploy may still go on"
    assert court.evidence[0].witnessed(MINE.owners[0])


def test_of_too_many_the_oldest_are_forgotten_and_counted(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.rows.remove(TOPOLOGY)
    court.clock.now += 1.0
    monkeypatch.setattr(evidence, "MOST_REMEMBERED", 2)
    court.look(MINE, beside=[THEIRS])
    assert not court.evidence[0].witnessed(TOPOLOGY)
    assert court.evidence[0].witnessed(MINE.owners[0])
    assert court.judge.forgotten == 2, "the id and its prefix"


# What may have inherited its labels.


DOUBTFUL = base("doubtful", verified=False, doubtful=True)


def test_what_is_doubtful_is_alive_with_its_row_and_held_without(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    assert court.look(DOUBTFUL).state is State.ALIVE
    court.first.rows.remove(TOPOLOGY)
    verdict = court.look(DOUBTFUL, beside=[base()])
    assert (verdict.state, "image of a container is gone" in verdict.evidence) == (State.HELD, True)
    assert court.look(base()).state is State.ORPHAN, "the rest of its topology is certain"
    court.peers = Peers({P: Hold("another holds it", never_seen=False)})
    assert court.look(DOUBTFUL) == verdict, "whoever confirms it is told"


def test_what_is_doubtful_waits_like_anything_else_and_goes_when_it_is_confirmed(
    court: Court,
) -> None:
    assert court.look(DOUBTFUL).state is State.WAITING
    court.pass_time(30)
    assert court.look(DOUBTFUL).state is State.HELD
    court.judge.release([P], court.judge.token([P]), court.clock.now)
    assert court.look(DOUBTFUL).state is State.ORPHAN


def test_the_row_of_what_is_doubtful_vouches_for_nothing() -> None:
    court = Court()
    court.second.rows |= set(THEIRS.owners)
    court.look(THEIRS)
    court.first.rows.add(TOPOLOGY)
    assert court.look(DOUBTFUL).state is State.ALIVE
    orphan = base("orphan", topology(Q))
    court.look(orphan)
    court.pass_time(60)
    verdict = court.look(orphan, beside=[DOUBTFUL])
    assert (verdict.state, "no row of this database" in verdict.evidence) == (State.HELD, True)


def test_what_is_doubtful_keeps_no_replaced_table_in_mind(court: Court) -> None:
    court.first.rows.add(TOPOLOGY)
    court.look(base())
    court.first.identity = "restored"
    court.first.rows.clear()
    for _ in range(2):  # its topology is gone from this host but for what may not be of it
        court.clock.now += 1.0
        court.look(MINE, beside=[DOUBTFUL, THEIRS])
    court.first.rows |= set(MINE.owners)
    court.look(MINE, beside=[DOUBTFUL, THEIRS])
    orphan = base("orphan", topology(Q))
    court.look(orphan)
    court.pass_time(60)
    assert court.look(orphan).state is State.ORPHAN
