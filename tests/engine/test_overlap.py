"""The subscription begins a few seconds in the past, for the engine answers before it is made."""

from __future__ import annotations

import json

import docker

from listener.engine.client import Engine
from tests.support.process import eventually
from tests.support.proxy import Action, FaultProxy, Request, answer

from .test_watch import following, lan, names, watching


def test_what_happened_right_before_the_subscription_is_replayed(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    name, after = lan(), lan()
    id_ = api.create_network(name)["Id"]
    before = json.dumps(api.networks())

    def list_as_before(request: Request) -> Action | None:
        is_list = request.path.split("?")[0].endswith("/networks")
        return answer(200, before) if is_list else None

    clock = Engine(proxy.host)
    api.remove_network(id_)
    removed = clock.now()
    # It tells whole seconds: two on, and only what looks into the past can find it.
    eventually(lambda: clock.now() >= removed + 2, "two seconds later")
    proxy.hook = list_as_before  # what the list would no longer show must come from the replay
    watch, index = watching(proxy)
    watch.connect()
    assert names(index) >= {name}
    api.create_network(after)
    with following(watch):
        eventually(lambda: after in names(index), "what happened last is known")
        assert name not in names(index)
