"""Asking about as many prefixes as a large host has, in a large table and in a small one.

Half of the prefixes have a row, in either table. The tables are on the same server, in a database
of its own each, and are asked by turns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing

from listener.core.resources import prefix_of
from listener.databases.base import Topologies
from listener.databases.urls import open_topologies
from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.samples import ratios, turns
from tests.benchmarks.stage import FEEDS, Stage
from tests.support.decnet import new_id

PREFIXES = 100
QUESTIONS = 20
"""In a round."""
FILL = {
    "wal": """
        WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        INSERT INTO topologies
        SELECT lower(hex(randomblob(4))) || '-0000-4000-8000-' || lower(hex(randomblob(6))), '', ''
        FROM n
    """,
    "notify": """
        INSERT INTO topologies SELECT gen_random_uuid()::text, '', ''
        FROM generate_series(1, {count})
    """,
    "binlog": """
        INSERT INTO topologies
        SELECT CONCAT(LEFT(MD5(seq), 8), '-0000-4000-8000-', RIGHT(MD5(seq), 12)), '', ''
        FROM seq_1_to_{count}
    """,
}
"""Rows with random ids."""


def asking(stage: Stage) -> Mapping[str, Measured]:
    """Each database in turn."""
    measured: dict[str, Measured] = {}
    for feed in FEEDS:
        there, absent = ([new_id() for _ in range(PREFIXES // 2)] for _ in range(2))
        asked = [prefix_of(id_) for id_ in (*there, *absent)]
        took: dict[Topologies, list[float]] = {}
        with ExitStack() as stack:
            for count in stage.size.rows:
                source = stack.enter_context(stage.source(feed))
                source.rows.execute(FILL[feed].format(count=count - len(there)))
                source.rows.insert(*there)
                table = stack.enter_context(closing(open_topologies(source.url)))
                assert table.ask(asked).ids >= set(there)
                took[table] = []
            small, large = took
            for table in turns([small, large], stage.size.rounds):
                began = time.perf_counter()
                for _ in range(QUESTIONS):
                    table.ask(asked)
                took[table].append((time.perf_counter() - began) / QUESTIONS)
        measured[f"asking.{feed}"] = Measured.of(ratios(took[large], took[small]))
        measured[f"asking.{feed}.seconds"] = Measured.of(took[large])
    return measured


ROW = Row(
    "asking",
    [
        figure
        for feed, kind in FEEDS.items()
        for figure in (
            Figure(f"asking.{feed}", f"{kind}: 100 prefixes, in a large table", 2, "× small"),
            Figure(f"asking.{feed}.seconds", f"{kind}: 100 prefixes: seconds", unit="s"),
        )
    ],
    asking,
)
