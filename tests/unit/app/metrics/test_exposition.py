"""What `/metrics` says, read back by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from porter.app.metrics.exposition import Self, measured
from porter.app.metrics.page import every_metric, reference_page
from porter.app.read_model import ReadModel
from porter.events import routed
from porter.events.observed import PeerObserved
from porter.model.address import Address
from porter.telemetry.instruments import ANNOUNCE_SECONDS, APPEND_SECONDS, WATCH_RESTARTS, Instruments
from porter.telemetry.metrics import OPENMETRICS_TYPE, expose
from tests.promtool import promtool
from tests.unit.app.answers.test_cluster import told
from tests.unit.projections.story import Story, endpoints, node, pool, service

PEER = PeerObserved("r1", "r1", "1", 1, Address("192.0.2.254"), 64512)
PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "metrics.md"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def samples(text: str, read=parse) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


def exposed(accepts: str = "") -> str:
    story = Story(node(1), pool("p", "192.0.2.0-192.0.2.1", default=True), service("a"), service("b"), service("c"))
    story.settles()
    story.says(endpoints("a", "n1"), PEER, PEER._replace(name="off", admin_down=True))
    story.says(PEER._replace(name="watched", bfd_receive_ms=300, bfd_transmit_ms=300, bfd_multiplier=3))
    started = told(
        routed.SpeakerStarted("s1", "0", "10.0.0.1", 0),
        routed.SessionStateChanged("r1", "Established", "", ("IPv4",), ("IPv4",), 9),
        routed.BfdDaemonStateChanged("s1", up=True, reason=""),
        routed.BfdStateChanged("watched", "Up"),
        routed.SessionStateChanged("watched", "Established", "", ("IPv4",), ("IPv4",), 9),
        routed.SessionStateChanged("off", "Idle", "meant to be down"),
        routed.SessionStateChanged("deleted", "Idle", "the peer was removed"),
    )
    instruments = Instruments()
    instruments.observe(APPEND_SECONDS, 0.002, {"result": "committed"})
    instruments.observe(ANNOUNCE_SECONDS, 0.03, traceparent=TRACEPARENT)
    instruments.count(WATCH_RESTARTS, labels={"resource": "services", "reason": "expired"})
    about = Self(True, {"journal": "away"}, 0, story.position + 3, story.time_ms + 2000)
    body, content_type = expose(measured(ReadModel(story.state, started), about), accepts, instruments)
    assert (OPENMETRICS_TYPE in content_type) is bool(accepts)
    return body.decode()


def test_pools_services_and_sessions_have_true_numbers() -> None:
    found = samples(exposed())
    assert found["porter_pool_addresses", "p"] == 2
    assert found["porter_pool_addresses_in_use", "p"] == 2
    assert found["porter_pool_addresses_available", "p"] == 0
    assert found["porter_services", "served"] == 2
    assert found["porter_services", "waiting"] == 1
    assert found["porter_services_refused", "PoolExhausted"] == 1
    assert found["porter_bgp_session_up", "r1", "s1"] == 1
    assert found["porter_leader",] == 1
    assert found["porter_events_dropped_total",] == 0
    assert found["porter_component_ready", "journal"] == 0


def test_a_peer_that_is_deleted_or_meant_to_be_down_has_no_session_that_could_fail() -> None:
    assert {key for key in samples(exposed()) if key[0] == "porter_bgp_session_up"} == {
        ("porter_bgp_session_up", "r1", "s1"),
        ("porter_bgp_session_up", "watched", "s1"),
    }


def test_bfd_is_measured_only_where_it_is_asked_for() -> None:
    found = samples(exposed())
    assert {key: value for key, value in found.items() if key[0].startswith("porter_bfd")} == {
        ("porter_bfd_session_up", "watched", "s1"): 1,
        ("porter_bfd_daemon_up", "s1"): 1,
    }


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    text = exposed(f"{OPENMETRICS_TYPE}; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert samples(text, parse_openmetrics)["porter_bgp_session_flaps_total", "r1", "s1"] == 0


def test_what_is_not_folded_yet_is_told_with_its_age() -> None:
    found = samples(exposed())
    assert found["porter_journal_up",] == 1
    assert found["porter_projection_lag_events", "cluster"] == 3
    assert found["porter_projection_lag_seconds", "cluster"] == 2


def test_a_journal_that_does_not_answer_is_down_and_its_lag_unknown() -> None:
    state = Story(node(1)).state
    body, _ = expose(measured(ReadModel(state, told()), Self(True, {}, 0, None)))
    found = samples(body.decode())
    assert found["porter_journal_up",] == 0
    assert ("porter_projection_lag_events", "cluster") not in found


def test_only_openmetrics_names_the_trace_of_a_measurement() -> None:
    exemplar = f'# {{trace_id="{TRACEPARENT[3:35]}"}} 0.03'
    assert exemplar in exposed(f"{OPENMETRICS_TYPE}; version=1.0.0")
    assert "trace_id" not in exposed()


def test_prometheus_finds_nothing_wrong_with_any_metric() -> None:
    checked = promtool("check", "metrics", given=exposed())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_every_metric_is_on_the_page_of_the_reference() -> None:
    named = {one.name for one in every_metric()}
    assert len(named) == len(every_metric())
    families = {family.name for family in parse(exposed())}
    assert families <= named | {f"{name.removesuffix('_total')}" for name in named}
    assert PAGE.read_text() == reference_page(), "run scripts/reference"
