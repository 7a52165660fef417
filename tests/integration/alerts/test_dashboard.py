"""The dashboard: every query parses, and names metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from porter.app.metrics.page import every_metric
from tests.promtool import promtool

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "porter.json"
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


def dashboard() -> dict[str, Any]:
    return json.loads(DASHBOARD.read_text())


def queries() -> Iterator[tuple[str, str]]:
    """Every query with its panel's title, the variables of Grafana filled in."""
    board = dashboard()
    found = [(panel["title"], target) for panel in board["panels"] for target in panel.get("targets", ())]
    found += [(one["name"], one) for one in board["annotations"]["list"]]
    for title, target in found:
        yield title, target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*")


def test_every_query_is_one_that_prometheus_takes(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(queries())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_metric_of_a_query_exists_and_every_metric_is_looked_at():
    known = {one.name for one in every_metric()}
    named = {SUFFIXES.sub("", name) for _, query in queries() for name in re.findall(r"\bporter_\w+", query)}
    assert named <= known
    # What the version is, when something was last, and what the log says better needs no panel.
    assert known - named == {
        "porter_build_info",
        "porter_events_dropped_total",
        "porter_journal_last_commit_timestamp_seconds",
        "porter_pool_ready",
        "porter_projection_lag_events",
        "porter_speaker_last_outcome_timestamp_seconds",
        "porter_speaker_outcomes_dropped_total",
    }


def test_every_legend_names_labels_that_the_metric_has():
    labels = {one.name: {*one.labels, "instance"} for one in every_metric()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            metrics = {SUFFIXES.sub("", name) for name in re.findall(r"\bporter_\w+", target["expr"])}
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert any(label in labels[name] for name in metrics), f"{panel['title']}: {label}"


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
