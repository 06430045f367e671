"""One question at a time: who asks while one is under way shares the next.

That one begins after they asked, so its answer is as new to each of them as its own would be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from listener.core.evidence import Answer
from listener.errors import NoAnswer


@dataclass(slots=True)
class _Question:
    """What is asked once for all who want to know it by then.

    Attributes:
        prefixes: which are asked about.
        outcome: what came of it; None as long as it was not asked.
    """

    prefixes: frozenset[str] = frozenset()
    outcome: Answer | NoAnswer | None = None


class Shared:
    """Shares questions among threads.

    Args:
        ask: which rows begin with any of these prefixes.
    """

    def __init__(self, ask: Callable[[Iterable[str]], Answer]) -> None:
        self._ask = ask
        self._asking, self._joining = threading.Lock(), threading.Lock()
        self._next = _Question()

    def ask(self, prefixes: Iterable[str]) -> Answer:
        """Which rows begin with any of these prefixes.

        Raises:
            NoAnswer: there is none; all who share the question are told the same.
        """
        wanted = frozenset(prefixes)
        with self._joining:
            question = self._next
            question.prefixes |= wanted
        with self._asking:
            if question.outcome is None:
                with self._joining:
                    self._next = _Question()
                try:
                    question.outcome = self._ask(question.prefixes)
                except NoAnswer as error:
                    question.outcome = error
        if isinstance(question.outcome, NoAnswer):
            raise question.outcome
        return question.outcome.about(wanted)
