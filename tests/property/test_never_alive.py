"""Nothing alive is removed, and nothing orphaned stays: against every order of what can happen.

Hypothesis plays the adversary in a simulated world; an oracle of its own looks at every removal. At
the end of each example everything is mended, and what is orphaned and not held has to go.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from .process import without_threads_and_clocks
from .world import MOVES, NUMBERS, Config, Move, Plan, World

PROFILE = settings(
    max_examples=2000,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)

AT_LEAST = {
    "worlds that came to rest": 2000,
    "removals checked: container": 1000,
    "removals checked: network": 300,
    "disconnects checked": 10,
    "reports of removals checked": 1000,
    "removals on the evidence: witnessed": 500,
    "removals on the evidence: reported": 50,
    "removals on the evidence: grace": 200,
    "removals on an operator's word": 5,
    "moves inside a step": 1000,
    "killed inside a step": 10,
    "restarts": 100,
    "second listeners": 100,
    "questions without an answer": 100,
    "tables that took another's place": 100,
    "reports before visibility": 50,
    "deletions that no feed tells of": 50,
    "deploys that go on after the deletion": 50,
    "networks used once more": 50,
}
"""What must have happened for the run to prove anything; and every move, at least ten times."""

number = st.integers(0, NUMBERS - 1)
anything = st.tuples(
    st.sampled_from([name for names in MOVES.values() for name in names]), number, number
)
returning = st.tuples(st.just("redeploy_at_once"), number, number)
plans = st.lists(st.tuples(st.integers(0, 8), anything | anything | returning), max_size=6)


def one_of(group: str) -> st.SearchStrategy[Move]:
    """A move of a group."""
    return st.tuples(st.sampled_from(MOVES[group]), number, number)


class Adversary(RuleBasedStateMachine):
    """Moves the world: a rule for each group of moves, for Hypothesis leaves some out each time."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.well = False

    @initialize(
        databases=st.sampled_from((1, 1, 2)),
        grace=st.sampled_from((30.0, 30.0, 0.0, 2.0)),
        delay=st.sampled_from((0.0, 0.0, 10.0)),
        witnessed_only=st.sampled_from((False, False, False, True)),
    )
    def begin(self, databases: int, grace: float, delay: float, witnessed_only: bool) -> None:
        self.world = World(Config(databases, grace, delay, witnessed_only), self.counts)
        self.well = True

    def play(self, move: Move, plan: Plan = ()) -> None:
        self.well = False
        self.world.play(move, plan)
        self.well = True

    @rule(move=one_of("rows"))
    def rows(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("deploys"))
    def deploys(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("strangers"))
    def strangers(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("events"), plan=plans)
    def events(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    @rule(move=one_of("hints"))
    def hints(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("databases"))
    def databases(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("engine"))
    def engine(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("processes"), plan=plans)
    def processes(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    @rule(move=one_of("time"))
    def time(self, move: Move) -> None:
        self.play(move)

    @rule(move=one_of("work"), plan=plans)
    def work(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    @rule(move=one_of("work"), plan=plans)
    def more_work(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    def teardown(self) -> None:
        if self.well:
            self.world.finish()


@pytest.mark.timeout(900)
def test_nothing_alive_is_removed_and_nothing_orphaned_stays() -> None:
    Adversary.counts.clear()
    with without_threads_and_clocks():
        run_state_machine_as_test(Adversary, settings=PROFILE)
    counts = Adversary.counts
    print("\n" + "\n".join(f"{count:9,}  {what}" for what, count in sorted(counts.items())))
    at_least = AT_LEAST | {f"move {name}": 10 for names in MOVES.values() for name in names}
    assert {what: counts[what] for what, least in at_least.items() if counts[what] < least} == {}
