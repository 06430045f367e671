"""How a number is written for people."""

from __future__ import annotations


def plain(number: float) -> str:
    """All its digits, to a millionth, and no exponent: 31536000, where ``:g`` makes 3.1536e+07."""
    return f"{number:.6f}".rstrip("0").rstrip(".")
