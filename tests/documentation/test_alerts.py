"""Each alert leads to a section that says what to do, and the dashboard is short.

Whether the alerts fire and the queries find data is seen in tests/engine/test_prometheus.py.
"""

from __future__ import annotations

import json
import re

from .pages import TREE, Page

RUNBOOK = "docs/troubleshooting.md"


def test_each_alert_leads_to_a_section_of_troubleshooting() -> None:
    _, *alerts = (TREE / "contrib/prometheus/alerts.yaml").read_text().split("- alert: ")
    anchors = Page(TREE / RUNBOOK).anchors
    lost = []
    for alert in alerts:
        (url,) = re.findall(r"^ +runbook_url: (\S+)$", alert, re.MULTILINE) or [""]
        page, _, anchor = url.partition("#")
        if page != RUNBOOK or anchor not in anchors:
            lost.append((alert.split()[0], url))
    assert alerts
    assert lost == []


def test_the_dashboard_has_at_most_a_dozen_panels_and_each_says_what_it_shows() -> None:
    panels = json.loads((TREE / "contrib/grafana/dashboard.json").read_text())["panels"]
    assert 0 < len(panels) <= 12
    assert [panel["title"] for panel in panels if not panel.get("description")] == []
    rates = [target["expr"] for panel in panels for target in panel["targets"]]
    # A rate of what happens a few times a day is 0.0001 a second, which nobody reads.
    assert [e for e in rates if "_total" in e and "increase(" not in e] == []
