"""The table keeps in step with the source and the tests that it names."""

from __future__ import annotations

import pytest

from .__main__ import TREE, mutated
from .table import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mistake_can_still_be_made_and_its_test_is_there(mutant: Mutant) -> None:
    mutated(mutant)
    file, test = mutant.caught_by.split("::")
    assert f"def {test}(" in (TREE / "tests" / file).read_text()


def test_no_two_mistakes_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
