"""The defects that were seen on OpenELB's newest build, each as a test that shows ours right.

A test is named after its number in docs/migrate/openelb.md, where each defect is described.
"""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab import manifests, scenario
from tests.lab.client import Object
from tests.lab.evidence import JournalReader
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

QUIET_S = 1.5
"""How long nothing may happen where nothing is to happen."""
POOL_LABEL = "eip.openelb.kubesphere.io/v1alpha2"
ADDRESS_ANNOTATION = "eip.openelb.kubesphere.io/v1alpha1"
POOL_ANNOTATION = "eip.openelb.kubesphere.io/v1alpha2"
OPENELB_FINALIZER = "finalizer.lb.kubesphere.io/v1alpha1"
OPENELB_POOL_FINALIZER = "finalizer.ipam.kubesphere.io/v1alpha1"
SIDE_POOL = "198.51.100.220-198.51.100.229"
PAIR = scenario.DUAL_STACK


@pytest.fixture
def side_pool(lab: Lab) -> Iterator[str]:
    """A second pool, which is used on request only."""
    lab.client.create(manifests.eip("side", address=SIDE_POOL, default=False))
    yield "side"
    lab.client.delete("Eip", "side")


def touch(lab: Lab, service: str) -> None:
    """Change something of a Service that matters to nobody."""
    lab.client.patch("Service", service, {"metadata": {"annotations": {"example.com/touched": str(time.time())}}})


def serve_from_side(lab: Lab, name: str, **options: object) -> str:
    [address] = scenario.serve(lab, name, annotations={POOL_ANNOTATION: "side"}, **options)
    assert address.startswith("198.51.100.22")
    return address


def status_of(lab: Lab, name: str) -> list[str]:
    return scenario.ingress_of(lab.client.get("Service", name))


def test_r1_an_edit_of_bgpconf_resets_no_session_and_loses_no_route(lab: Lab, porter: Porter) -> None:
    addresses = scenario.serve(lab, "r1", families=PAIR)
    scenario.wait_reachable(lab, addresses)
    before = {router.name: router.sessions() for router in lab.routers}
    with lab.watch(scenario.expected_hops(lab, addresses)), lab.requests(*addresses):
        lab.client.patch("BgpConf", "default", {"spec": {"useMultiplePaths": True}})
        lab.client.patch("BgpConf", "default", {"spec": {"gracefulRestart": {"enabled": True}}})
        time.sleep(QUIET_S)
    assert {router.name: router.sessions() for router in lab.routers} == before
    assert porter.http("/readyz?sessions=all")[0] == 200


def test_r2_a_speaker_that_is_told_to_end_takes_no_route_with_it(lab: Lab, porter: Porter) -> None:
    addresses = scenario.serve(lab, "r2", families=PAIR)
    scenario.wait_reachable(lab, addresses)
    with lab.watch(scenario.expected_hops(lab, addresses)), lab.requests(*addresses):
        ended = porter.kill("speaker", 15)
        porter.wait_restarted("speaker", ended)
        scenario.wait_ready(porter)
        scenario.serve(lab, "r2-after")


def test_r3_a_moved_local_endpoint_moves_the_next_hop(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "r3", nodes=("n2",), hops=("n2",), policy="Local")
    scenario.write_endpoints(lab, "r3", {"n2": False, "n3": True})
    scenario.wait_routed(lab, {scenario.host_prefix(address): lab.next_hops("n3")}, 2.0)


def test_r4_a_local_service_without_endpoints_has_no_route(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "r4", nodes=("n1",), hops=("n1",), policy="Local")
    scenario.write_endpoints(lab, "r4", {})
    scenario.wait_routed(lab, {scenario.host_prefix(address): ()}, 2.0)
    assert status_of(lab, "r4") == [address]


def test_r5_a_node_that_is_not_ready_or_deleted_is_no_next_hop(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "r5")
    prefix = scenario.host_prefix(address)
    with lab.watch({prefix: lab.next_hops("n1", "n2")}):
        lab.cluster.set_node_ready("n3", False)
        scenario.wait_routed(lab, {prefix: lab.next_hops("n1", "n2")}, 2.0)
        lab.cluster.set_node_ready("n3", True)
        scenario.wait_routed(lab, {prefix: lab.next_hops()}, 2.0)
        lab.cluster.delete_node_object("n3")
        scenario.wait_routed(lab, {prefix: lab.next_hops("n1", "n2")}, 2.0)
        lab.cluster.restore_node("n3")
        scenario.wait_routed(lab, {prefix: lab.next_hops()}, 2.0)


def test_r6_a_service_without_endpoints_object_disturbs_no_other(lab: Lab, porter: Porter, side_pool: str) -> None:
    lab.cluster.create_service("r6-bare", annotations={POOL_ANNOTATION: side_pool})
    [bare] = lab.cluster.wait_ingress("r6-bare")
    address = serve_from_side(lab, "r6")
    assert bare != address
    assert not lab.bird.kernel.next_hops(scenario.host_prefix(bare))
    lab.client.delete("Service", "r6-bare")
    scenario.retire_service(lab, "r6")


def test_r7_a_disabled_pool_takes_no_address_back(lab: Lab, porter: Porter, side_pool: str) -> None:
    address = serve_from_side(lab, "r7")
    with lab.watch({scenario.host_prefix(address): lab.next_hops()}):
        lab.client.patch("Eip", side_pool, {"spec": {"disable": True}})
        scenario.wait_condition(
            lab, "Eip", side_pool, lambda one: one["reason"] == "PoolDisabled", "the pool says that it is disabled"
        )
        touch(lab, "r7")
        time.sleep(QUIET_S)
        assert status_of(lab, "r7") == [address]
        lab.client.patch("Eip", side_pool, {"spec": {"disable": False}})
        touch(lab, "r7")
        time.sleep(QUIET_S)
    assert status_of(lab, "r7") == [address]
    scenario.retire_service(lab, "r7")


def test_r8_a_deleted_pool_leaves_its_services_what_they_have(lab: Lab, porter: Porter, side_pool: str) -> None:
    address = serve_from_side(lab, "r8")
    with lab.watch({scenario.host_prefix(address): lab.next_hops()}):
        lab.client.delete("Eip", side_pool)
        degraded = scenario.wait_condition(
            lab,
            "Service",
            "r8",
            lambda one: one["type"] == "porter.io/Degraded" and one["status"] == "True",
            "the Service says that its pool is gone",
        )
        assert side_pool in degraded["message"]
        touch(lab, "r8")
        time.sleep(QUIET_S)
    assert status_of(lab, "r8") == [address]
    scenario.retire_service(lab, "r8")


def test_r9_nothing_leaks_and_no_deletion_hangs(lab: Lab, porter: Porter, side_pool: str) -> None:
    lab.client.patch("Eip", side_pool, {"metadata": {"finalizers": [OPENELB_POOL_FINALIZER]}})
    address = serve_from_side(lab, "r9")
    lab.client.patch(
        "Service", "r9", {"metadata": {"finalizers": [OPENELB_FINALIZER], "labels": {POOL_LABEL: side_pool}}}
    )
    lab.client.patch("Service", "r9", {"metadata": {"annotations": None}})
    scenario.wait_routed(lab, {scenario.host_prefix(address): ()}, scenario.SETTLED_WITHIN_S)
    lab.client.delete("Eip", side_pool)
    scenario.retire_service(lab, "r9")
    lab.client.wait_gone("Service", "r9", timeout_s=scenario.SETTLED_WITHIN_S)
    lab.client.wait_gone("Eip", side_pool, timeout_s=scenario.SETTLED_WITHIN_S)
    lab.client.create(manifests.eip("side", address=SIDE_POOL, default=False))
    assert serve_from_side(lab, "r9-next") == address
    scenario.retire_service(lab, "r9-next")


def test_r10_an_address_is_shared_only_with_disjoint_ports(lab: Lab, porter: Porter) -> None:
    wanted = {ADDRESS_ANNOTATION: "198.51.100.200"}
    assert scenario.serve(lab, "r10-web", annotations=wanted) == ["198.51.100.200"]
    lab.cluster.create_service("r10-same", annotations=wanted)
    refusal = scenario.wait_refusal(porter, "r10-same")
    assert "SharingRefused" in refusal
    assert "default/r10-web" in refusal
    assert "port 80" in refusal
    assert scenario.serve(lab, "r10-other", annotations=wanted, port=8443) == ["198.51.100.200"]
    assert status_of(lab, "r10-same") == []
    assert status_of(lab, "r10-web") == ["198.51.100.200"]
    for name in ("r10-web", "r10-other"):
        scenario.retire_service(lab, name)
    lab.cluster.wait_ingress("r10-same")
    lab.client.delete("Service", "r10-same")


def test_r11_a_service_of_another_class_is_not_hijacked(lab: Lab, porter: Porter) -> None:
    opted_in = {manifests.OPENELB_ANNOTATION: "openelb"}
    lab.cluster.create_service("r11", annotations=opted_in, load_balancer_class="other.io/x")
    scenario.serve(lab, "r11-ours")
    found = lab.client.get("Service", "r11")
    assert scenario.ingress_of(found) == []
    assert not scenario.conditions_of(found)
    assert POOL_LABEL not in found["metadata"].get("labels", {})
    lab.client.delete("Service", "r11")


def test_r12_an_ordinary_creation_makes_one_event_and_no_churn(lab: Lab, porter: Porter) -> None:
    names = [f"r12-{number}" for number in range(5)]
    for name in names:
        scenario.serve(lab, name)

    def told() -> Counter[str]:
        return Counter(
            each["involvedObject"]["name"] for each in events(lab) if each["involvedObject"]["name"] in names
        )

    eventually(lambda: set(told()) == set(names), "each creation has its Event", scenario.SETTLED_WITHIN_S)
    time.sleep(QUIET_S)
    assert told() == dict.fromkeys(names, 1)
    decided = Counter(
        (envelope.type, envelope.aggregate.rpartition("/")[2])
        for envelope in JournalReader(lab.redis).envelopes()
        if envelope.aggregate.rpartition("/")[2] in names and envelope.type.startswith("A")
    )
    assert decided == {("AddressAllocated", name): 1 for name in names}
    for name in names:
        scenario.retire_service(lab, name)


def events(lab: Lab) -> list[Object]:
    """The Kubernetes Events of the namespace."""
    return lab.client.list("Event", "default")


def test_r13_pools_have_metrics_with_true_numbers(lab: Lab, porter: Porter, side_pool: str) -> None:
    serve_from_side(lab, "r13")
    metrics = dict(line.rsplit(" ", 1) for line in porter.http("/metrics")[1].splitlines() if not line.startswith("#"))
    assert float(metrics['porter_pool_addresses{pool="side"}']) == 10
    assert float(metrics['porter_pool_addresses_in_use{pool="side"}']) == 1
    assert float(metrics['porter_pool_addresses_available{pool="side"}']) == 9
    scenario.retire_service(lab, "r13")


def test_r14_what_one_object_shows_wrong_is_refused_and_what_others_show_is_said(lab: Lab, porter: Porter) -> None:
    lab.client.create(manifests.eip("r14-overlap", address="198.51.100.0/28", default=False))
    overlap = scenario.wait_condition(
        lab, "Eip", "r14-overlap", lambda one: one["type"] == "Ready" and one["status"] == "False", "it overlaps"
    )
    assert "pool" in overlap["message"]
    lab.client.create(manifests.eip("r14-second", address="203.0.113.0/28", default=True))
    second = scenario.wait_condition(
        lab, "Eip", "r14-second", lambda one: one["type"] == "Degraded" and one["status"] == "True", "a second default"
    )
    assert "default" in second["message"]
    bad = manifests.eip("r14-bad", address="203.0.113.300", default=False)
    assert "address" in scenario.refusal(lab, "Eip", "r14-bad", lambda: lab.client.create(bad))
    for name in ("r14-overlap", "r14-second", "r14-bad"):
        lab.client.delete("Eip", name)
