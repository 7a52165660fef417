"""The reference of the metrics, made from what an empty controller exposes and from the table of instruments."""

from __future__ import annotations

from typing import NamedTuple

from porter.app.metrics.exposition import Self, measured
from porter.app.read_model import ReadModel
from porter.projections.cluster import ClusterState
from porter.projections.sessions import Sessions
from porter.telemetry.instruments import INSTRUMENTS
from porter.telemetry.metrics import PREFIX

HEAD = """\
# Metrics

A controller serves them on `/metrics`, in Prometheus' text format, or in OpenMetrics where the request's `Accept` asks
for it: only OpenMetrics carries the exemplars, which name a trace of the change that was measured. Every controller
derives the same from the journal; those that only the leader can say are told by the leader. A speaker has no port of
its own: what it did stands in its stream of outcomes, and from there in these metrics.

No metric has a label by Service. The alerts over them are in `deploy/alerts/porter.rules.yaml`, each with a runbook in
[runbooks](../runbooks/README.md), and the dashboard in `deploy/grafana/porter.json`.

This page is made from the code by `scripts/reference`.

| metric | type | labels | says |
|---|---|---|---|
"""


class Described(NamedTuple):
    """A metric as a query names it, without the suffixes of a histogram's series."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def every_metric() -> tuple[Described, ...]:
    """Every metric that there is, by name."""
    model = ReadModel(ClusterState.empty(), Sessions.empty())
    found = [
        Described(f"{PREFIX}{name}{'_total' if kind == 'counter' else ''}", kind, labels, text)
        for name, kind, text, labels, _ in measured(model, Self(leading=False, parts={}))
    ]
    found += [Described(name, kind, labels, text) for name, kind, text, labels, _ in INSTRUMENTS]
    return tuple(sorted(found))


def reference_page() -> str:
    """The page of the reference, in Markdown."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels) or '-'} | {one.help} |"
        for one in every_metric()
    ]
    return HEAD + "\n".join(rows) + "\n"
