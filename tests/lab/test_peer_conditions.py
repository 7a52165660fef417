"""What a person is told of a peer that does not work, and of limits: at the API server, with real routers."""

import pytest

from tests.lab import manifests, plan, scenario
from tests.lab.client import Object
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 5
TOLD_WITHIN_S = 60.0
UP_WITHIN_S = 40.0
NOBODY = "10.77.0.3"


@pytest.fixture(scope="module")
def fleet(lab: Lab, porter: Porter) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


def wait_told(lab: Lab, name: str, kind: str, words: str) -> Object:
    """Wait until a condition of a peer says this."""
    return scenario.wait_condition(
        lab, "BgpPeer", name, lambda one: one["type"] == kind and words in one["message"], words, TOLD_WITHIN_S
    )


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (plan.CONTROL_PLANE.v4, "refuses connections"),
        (NOBODY, "cannot be reached"),
    ],
    ids=["closed-port", "nobody-there"],
)
def test_a_peer_that_does_not_answer_is_told_with_its_cause(lab: Lab, fleet: Fleet, address: str, words: str) -> None:
    with lab.watch(fleet.expected):
        lab.client.create(manifests.bgp_peer("spoilt", address, 64999))
        ready = wait_told(lab, "spoilt", "Ready", words)
        assert (ready["status"], ready["reason"]) == ("False", "SessionDown")
        lab.client.delete("BgpPeer", "spoilt")


def test_a_wrong_as_number_is_told_and_the_other_peer_does_not_notice(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    spoilt, whole = lab.routers
    kept = dict(fleet.expected)
    before = whole.kernel.look()
    lab.client.patch("BgpPeer", spoilt.name, {"spec": {"conf": {"peerAs": 64999}}})
    ready = wait_told(lab, spoilt.name, "Ready", "another AS number than 64999")
    assert ready["status"] == "False"
    assert whole.kernel.look() == before
    lab.client.patch("BgpPeer", spoilt.name, {"spec": {"conf": {"peerAs": spoilt.as_number}}})
    spoilt.wait_sessions({porter.address}, UP_WITHIN_S)
    scenario.wait_routed(lab, kept, scenario.SETTLED_WITHIN_S)


def test_limits_timers_and_what_has_no_effect(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    limited, other = lab.routers
    spec = {
        "maxNextHops": 2,
        "timers": {"config": {"holdTime": 3, "connectRetry": 60}},
        "conf": {"description": "the left one"},
        "bfd": {"enabled": True, "receiveInterval": 500},
    }
    lab.client.patch("BgpPeer", limited.name, {"spec": spec})
    for prefix in fleet.expected:
        eventually(
            lambda prefix=prefix: len(limited.kernel.next_hops(prefix)) == 2,  # type: ignore[misc]
            f"two next hops of {prefix}",
            UP_WITHIN_S,
        )
    assert other.kernel.next_hops(next(iter(fleet.expected))) == lab.next_hops()
    accepted = wait_told(lab, limited.name, "Accepted", "spec.timers.config.connectRetry has no effect")
    assert (accepted["status"], accepted["reason"]) == ("True", "FieldUnsupported")
    assert "spec.bfd" not in accepted["message"]
    found = lab.client.wait(
        "BgpPeer",
        limited.name,
        lambda one: one["status"]["nodesPeerStatus"][porter.name]["timersState"].get("negotiatedHoldTime") == "3",
        "the hold time is three seconds",
    )
    assert found["status"]["nodesPeerStatus"][porter.name]["peerState"]["description"] == "the left one"
