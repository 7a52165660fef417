"""The main job: a Service becomes one route with one next hop per node, over which clients reach its pods."""

from collections.abc import Sequence

import pytest

from tests.lab import manifests, scenario
from tests.lab.client import Object
from tests.lab.evidence import JournalReader
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

PAPER_NODES = range(4, 13)


@pytest.mark.parametrize(
    "families", [scenario.FAMILIES4, scenario.FAMILIES6, scenario.DUAL_STACK], ids=["ipv4", "ipv6", "dual-stack"]
)
def test_three_nodes_are_three_next_hops_and_all_pods_answer(lab: Lab, porter: Porter, families: Sequence[str]) -> None:
    name = f"web-{len(families)}-{families[0].lower()}"
    lab.cluster.create_service(name, selector={"app": "web"}, families=families)
    addresses = lab.cluster.wait_ingress(name, len(families))
    assert [":" in address for address in addresses] == [family == "IPv6" for family in families]
    ingress = lab.client.get("Service", name)["status"]["loadBalancer"]["ingress"]
    assert {each["ipMode"] for each in ingress} == {"VIP"}

    scenario.wait_routed(lab, scenario.expected_hops(lab, addresses), scenario.SETTLED_WITHIN_S)

    scenario.check_reaches_all(lab, addresses)


def test_a_service_of_porters_class_is_served_without_annotation(lab: Lab, porter: Porter) -> None:
    scenario.serve(lab, "classy", load_balancer_class=manifests.PORTER_CLASS)


def test_a_deleted_service_frees_its_route_and_its_address(lab: Lab, porter: Porter) -> None:
    addresses = scenario.serve(lab, "leaving", families=scenario.DUAL_STACK)

    scenario.delete_service(lab, "leaving")

    scenario.wait_routed(lab, {scenario.host_prefix(address): () for address in addresses}, scenario.SETTLED_WITHIN_S)
    # The lowest free address is given, so that the next Service proves that these were free again.
    assert scenario.serve(lab, "coming", families=scenario.DUAL_STACK) == addresses


def test_a_service_of_another_class_is_never_touched(lab: Lab, porter: Porter) -> None:
    opted_in = {manifests.OPENELB_ANNOTATION: "porter"}
    foreign = {
        "other-class": {"load_balancer_class": "other.io/balancer", "annotations": opted_in},
        "no-class": {"load_balancer_class": None, "annotations": {manifests.OPENELB_ANNOTATION: "metallb"}},
    }
    before = {}
    for name, options in foreign.items():
        scenario.create_web(lab, name, **options)  # type: ignore[arg-type]
        before[name] = lab.client.get("Service", name)

    # A Service that came later is served, so these had their turn.
    later = scenario.serve(lab, "ours-after")

    for name, service in before.items():
        after = lab.client.get("Service", name)
        assert without_managers(after) == without_managers(service)
    hops = {prefix for kernel in lab.kernels for prefix in kernel.prefixes() if prefix.startswith("198.51.100.")}
    held = {address for each in lab.client.list("Service") for address in scenario.ingress_of(each)}
    assert hops == {scenario.host_prefix(address) for address in held if ":" not in address}
    assert scenario.host_prefix(later[0]) in hops


def test_a_service_that_becomes_another_type_gives_route_and_address_back(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "changing")

    lab.client.patch("Service", "changing", {"spec": {"type": "ClusterIP", "externalTrafficPolicy": None}})

    scenario.wait_routed(lab, {scenario.host_prefix(address): ()}, scenario.SETTLED_WITHIN_S)
    assert scenario.serve(lab, "instead") == [address]


def test_twelve_nodes_and_two_speakers_are_twelve_distinct_next_hops(lab: Lab, porter: Porter) -> None:
    journal = JournalReader(lab.redis)
    leader = journal.leader()
    second = lab.porter(2).start()
    scenario.wait_sessions(lab, porter, second)
    added = [lab.cluster.add_node(number, paper=True).name for number in PAPER_NODES]

    [address] = scenario.serve(lab, "wide", hops=[*lab.web_nodes, *added])

    prefix = scenario.host_prefix(address)
    hops = lab.next_hops(*lab.web_nodes, *added)
    assert len(hops) == 12
    paths = sorted((speaker.address, hop) for speaker in (porter, second) for hop in hops)
    for router in lab.routers:
        # Every path is there twice, and a router that counts paths instead of next hops would use only some nodes.
        eventually(lambda router=router: router.rib(prefix) == paths, f"{router.name} has all 24 paths", 5.0)  # type: ignore[misc]
        assert router.kernel.look()[prefix] == hops
    assert journal.leader() == leader, "the second controller was to stand by"

    with lab.watch({prefix: lab.next_hops()}):
        for name in added:
            lab.cluster.delete_node(name)
        scenario.wait_routed(lab, {prefix: lab.next_hops()}, scenario.SETTLED_WITHIN_S)


def without_managers(service: Object) -> Object:
    """A Service's manifest without the bookkeeping of who wrote which field."""
    return {**service, "metadata": {key: value for key, value in service["metadata"].items() if key != "managedFields"}}
