"""What decisions are told as Events."""

from __future__ import annotations

import pytest

from porter.app.controller.object_events import hold_event, object_event, standing_holds
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


CONF = observed.ConfObserved("default", "conf-uid", "9", 1, 64512)


def told_of_hold(payload, *, position=41877):
    return hold_event(Story(CONF).state, Envelope(position, 1, NOON_MS, 3, "", "", payload))


@pytest.mark.parametrize(
    ("payload", "reason", "warning", "words"),
    [
        (
            decided.WithdrawalHeld(41877, "NoReadyEndpoint", (), 34, 40, 25, 20, 600_000),
            "WithdrawalHeld",
            True,
            "34 of 40 prefixes would have lost their last next hops within a minute (NoReadyEndpoint), and stay as "
            "they are for 600 s at most; mend the cause, or let it happen by `porter approve 41877` (#41877)",
        ),
        (
            decided.WithdrawalApproved(7, "ada", "planned"),
            "WithdrawalApproved",
            False,
            "ada approved hold 7: planned; ",
        ),
        (decided.HoldExpired(7), "HoldExpired", True, "hold 7 is over after its longest time"),
        (decided.HoldEnded(7), "HoldEnded", False, "hold 7 ended with its cause"),
    ],
)
def test_each_step_of_a_hold_is_told_of_the_bgp_conf(payload, reason, warning, words):
    event = told_of_hold(payload)
    assert (event.kind, event.namespace, event.name, event.uid) == ("BgpConf", "", "default", "conf-uid")
    assert (event.reason, event.warning, event.action) == (reason, warning, type(payload).__name__)
    assert event.message.startswith(words)


def test_a_new_leader_tells_of_the_same_hold_in_the_same_words():
    story = Story(CONF)
    story.says(decided.WithdrawalHeld(story.position + 1, "NoReadyEndpoint", (), 34, 40, 25, 20, 600_000))
    (again,) = standing_holds(story.state)
    step = decided.WithdrawalHeld(story.position, "NoReadyEndpoint", (), 34, 40, 25, 20, 600_000)
    first = hold_event(story.state, Envelope(story.position, 1, story.time_ms, 0, "", "", step))
    assert again == first
    story.says(decided.HoldEnded(story.position))
    assert list(standing_holds(story.state)) == []


def test_a_hold_is_told_once_however_many_prefixes_join_it():
    more = decided.WithdrawalHeld(41877, "NoReadyEndpoint", (), 35, 40, 25, 20, 600_000)
    assert told_of_hold(more, position=41890) is None
    assert hold_event(Story().state, Envelope(41877, 1, NOON_MS, 3, "", "", more)) is None, "there is no BgpConf"
