"""The alerts hold in promtool; a real Prometheus scrapes, and every query finds data."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
from debian_packages import ensure
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.conftest import Run, gone
from tests.support.decnet import deploy, new_id
from tests.support.process import eventually
from tests.support.rows import Rows
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "contrib/prometheus/alerts.yaml"
DASHBOARD = ROOT / "contrib/grafana/dashboard.json"
OURS = re.compile(r"topology_reaper_\w+")


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    ensure(dict.fromkeys(("promtool", "prometheus"), "prometheus"), "the test of the metrics")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it beside the alerts."""
    return subprocess.run(
        ["promtool", *arguments], cwd=ALERTS.parent, capture_output=True, text=True
    )


def test_the_alerts_pass_their_unit_tests() -> None:
    done = promtool("test", "rules", "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    tests = ALERTS.with_name("alerts.test.yaml").read_text()
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert alerts
    assert [a for a in alerts if f'alertname="{a}"' not in tests] == []


class Prometheus:
    """A real one, scraping one target every second."""

    def __init__(self, folder: Path, target: str) -> None:
        config = folder / "prometheus.yaml"
        scrape = (ALERTS.parent / "scrape.yaml").read_text()
        scrape = scrape.replace("localhost:9464", target).replace("15s", "1s")
        config.write_text(f"rule_files: [{ALERTS}]\nscrape_configs:\n{scrape}")
        checked = promtool("check", "config", str(config))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        self._port = free_port()
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def query(self, expression: str) -> Sequence[Any]:
        """The result of a query now; empty before it answers."""
        asked = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{asked}"
        try:
            with urllib.request.urlopen(url) as answer:
                result: Sequence[Any] = json.load(answer)["data"]["result"]
        except ConnectionError:
            return ()
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return ()
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        except urllib.error.URLError:
            return ()
        # A ratio of two zeros is no figure.
        return [sample for sample in result if sample["value"][1] != "NaN"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def listening(
    run: Run, api: docker.APIClient, rows: Rows, tmp_path: Path
) -> Iterator[tuple[str, Prometheus]]:
    """The address of a listener that reaps, and a Prometheus that scrapes it."""
    listener = run("--http", "127.0.0.1:0")
    listener.start()
    address = str(listener.await_log("http")[0]["address"])
    prometheus = Prometheus(tmp_path, address)
    try:
        eventually(lambda: bool(prometheus.query("topology_reaper_ready == 1")), "it is scraped")
        # While it is scraped, so that the counters grow from one scrape to another.
        doomed, live = new_id(), new_id()
        rows.insert(doomed, live)
        topology, _ = deploy(api, doomed), deploy(api, live, decky_numbers=(3,))
        listener.signal(signal.SIGUSR1)
        eventually(
            lambda: bool(prometheus.query('topology_reaper_topologies{state="alive"} == 2')),
            "alive",
        )
        rows.delete(doomed)
        gone(api, topology)
        yield address, prometheus
    finally:
        prometheus.close()


def queries() -> Iterator[tuple[str, str]]:
    """The panel and the expression of each query of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_what_is_exposed_is_documented_scraped_and_shown(
    listening: tuple[str, Prometheus],
) -> None:
    address, prometheus = listening
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {sample.name for family in families for sample in family.samples}
    exposed = {
        # The parser cuts a counter's _total from its family's name.
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if OURS.fullmatch(family.name)
    }
    documented = set(OURS.findall((ROOT / "docs/metrics.md").read_text()))
    assert exposed == {name for name in documented if "_relay_" not in name}
    asked = {
        name
        for text in (ALERTS.read_text(), *(expression for _, expression in queries()))
        for name in OURS.findall(text)
    }
    assert asked - samples == set()

    missing = list(queries())
    assert missing

    def answered() -> bool:
        missing[:] = [
            (title, expression)
            for title, expression in missing
            if not prometheus.query(
                expression.replace("$__interval", "1m").replace("$instance", ".*")
            )
        ]
        return not missing

    eventually(answered, "each query finds data")
