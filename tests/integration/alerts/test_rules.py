"""The alert rules, by promtool: each fires when it should, none fires while all is well, and each has its runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from porter.app.metrics.page import every_metric
from tests.promtool import promtool

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "alerts" / "porter.rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]

TWO = ('instance="a",pod="a"', 'instance="b",pod="b"')
"""Two controllers, of which the first leads."""


class Case(NamedTuple):
    """Series ("name{labels}": values) that make an alert fire at `at`, with these labels beside its own."""

    alert: str
    series: dict[str, str]
    at: str
    labels: dict[str, str] = {}


def both(metric: str, labels: str, values: str) -> dict[str, str]:
    """The same by both controllers."""
    return {f"{metric}{{{','.join(filter(None, (labels, who)))}}}": values for who in TWO}


SESSION = {"peer": "tor", "speaker": "s1"}
OF_SESSION = 'peer="tor",speaker="s1"'


def latencies(kind: str, fast: int, every: int) -> dict[str, str]:
    """Of `every` changes a minute `fast` take less than a second."""
    name = f"porter_{kind}_latency_seconds"
    return {
        f'{name}_bucket{{instance="a",le="1.0"}}': f"0+{fast}x480",
        f'{name}_count{{instance="a"}}': f"0+{every}x480",
    }


CASES = (
    Case("PorterDown", {"up": "1x20"}, "6m"),
    Case("PorterNoLeader", both("porter_leader", "", "0x20"), "2m"),
    Case("PorterJournalUnavailable", both("porter_journal_up", "", "0x20"), "2m"),
    Case("PorterJournalRecovering", both("porter_journal_recovering", "", "1x20"), "6m"),
    Case("PorterJournalTailLost", both("porter_journal_positions_lost", "", "0x10 12x20"), "15m"),
    Case(
        "PorterJournalSlow",
        {
            'porter_journal_append_duration_seconds_bucket{instance="a",result="committed",le="0.5"}': "0+50x40",
            'porter_journal_append_duration_seconds_bucket{instance="a",result="committed",le="1.0"}': "0+60x40",
            'porter_journal_append_duration_seconds_bucket{instance="a",result="committed",le="+Inf"}': "0+60x40",
        },
        "30m",
    ),
    Case(
        "PorterJournalNearMaxLen",
        both("porter_journal_stream_bytes", "", "85x20") | both("porter_journal_stream_limit_bytes", "", "100x20"),
        "11m",
    ),
    Case("PorterArchiveFailing", {'porter_archive_up{instance="b"}': "0x20"}, "11m", {"instance": "b"}),
    Case(
        "PorterProjectionLagging",
        {'porter_projection_lag_seconds{instance="b",projection="cluster"}': "60x20"},
        "6m",
        {"instance": "b", "projection": "cluster"},
    ),
    Case("PorterPeerDown", both("porter_bgp_session_up", OF_SESSION, "0x20"), "6m", SESSION),
    Case(
        "PorterPeerDownEverywhere",
        both("porter_bgp_session_up", OF_SESSION, "0x20")
        | both("porter_bgp_session_up", 'peer="tor",speaker="s2"', "0x20"),
        "3m",
        {"peer": "tor"},
    ),
    Case(
        "PorterPeerUnsynced",
        both("porter_bgp_session_up", OF_SESSION, "1x20") | both("porter_bgp_session_synced", OF_SESSION, "0x20"),
        "6m",
        SESSION,
    ),
    Case("PorterBfdUnavailable", both("porter_bfd_daemon_up", 'speaker="s1"', "0x20"), "3m", {"speaker": "s1"}),
    Case(
        "PorterBfdDown",
        both("porter_bfd_session_up", OF_SESSION, "0x20") | both("porter_bgp_session_up", OF_SESSION, "1x20"),
        "6m",
        SESSION,
    ),
    Case("PorterRoutesUnconfirmed", both("porter_routes", 'state="sent"', "2x20"), "6m"),
    Case("PorterRibDrift", both("porter_bgp_rib_drifts_total", OF_SESSION, "0x5 1x20"), "12m", SESSION),
    Case("PorterEngineDown", both("porter_engine_up", 'speaker="s1"', "0x20"), "3m", {"speaker": "s1"}),
    Case(
        "PorterEngineRestarting", both("porter_engine_up", 'speaker="s1"', "1 0 1 0 1 0 1 0"), "7m", {"speaker": "s1"}
    ),
    Case(
        "PorterPoolNearlyFull",
        both("porter_pool_addresses_available", 'pool="p"', "1x30")
        | both("porter_pool_addresses", 'pool="p"', "20x30"),
        "16m",
        {"pool": "p"},
    ),
    Case(
        "PorterPoolExhausted",
        both("porter_pool_addresses_available", 'pool="p"', "0x30")
        | both("porter_pool_addresses", 'pool="p"', "20x30"),
        "6m",
        {"pool": "p"},
    ),
    Case(
        "PorterServicesRefused",
        both("porter_services_refused", 'reason="PoolExhausted"', "2x30"),
        "16m",
        {"reason": "PoolExhausted"},
    ),
    Case("PorterConfigRejected", both("porter_bgp_peer_rejected", OF_SESSION, "1x20"), "6m", SESSION),
    Case("PorterPoolNotReady", both("porter_pool_ready", 'pool="p"', "0x20"), "11m", {"pool": "p"}),
    Case(
        "PorterWatchStale",
        both("porter_kube_last_event_timestamp_seconds", 'resource="nodes"', "0x40"),
        "20m",
        {"resource": "nodes"},
    ),
    Case(
        "PorterRelistStorm",
        {'porter_kube_watch_restarts_total{instance="a",resource="nodes",reason="expired"}': "0+2x40"},
        "30m",
        {"resource": "nodes"},
    ),
    Case("PorterWithdrawalsHeld", both("porter_withdrawals_held", 'cause="NodesNotReady"', "9x20"), "2m"),
    Case(
        "PorterOutcomesDropped",
        both("porter_speaker_outcomes_dropped_total", 'speaker="s1"', "0x5 7x20"),
        "10m",
        {"speaker": "s1"},
    ),
    Case(
        "PorterComponentNotReady",
        {'porter_component_ready{instance="a",component="nodes"}': "0x20"},
        "11m",
        {"instance": "a", "component": "nodes"},
    ),
    Case("PorterAnnounceSlow", latencies("announce", 70, 100), "2h"),
    Case("PorterWithdrawSlow", latencies("withdraw", 70, 100), "2h"),
    Case(
        "PorterRouteAvailability",
        both("porter_routes", 'state="confirmed"', "90x120") | both("porter_routes", 'state="sent"', "10x120"),
        "90m",
    ),
)

WELL: dict[str, str] = {
    'porter_build_info{instance="a"}': "1x480",
    'porter_leader{instance="a"}': "1x480",
    'porter_leader{instance="b"}': "0x480",
    'porter_journal_up{instance="a"}': "1x480",
    'porter_journal_up{instance="b"}': "0x480",
    **both("porter_journal_recovering", "", "0x480"),
    **both("porter_journal_positions_lost", "", "7x480"),
    **both("porter_journal_stream_bytes", "", "60x480"),
    **both("porter_journal_stream_limit_bytes", "", "100x480"),
    **both("porter_archive_up", "", "1x480"),
    **both("porter_projection_lag_seconds", 'projection="cluster"', "0x480"),
    **both("porter_bgp_session_up", OF_SESSION, "1x480"),
    **both("porter_bgp_session_synced", OF_SESSION, "1x480"),
    **both("porter_bfd_daemon_up", 'speaker="s1"', "1x480"),
    **both("porter_bfd_session_up", OF_SESSION, "1x480"),
    **both("porter_bgp_peer_rejected", OF_SESSION, "0x480"),
    **both("porter_bgp_rib_drifts_total", OF_SESSION, "3x480"),
    **both("porter_engine_up", 'speaker="s1"', "1x480"),
    **both("porter_speaker_outcomes_dropped_total", 'speaker="s1"', "4x480"),
    **both("porter_routes", 'state="confirmed"', "100x480"),
    **both("porter_routes", 'state="sent"', "0x480"),
    **both("porter_pool_addresses", 'pool="p"', "20x480"),
    **both("porter_pool_addresses_available", 'pool="p"', "10x480"),
    # A pool of no address at all cannot be full.
    **both("porter_pool_addresses", 'pool="none"', "0x480"),
    **both("porter_pool_addresses_available", 'pool="none"', "0x480"),
    **both("porter_pool_ready", 'pool="p"', "1x480"),
    **both("porter_withdrawals_held", 'cause="NodesNotReady"', "0x480"),
    **both("porter_component_ready", 'component="nodes"', "1x480"),
    **both("porter_kube_last_event_timestamp_seconds", 'resource="nodes"', "0+60x480"),
    'porter_kube_watch_restarts_total{instance="a",resource="nodes",reason="expired"}': "5x480",
    **latencies("announce", 100, 100),
    **latencies("withdraw", 100, 100),
}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def complaint(folder: Path, name: str, series: dict[str, str], at: str, firing: list[str], asked: str) -> str:
    """Run one case; return what promtool complains of."""
    case = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": asked,
                        "eval_time": at,
                        "exp_samples": [{"labels": labels, "value": 1} for labels in firing],
                    }
                ],
            }
        ],
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(case))
    done = promtool("test", "rules", str(file))
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should(case: Case, tmp_path):
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": alerts()[case.alert]["labels"]["severity"]}
    text = ", ".join(f'{name}="{value}"' for name, value in sorted((labels | case.labels).items()))
    asked = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    assert complaint(tmp_path, case.alert, case.series, case.at, [f"ALERTS{{{text}}}"], asked) == ""


@pytest.mark.parametrize("at", ["20m", "2h", "7h"])
def test_no_alert_fires_while_all_is_well(at: str, tmp_path):
    assert complaint(tmp_path, "well", WELL, at, [], 'ALERTS{alertstate="firing"}') == ""


def test_promtool_accepts_the_rules():
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_its_case():
    assert {case.alert for case in CASES} == alerts().keys()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        assert rule["labels"]["severity"] in {"warning", "critical"}
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert re.findall(r"^## .*$", page, re.MULTILINE) == HEADINGS
        assert page.startswith(f"# {name}\n")
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == alerts().keys()


def test_every_metric_of_the_rules_exists():
    known = {one.name for one in every_metric()}
    for name in set(re.findall(r"\bporter_\w+", RULES.read_text())):
        assert re.sub(r"_(bucket|count|sum)$", "", name) in known, name


def test_the_objective_is_a_bound_of_the_histograms():
    from porter.telemetry.instruments import LATENCY_BUCKETS_S

    bounds = set(re.findall(r'le="([^"]+)"', RULES.read_text()))
    assert bounds <= {str(bound) for bound in LATENCY_BUCKETS_S}
