"""From the commit until everything is gone where the database is far away.

A relay before PostgreSQL and MariaDB holds each message for so long, in either direction; the
engine is near, as always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import sqlalchemy as sa

from tests.benchmarks.figures import Figure, Measured, Row
from tests.benchmarks.observer import since_epoch
from tests.benchmarks.stage import FEEDS, FIRST, Running, Source, Stage
from tests.support.decnet import new_id
from tests.support.distance import Distance

FAR = 0.15
"""Seconds each way: across an ocean, and back in 300 ms."""
MANY = 20
WITHIN = {1: 3.0, MANY: 10.0}
"""Seconds, by how many topologies are deleted at once."""
SERVERS = {feed: kind for feed, kind in FEEDS.items() if feed != FIRST}


def distance(stage: Stage) -> Mapping[str, Measured]:
    """Each server in turn."""
    measured: dict[str, Measured] = {}
    for feed in SERVERS:
        with stage.source(feed) as source:
            near = sa.make_url(source.url)
            with Distance(("127.0.0.1", near.port or 0), seconds=FAR) as relay:
                url = near.set(host="127.0.0.1", port=relay.port)
                far = replace(source, url=url.render_as_string(hide_password=False))
                with stage.listener(far) as running:
                    for count in WITHIN:
                        took = [
                            _took(stage, source, running, count)
                            for _ in range(stage.size.long_rounds)
                        ]
                        measured[f"distance.{feed}.{count}"] = Measured.of(took)
                    levels = [line.get("level") for line in running.process.lines]
                    measured[f"distance.{feed}.errors"] = Measured(levels.count("ERROR"))
    return measured


def _took(stage: Stage, source: Source, running: Running, count: int) -> float:
    """Seconds from the commit until so many topologies are gone."""
    ids = [new_id() for _ in range(count)]
    source.rows.insert(*ids)
    topologies = stage.deploy(ids)
    running.await_alive(*topologies)
    committed = since_epoch(source.rows.delete(*ids))
    named = [id_ for topology in topologies for id_ in topology.named.values()]
    return (stage.observer.last(named) - committed) / 1e9


ROW = Row(
    "distance",
    [
        figure
        for feed, kind in SERVERS.items()
        for figure in (
            *(
                Figure(
                    f"distance.{feed}.{count}",
                    f"{kind} 300 ms away: {count} at once",
                    most,
                    "s",
                    minutes=True,
                )
                for count, most in WITHIN.items()
            ),
            Figure(f"distance.{feed}.errors", f"{kind} 300 ms away: errors", 0, minutes=True),
        )
    ],
    distance,
)
