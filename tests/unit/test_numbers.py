"""Numbers as people read them."""

from __future__ import annotations

import pytest

from listener.core.numbers import plain


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (31_536_000.0, "31536000"),
        (1_234_567.5, "1234567.5"),
        (86_400, "86400"),
        (0.01, "0.01"),
        (0.00001, "0.00001"),
        (0.0, "0"),
    ],
)
def test_a_number_has_all_its_digits_and_no_exponent(number: float, shown: str) -> None:
    assert plain(number) == shown
