"""What a peer's own settings make of its session, down to the kernel's routes of a router that is told of them."""

import pytest

from tests.lab import manifests, plan, scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

SESSIONS_WITHIN_S = 40.0
RACK = "leaf1"
RACK_LABEL = "openelb.kubesphere.io/rack"
RACK_AS = 4_200_000_001
"""A number of four octets (RFC 6793)."""
NODE_OF_IPV6 = 9


@pytest.fixture(scope="module")
def prefix(lab: Lab, porter: Porter) -> str:
    """The route of a Service on every node."""
    [address] = scenario.serve(lab, "everywhere")
    return scenario.host_prefix(address)


def test_admin_down_ends_one_session_until_it_is_taken_back(lab: Lab, porter: Porter, prefix: str) -> None:
    conf = lab.client.get("BgpPeer", "bird")["spec"]["conf"]
    with lab.watch({prefix: lab.next_hops()}, kernels=[lab.frr.kernel]):
        try:
            lab.client.patch("BgpPeer", "bird", {"spec": {"conf": {**conf, "adminDown": True}}})
            # ExaBGP closes the connection without a word, and BIRD would keep the routes for the restart time of 120 s:
            # they are withdrawn before.
            lab.bird.kernel.wait_gone(prefix, scenario.SETTLED_WITHIN_S)
            lab.bird.wait_sessions(set(), scenario.SETTLED_WITHIN_S)
            scenario.wait_condition(
                lab,
                "BgpPeer",
                "bird",
                lambda one: (one["type"], one["status"]) == ("Ready", "False") and "adminDown" in one["message"],
                "it says why it is down",
                SESSIONS_WITHIN_S,
            )
        finally:
            lab.client.patch("BgpPeer", "bird", {"spec": {"conf": {**conf, "adminDown": False}}})
        lab.bird.wait_sessions({porter.address}, SESSIONS_WITHIN_S)
        lab.bird.kernel.wait_next_hops(prefix, lab.next_hops(), scenario.SETTLED_WITHIN_S)


def test_the_session_of_a_rack_has_the_racks_as_number_and_nodes(lab: Lab, porter: Porter, prefix: str) -> None:
    for name in ("n1", "n2"):
        lab.cluster.label_node(name, {RACK_LABEL: RACK})
    with lab.watch({prefix: lab.next_hops()}, kernels=[lab.frr.kernel]), lab.bird.renumbered(plan.BIRD_AS, RACK_AS):
        lab.client.patch("BgpConf", "default", {"spec": {"asPerRack": {RACK: RACK_AS}}})
        lab.client.patch("BgpPeer", "bird", {"spec": {"nodeSelector": {"matchLabels": {RACK_LABEL: RACK}}}})
        lab.bird.wait_sessions({porter.address}, SESSIONS_WITHIN_S)
        lab.bird.kernel.wait_next_hops(prefix, lab.next_hops("n1", "n2"), scenario.SETTLED_WITHIN_S)
        assert f"BGP.as_path: {RACK_AS}" in lab.bird.birdc(f"show route for {prefix} all")
        # A node that joins the rack joins the route, and one that leaves it leaves.
        lab.cluster.label_node("n3", {RACK_LABEL: RACK})
        lab.cluster.label_node("n1", {RACK_LABEL: "leaf2"})
        lab.bird.kernel.wait_next_hops(prefix, lab.next_hops("n2", "n3"), scenario.SETTLED_WITHIN_S)
        lab.client.patch("BgpConf", "default", {"spec": {"asPerRack": None}})
        lab.client.patch("BgpPeer", "bird", {"spec": {"nodeSelector": None}})
    lab.bird.wait_sessions({porter.address}, SESSIONS_WITHIN_S)
    lab.bird.kernel.wait_next_hops(prefix, lab.next_hops(), scenario.SETTLED_WITHIN_S)
    for name in ("n1", "n2", "n3"):
        lab.cluster.label_node(name, {RACK_LABEL: None})


def test_a_node_without_ipv4_is_a_next_hop_of_ipv4_routes_in_the_kernel(lab: Lab, porter: Porter) -> None:
    node = lab.cluster.add_node(NODE_OF_IPV6, paper=True)
    conditions = lab.client.get("Node", node.name)["status"]["conditions"]
    addresses = [{"type": "InternalIP", "address": node.addresses.v6}]
    lab.client.patch(
        "Node", node.name, {"status": {"addresses": addresses, "conditions": conditions}}, subresource="status"
    )
    lab.cluster.create_paper_service("far", [node.name], policy="Local")
    [address] = lab.cluster.wait_ingress("far")
    prefix = scenario.host_prefix(address)
    with lab.bird.extended_next_hops():
        lab.client.create(manifests.bgp_peer("bird6", plan.BIRD.v6, plan.BIRD_AS, extendedNextHop=True))
        lab.bird.kernel.wait_next_hops(prefix, {node.addresses.v6}, SESSIONS_WITHIN_S)
        shown = lab.bird.namespace.run("ip", "route", "show", prefix)
        assert f"via inet6 {node.addresses.v6}" in shown, shown
        # The other sessions offer no such next hop: there is no route.
        assert lab.frr.kernel.next_hops(prefix) == frozenset()
        lab.client.patch("BgpPeer", "bird6", {"spec": {"extendedNextHop": False}})
        eventually(lambda: not lab.bird.kernel.next_hops(prefix), "the route is gone", SESSIONS_WITHIN_S)
        lab.client.delete("BgpPeer", "bird6")
    lab.bird.wait_sessions({porter.address}, SESSIONS_WITHIN_S)
