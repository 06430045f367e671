"""The index against a model that keeps a list and searches it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from listener.control.inventory import PrefixIndex
from listener.core.resources import Kind, Resource, Stage
from tests.world.parts import TOPOLOGY, P, Q, base, network, topology

OWNERS = [P, Q, "cccccccc", TOPOLOGY, topology(tail=2), topology(Q)]
ids = st.sampled_from("abcdef")
resources = st.builds(
    Resource,
    kind=st.sampled_from(Kind),
    id=ids,
    name=st.sampled_from(["one", "two", ""]),
    owners=st.sets(st.sampled_from(OWNERS), min_size=1, max_size=3).map(lambda s: tuple(sorted(s))),
    stage=st.sampled_from(Stage),
)


class IndexMachine(RuleBasedStateMachine):
    """Every rule is done to the index and to a plain dictionary."""

    @initialize(only=st.none() | st.sets(st.sampled_from([P, Q, "cccccccc"])))
    def start(self, only: set[str] | None) -> None:
        self.index = PrefixIndex(only)
        self.only = only
        self.model: dict[str, Resource] = {}

    def _keeps(self, resource: Resource) -> bool:
        return self.only is None or all(owner[:8] in self.only for owner in resource.owners)

    @rule(resource=resources)
    def put(self, resource: Resource) -> None:
        self.index.put(resource)
        self.model.pop(resource.id, None)
        if self._keeps(resource):
            self.model[resource.id] = resource

    @rule(id_=ids)
    def discard(self, id_: str) -> None:
        assert self.index.discard(id_) == self.model.pop(id_, None)

    @rule(listing=st.lists(resources, unique_by=lambda resource: resource.id))
    def replace(self, listing: list[Resource]) -> None:
        self.index.replace(iter(listing))
        self.model = {resource.id: resource for resource in listing if self._keeps(resource)}

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.index) == len(self.model)
        for id_ in "abcdef":
            assert self.index.get(id_) == self.model.get(id_)
        present = set()
        for prefix in (P, Q, "cccccccc", "dddddddd"):
            held = self.index.resources(prefix)
            expected = {r for r in self.model.values() if prefix in {o[:8] for o in r.owners}}
            assert len(held) == len(expected)
            assert set(held) == expected
            present |= {prefix} if expected else set()
        assert self.index.prefixes() == present


TestIndexAgainstAModel = IndexMachine.TestCase
TestIndexAgainstAModel.settings = settings(max_examples=40, stateful_step_count=20)


def test_a_listing_that_names_an_id_twice_keeps_the_last_and_nothing_of_the_first() -> None:
    index = PrefixIndex()
    index.replace([base("x", P), base("x", Q)])
    assert index.prefixes() == {Q}
    index.discard("x")
    assert index.prefixes() == frozenset()


@pytest.mark.parametrize(
    ("only", "kept"), [(None, {P, Q}), ([P], {P}), ([], set()), ([P, Q], {P, Q})]
)
def test_only_leaves_out_what_has_an_owner_elsewhere(
    only: list[str] | None, kept: set[str]
) -> None:
    index = PrefixIndex(only)
    shared = base("shared", P, Q)
    index.replace([base("x", topology(P)), network("n", Q)])
    index.put(shared)
    assert index.prefixes() == kept
    assert (index.get("shared") is not None) == (kept == {P, Q})
