"""A table of topologies, with what can become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from listener.errors import NoAnswer
from listener.evidence import Answer

from .engine import Clock


@dataclass(eq=False)
class Database:
    """Answers from ``rows``; every question is kept with its time.

    Attributes:
        rows: committed.
        fading: rows that are deleted and can still be seen, until when.
        identity: of the table.
        generation: grows with what nobody can follow.
        asked: when, and about which prefixes.
        before: is called before each question is answered.
        backup: what a restore will bring back; None while there is none under way.
        aside: a table that was swapped for another: rows, identity.
    """

    clock: Clock = field(default_factory=Clock)
    name: str = "db"
    rows: set[str] = field(default_factory=set)
    fading: dict[str, float] = field(default_factory=dict)
    identity: str = "one"
    generation: int = 0
    failing: bool = False
    asked: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    backup: set[str] | None = None
    aside: tuple[set[str], str] | None = None
    _made: int = 1

    def ask(self, prefixes: Iterable[str], since: int = 0) -> Answer:
        """Which of these have rows, to one that started in this generation."""
        at, asked = self.clock.now, frozenset(prefixes)
        self.asked.append((at, asked))
        self.before()
        if self.failing:
            raise NoAnswer(f"the database {self.name} is down")
        ids = frozenset(row for row in self.visible() if row[:8] in asked)
        return Answer(asked, ids, at, self.identity, self.generation - since)

    def visible(self) -> frozenset[str]:
        """Every row that a question finds."""
        now = self.clock.now
        self.fading = {row: until for row, until in self.fading.items() if until > now}
        return frozenset(self.rows | self.fading.keys())

    def replace(self, rows: set[str]) -> None:
        """Another table is there now."""
        self._made += 1
        self.rows, self.identity = rows, f"{self.name}#{self._made}"
        self.fading.clear()
