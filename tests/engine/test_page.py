"""The page of a real listener, in a real browser: a topology is there, is reaped, and is gone."""

from __future__ import annotations

import threading

import docker

from tests.engine.conftest import Run
from tests.page.browser import Browser
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.proxy import Action, FaultProxy, Request, stall
from tests.support.rows import Rows


def test_the_page_shows_how_a_topology_goes(
    api: docker.APIClient, proxy: FaultProxy, rows: Rows, run: Run
) -> None:
    kept, doomed = new_id(), new_id()
    rows.insert(kept, doomed)
    deploy(api, kept, decky_numbers=[1])
    deploy(api, doomed, decky_numbers=[2])
    seen = threading.Event()

    def hold_networks(request: Request) -> Action | None:
        return stall(seen) if request.method == "DELETE" and "/networks/" in request.path else None

    proxy.hook = hold_networks
    listener = run("--http", "127.0.0.1:0", host=proxy.host)
    listener.start()
    address = f"http://{listener.await_log('http')[0]['address']}/"

    with Browser() as browser:

        def states() -> dict[str, str]:
            prefixes, shown = browser.texts("#topologies code"), browser.texts("#topologies .state")
            return dict(zip(prefixes, shown, strict=False))

        browser.open(address)
        both = {kept[:8]: "alive", doomed[:8]: "alive"}
        eventually(lambda: states() == both, "both topologies are shown")
        assert browser.text("#overall") == "ready"
        browser.run("window.since = 'the first load'")

        rows.delete(doomed)
        reaping = {**both, doomed[:8]: "reaping"}
        eventually(lambda: states() == reaping, "it is shown being reaped")
        item = f"#topologies > li:nth-child({sorted(both).index(doomed[:8]) + 1})"
        browser.await_text("2 of 5 left", item)  # the containers have gone before them
        browser.await_text("busy", "#sides > li:last-child .state")
        browser.await_text(f"{doomed[:8]}, 2 of 5 left", "#sides > li:last-child")
        seen.set()
        eventually(lambda: states() == {kept[:8]: "alive"}, "it is shown no more")
        browser.await_text(doomed[:8], "#reaps > li")
        assert "3 containers, 2 networks" in browser.text("#reaps > li")
        assert browser.run("return window.since") == "the first load"

        assert browser.complaints() == []
