"""What the look-up of a new network's subnets makes of whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from listener.control.subnets import SubnetIndex
from listener.core.resources import Subnet
from listener.errors import EngineError, Gone

OLD = Subnet("old", "bridge", "172.17.0.0/16", None)
NEW = Subnet("new", "lan", "10.0.0.0/24", None)


class Engine:
    """Answers in turn, after whatever is to happen while it is asked."""

    def __init__(self, *answers: Exception | Sequence[Subnet]) -> None:
        self.answers = list(answers)
        self.meanwhile: Callable[[], None] = lambda: None
        self.now = 0.0
        self.subnets = SubnetIndex(self.read, lambda: self.now)
        self.subnets.replace([OLD])

    def read(self, network: str) -> Sequence[Subnet]:
        assert network == "new"
        self.meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def work(self) -> list[Subnet]:
        """Do what is due; what there is then."""
        while (key := self.subnets.lane.take()) is not None:
            self.subnets.lane.work(key)
        return self.subnets.all()


def test_a_new_network_is_looked_up_and_one_that_is_gone_is_not() -> None:
    engine = Engine([NEW])
    engine.subnets.appeared("old")
    engine.subnets.appeared("new")
    assert engine.work() == [OLD, NEW]
    engine.subnets.vanished("old")
    assert engine.work() == [NEW]


def test_what_goes_while_it_is_looked_up_does_not_come_back() -> None:
    engine = Engine([NEW])
    engine.meanwhile = lambda: engine.subnets.vanished("new")
    engine.subnets.appeared("new")
    assert engine.work() == [OLD]


def test_a_look_up_that_fails_is_tried_again_and_one_of_nothing_is_not() -> None:
    engine = Engine(EngineError("away"), [NEW])
    engine.subnets.appeared("new")
    assert engine.work() == [OLD]
    engine.now += 1
    assert engine.work() == [OLD, NEW]
    engine = Engine(Gone("no such network"))
    engine.subnets.appeared("new")
    assert engine.work() == [OLD]
    assert engine.subnets.lane.next_due() is None
