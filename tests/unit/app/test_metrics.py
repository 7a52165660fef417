"""What `/metrics` says, read back by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from porter.app.metrics import Self, measured
from porter.app.view import ReadModel
from porter.events import routed
from porter.telemetry.metrics import OPENMETRICS_TYPE, expose
from tests.unit.app.test_answers import told
from tests.unit.projections.story import Story, endpoints, node, pool, service


def samples(text: str, read=parse) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


def exposed(accepts: str = "") -> str:
    story = Story(node(1), pool("p", "192.0.2.0-192.0.2.1", default=True), service("a"), service("b"), service("c"))
    story.settles()
    story.says(endpoints("a", "n1"))
    started = told(
        routed.SpeakerStarted("s1", "0", "10.0.0.1", 0),
        routed.SessionStateChanged("r1", "Established", "", ("IPv4",), ("IPv4",), 9),
    )
    body, content_type = expose(measured(ReadModel(story.state, started), Self(True, {"journal": "away"})), accepts)
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


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    text = exposed(f"{OPENMETRICS_TYPE}; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert samples(text, parse_openmetrics)["porter_bgp_session_flaps_total", "r1", "s1"] == 0
