"""The subscription begins a few seconds in the past, for the engine answers before it is made."""

from __future__ import annotations

import docker

from listener.engine.client import Engine
from tests.support.process import eventually
from tests.support.proxy import Action, FaultProxy, Request, answer

from .test_watch import following, lan, names, watching


def test_what_happened_right_before_the_subscription_is_replayed(
    api: docker.APIClient, proxy: FaultProxy
) -> None:
    def list_none(request: Request) -> Action | None:
        return answer(200, "[]") if request.path.split("?")[0].endswith("/networks") else None

    clock = Engine(proxy.host)
    before, after = lan(), lan()
    api.create_network(before)
    made = clock.now()
    # It tells whole seconds: two on, and only what looks into the past can find it.
    eventually(lambda: clock.now() >= made + 2, "two seconds later")
    proxy.hook = list_none  # what the list would show must come from the replay
    watch, index = watching(proxy)
    watch.connect()
    assert not names(index)
    api.create_network(after)
    with following(watch):
        eventually(lambda: after in names(index), "what happened last is known")
        assert before in names(index)
