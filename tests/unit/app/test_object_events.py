"""What decisions are told as Events."""

from __future__ import annotations

import pytest

from porter.app.object_events import object_event
from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.model.address import Address
from porter.model.reasons import Reason
from tests.unit.projections.story import NOON_MS, Story, node, pool, service

ADDRESS = Address("192.0.2.7")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def told(payload, *, trace=""):
    state = Story(pool(default=True), service(resource_version="31")).state
    traceparent = f"00-{trace}-00f067aa0ba902b7-01" if trace else ""
    return object_event(state, Envelope(41877, 1, NOON_MS, 3, "", traceparent, payload))


@pytest.mark.parametrize(
    ("payload", "reason", "warning", "message"),
    [
        (
            decided.AddressAllocated("web", "shop", "web", ADDRESS, "p", Reason.DEFAULT_POOL),
            "DefaultPool",
            False,
            "192.0.2.7 is allocated from the default Eip p (#41877)",
        ),
        (
            decided.AddressAdopted("web", "shop", "web", ADDRESS, "p", Reason.ADOPTED_FROM_STATUS),
            "AdoptedFromStatus",
            False,
            "192.0.2.7 is adopted of Eip p, which it held already by its status (#41877)",
        ),
        (
            decided.AddressReleased("web", "shop", "web", ADDRESS, "p", Reason.SERVICE_DELETED),
            "ServiceDeleted",
            False,
            "192.0.2.7 is released: the Service is gone (#41877)",
        ),
        (
            decided.AddressReleased("web", "shop", "web", ADDRESS, "p", Reason.SUPERSEDED_IN_RECOVERY),
            "SupersededInRecovery",
            True,
            "192.0.2.7 is released: another Service had it when the journal was recovered (#41877)",
        ),
        (
            decided.AllocationRefused("web", "shop", "web", Reason.NO_POOL, "no Eip gives it; make one"),
            "NoPool",
            True,
            "no Eip gives it; make one (#41877)",
        ),
    ],
)
def test_a_decision_is_one_sentence_with_its_position(payload, reason, warning, message):
    event = told(payload)
    assert (event.reason, event.warning, event.message) == (reason, warning, message)
    assert (event.kind, event.namespace, event.name, event.uid) == ("Service", "shop", "web", "web")
    assert (event.action, event.position, event.time_ms) == (type(payload).__name__, 41877, NOON_MS)
    assert event.resource_version == "31"


def test_a_sampled_change_names_its_trace():
    payload = decided.AllocationRefused("web", "shop", "web", Reason.NO_POOL, "make an Eip")
    assert told(payload, trace=TRACE).message == f"make an Eip (#41877, trace {TRACE})"


def test_a_service_that_is_gone_is_still_told_of():
    event = told(decided.AddressReleased("gone", "shop", "old", ADDRESS, "p", Reason.SERVICE_DELETED))
    assert (event.uid, event.resource_version) == ("gone", "")


def test_facts_are_not_told():
    for payload in (node(1), observed.ServiceGone("web", "shop", "web", "ServiceDeleted")):
        with pytest.raises((TypeError, AttributeError)):
            told(payload)
