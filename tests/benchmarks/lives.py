"""Events as this engine writes them, any number: one topology's life is recorded, and retold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence

from docker.utils import convert_filters

from listener.engine.events import EVENT_FILTERS
from tests.benchmarks.stage import Stage
from tests.support.decnet import new_id


class Lives:
    """What the engine tells of topologies that come and go.

    Args:
        stage: its engine tells of the one that is recorded.
    """

    def __init__(self, stage: Stage) -> None:
        api, self._id = stage.api, new_id()
        since = time.time()
        (topology,) = stage.deploy([self._id], start=False)
        for id_ in topology.containers:
            api.remove_container(id_, v=True)
        for id_ in topology.networks.values():
            api.remove_network(id_)
        told = api.get(
            f"{api.base_url}/v{api.api_version}/events",
            params={
                "since": f"{since:.9f}",
                "until": f"{time.time():.9f}",
                "filters": convert_filters(EVENT_FILTERS),
            },
        )
        self._ids = topology.ids
        self._life = [line for line in told.content.splitlines() if line]
        self._birth = [line for line in self._life if json.loads(line)["Action"] == "create"]
        assert (len(self._birth), len(self._life)) == (self.size, 2 * self.size)

    @property
    def size(self) -> int:
        """How many resources a topology has."""
        return len(self._ids)

    def born(self, ids: Iterable[str]) -> Iterator[bytes]:
        """That these topologies come, an event each."""
        return (line for id_ in ids for line in self._retold(self._birth, id_))

    def lived(self, ids: Iterable[str]) -> Iterator[bytes]:
        """That each of these comes and goes."""
        return (line for id_ in ids for line in self._retold(self._life, id_))

    def _retold(self, lines: Sequence[bytes], id_: str) -> Iterator[bytes]:
        """The same events of another topology, whose resources have ids of their own."""
        replaced = [(self._id, id_), (self._id[:8], id_[:8])]
        replaced += [(known, id_[:8] + known[8:]) for known in self._ids]
        for line in lines:
            for old, new in replaced:
                line = line.replace(old.encode(), new.encode())
            yield line
