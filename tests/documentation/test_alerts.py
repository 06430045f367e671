"""Each alert leads to a section that says what to do.

Whether the alerts fire is seen in tests/engine/test_prometheus.py.
"""

from __future__ import annotations

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
