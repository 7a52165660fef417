"""Malformed objects: each is refused with a reason, and everybody else's Services go on."""

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.lab import manifests, plan, scenario
from tests.lab.client import JSON_PATCH, ApiError
from tests.lab.lab import Lab
from tests.lab.namespaces import CommandFailed
from tests.lab.porter import Porter
from tests.lab.scenario import Fleet

pytestmark = pytest.mark.lab

FLEET_SIZE = 5
MEBIBYTE = 1024 * 1024
ANNOTATION_BYTES_MAX = 256 * 1024
"""What the API server takes of annotations in one object (k8s.io/apimachinery, TotalAnnotationSizeLimitB)."""
HUGE_POOL = "2001:db8:52::/64"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def fleet(lab: Lab, porter: Porter) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


@pytest.fixture(autouse=True)
def others_go_on(lab: Lab, fleet: Fleet) -> Iterator[None]:
    """Around each test: the other Services keep their routes, and a new one is served as fast as ever."""
    with fleet.undisturbed():
        yield
        scenario.serve(lab, f"bystander-{next(_numbers)}", within_s=scenario.ROUTED_WITHIN_S)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("bad-octet", "198.51.300.0/24"),
        ("bad-length", "198.51.100.0/33"),
        ("last-before-first", "203.0.113.9-203.0.113.3"),
        ("two-families", "203.0.113.9-2001:db8::1"),
        ("no-address", "anything"),
        ("empty", ""),
    ],
)
def test_pool_with_a_bad_range(lab: Lab, name: str, address: str) -> None:
    pool = manifests.eip(name, address=address, default=False)
    words = scenario.refusal(lab, "Eip", name, lambda: lab.client.create(pool))
    print(words)
    assert "address" in words
    assert address in words


def test_pool_that_is_refused_gives_nothing_and_says_so_to_its_services(lab: Lab, porter: Porter) -> None:
    lab.client.create(
        manifests.eip("wrong-pool", address="203.0.113.3", addresses=["203.0.113.9-203.0.113.5"], default=False)
    )
    scenario.create_web(lab, "wants-wrong-pool", annotations={"eip.openelb.kubesphere.io/v1alpha2": "wrong-pool"})
    assert "wrong-pool" in scenario.wait_refusal(porter, "wants-wrong-pool")
    assert scenario.ingress_of(lab.client.get("Service", "wants-wrong-pool")) == []

    # The mend is to write the range as it was meant: nothing else has to be done.
    lab.client.patch("Eip", "wrong-pool", {"spec": {"addresses": ["203.0.113.5-203.0.113.9"]}})
    assert lab.cluster.wait_ingress("wants-wrong-pool") == ["203.0.113.3"]


def test_peer_with_as_number_zero(lab: Lab) -> None:
    peer = manifests.bgp_peer("as-zero", "10.77.0.99", 0)
    words = scenario.refusal(lab, "BgpPeer", "as-zero", lambda: lab.client.create(peer))
    print(words)
    assert "peerAs" in words


def test_conf_with_as_number_zero_keeps_the_sessions(lab: Lab, porter: Porter) -> None:
    words = scenario.refusal(
        lab, "BgpConf", "default", lambda: lab.client.patch("BgpConf", "default", {"spec": {"as": 0}})
    )
    print(words)
    assert "as" in words.split() or "spec.as" in words
    scenario.wait_sessions(lab, porter)
    lab.client.patch("BgpConf", "default", {"spec": {"as": plan.SPEAKER_AS}})


@pytest.mark.parametrize(
    ("kind", "name", "spec", "field"),
    [
        ("BgpConf", "default", {"routerId": "nonsense"}, "routerId"),
        ("BgpPeer", "bird", {"timers": {"config": {"holdTime": "soon"}}}, "holdTime"),
        ("BgpPeer", "frr", {"conf": {"neighborAddress": "nowhere"}}, "neighborAddress"),
    ],
)
def test_edit_that_is_malformed_keeps_the_sessions(
    lab: Lab, porter: Porter, kind: str, name: str, spec: dict[str, object], field: str
) -> None:
    before = lab.client.get(kind, name)["spec"]
    words = scenario.refusal(lab, kind, name, lambda: lab.client.patch(kind, name, {"spec": spec}))
    print(words)
    assert field in words
    scenario.wait_sessions(lab, porter)
    scenario.serve(lab, f"beside-{field.lower()}", within_s=scenario.ROUTED_WITHIN_S)
    lab.client.patch(kind, name, [{"op": "replace", "path": "/spec", "value": before}], content_type=JSON_PATCH)
    scenario.wait_condition(
        lab, kind, name, lambda one: one["type"] == "Accepted" and one["status"] == "True", "it is accepted again"
    )


def test_service_with_addresses_that_are_none(lab: Lab, porter: Porter) -> None:
    wrong = {"eip.openelb.kubesphere.io/v1alpha1": "not an address"}
    scenario.create_web(lab, "wants-nonsense", annotations=wrong)
    assert "not an address" in scenario.wait_refusal(porter, "wants-nonsense")


def test_annotation_of_three_mebibytes_is_refused_by_the_api_server(lab: Lab) -> None:
    with pytest.raises(ApiError, match=r"(?i)too large|too long|request entity") as refused:
        scenario.create_web(lab, "three-mebibytes", annotations={"note": "x" * 3 * MEBIBYTE})
    assert refused.value.status in {400, 413, 422}


def test_largest_annotation_that_the_api_server_takes_does_no_harm(lab: Lab, porter: Porter) -> None:
    room = ANNOTATION_BYTES_MAX - 1024
    scenario.serve(lab, "talkative", annotations={"note": "x" * room}, within_s=scenario.ROUTED_WITHIN_S)
    words = [f"{number:03}{'y' * 60}" for number in range(4000)]
    lab.client.create(manifests.eip("verbose", address="203.0.113.64/28", default=False, namespaces=words))
    scenario.wait_condition(lab, "Eip", "verbose", lambda one: one["type"] == "Accepted", "Porter has an opinion")
    scenario.check_memory(porter)


def test_unknown_fields_are_named(lab: Lab) -> None:
    pool = manifests.eip("odd", address="203.0.113.128/28", default=False, adress="203.0.113.0/24")
    with pytest.raises(CommandFailed, match=r"unknown field .*adress"):
        lab.control_plane.kubectl("create", "-f", "-", stdin=json.dumps(pool))
    # A client that does not ask for strictness has the field pruned, and the pool works by what is left.
    lab.client.create(pool)
    scenario.serve(lab, "from-odd", annotations={"eip.openelb.kubesphere.io/v1alpha2": "odd"})


def test_pool_of_two_to_the_sixty_four_addresses(lab: Lab, porter: Porter) -> None:
    lab.client.create(manifests.eip("huge", address=HUGE_POOL, default=False))
    [address] = scenario.serve(
        lab,
        "from-huge",
        families=scenario.FAMILIES6,
        annotations={"eip.openelb.kubesphere.io/v1alpha2": "huge"},
        within_s=scenario.ROUTED_WITHIN_S,
    )
    assert address.startswith("2001:db8:52::")
    status = lab.client.wait("Eip", "huge", lambda each: each.get("status", {}).get("usage") == 1, "one is used")[
        "status"
    ]
    assert status["poolSize"] == 2**63 - 1
    assert status["firstIP"] == "2001:db8:52::"
    assert status["lastIP"] == "2001:db8:52:0:ffff:ffff:ffff:ffff"
    assert not status.get("occupied")
    scenario.check_memory(porter)
