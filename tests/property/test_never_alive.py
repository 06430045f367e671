"""Nothing alive is removed, and nothing orphaned stays: against every order of what can happen.

Hypothesis plays the adversary in a simulated world; an oracle of its own looks at every removal. At
the end of each example everything is mended, and what is orphaned and not held has to go. A few
hundred worlds are played here, and as many as one likes in ``soak``.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.world.listener import without_threads_and_clocks
from tests.world.moves import MOVES, NUMBERS, Adversary
from tests.world.world import Config, Move, Plan

PROFILE = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)

number = st.integers(0, NUMBERS - 1)
moves = {group: st.tuples(st.sampled_from(names), number, number) for group, names in MOVES.items()}
returning = st.tuples(st.just("redeploy_at_once"), number, number)
plans = st.lists(st.tuples(st.integers(0, 8), st.one_of(*moves.values(), returning)), max_size=6)


class Game(RuleBasedStateMachine):
    """Moves the world: a listener's steps with plans inside, and what others do between them."""

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
        self.world = Adversary(Config(databases, grace, delay, witnessed_only))
        self.well = True

    @rule(move=st.one_of(*(moves[group] for group in ("rows", "deploys", "strangers", "hints"))))
    def others(self, move: Move) -> None:
        self.play(move)

    @rule(move=st.one_of(*(moves[group] for group in ("databases", "engine", "time"))))
    def weather(self, move: Move) -> None:
        self.play(move)

    @rule(move=st.one_of(moves["events"], moves["processes"]), plan=plans)
    def listening(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    @rule(move=moves["work"], plan=plans)
    def work(self, move: Move, plan: Plan) -> None:
        self.play(move, plan)

    def play(self, move: Move, plan: Plan = ()) -> None:
        self.well = False
        self.world.play(move, plan)
        self.well = True

    def teardown(self) -> None:
        if self.well:
            self.world.finish()


def test_nothing_alive_is_removed_and_nothing_orphaned_stays() -> None:
    with without_threads_and_clocks():
        run_state_machine_as_test(Game, settings=PROFILE)
