"""The least that an account can have: two columns, as contrib/decnet gives them to an agent."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path

import pytest

from listener.databases.urls import open_topologies
from listener.errors import NoAnswer, PushUnavailable
from tests.servers.conftest import Side
from tests.support.decnet import new_id

README = (Path(__file__).parents[2] / "contrib" / "decnet" / "README.md").read_text()
GRANT = re.compile(r"GRANT [^;]+? TO (?:agent_1|'agent_1'@'agent-1\.example')(?=;)")


def grants(side: Side) -> list[str]:
    """Those of the README for this server, for any account and database."""
    found = [" ".join(grant.split()) for grant in GRANT.findall(README)]
    ours = [grant for grant in found if ("'" in grant) != side.on_postgres]
    assert len(found) == 4
    return [
        re.sub(r" TO \S+$", " TO {}", re.sub(r"\bdecnet\b", "{database}", grant)) for grant in ours
    ]


def test_two_columns_are_enough_to_be_asked_and_no_less(side: Side) -> None:
    url, key = side.reader(*grants(side)), new_id()
    side.rows.insert(key)
    with closing(open_topologies(url)) as topologies:
        answer = topologies.ask([key[:8], "00000000"])
        assert answer.ids == {key}
        assert not answer.behind
        with pytest.raises(PushUnavailable):
            topologies.push(look_every=1.0, check_every=300.0).connect()
    role = f"reader_of_{side.name}"
    on = "topologies" if side.on_postgres else f"{side.name}.topologies"
    side.execute(f"REVOKE SELECT (id) ON {on} FROM {role}")
    with closing(open_topologies(url)) as topologies, pytest.raises(NoAnswer, match="denied"):
        topologies.ask([key[:8]])


def test_on_postgres_it_is_told_of_deletions_too(postgres_side: Side) -> None:
    with closing(open_topologies(postgres_side.url)) as owners:
        owners.change_triggers("install")
    url = postgres_side.reader(*grants(postgres_side))
    with closing(open_topologies(url)) as topologies:
        feed, stop = topologies.push(look_every=1.0, check_every=300.0), threading.Event()
        stop.set()
        feed.connect()
        feed.follow(lambda *_, **__: None, stop)
