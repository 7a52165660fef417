"""Next hops follow the nodes: those with a ready endpoint for the policy Local, and those that are Ready at all."""

import time

import pytest

from tests.lab import scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter

pytestmark = pytest.mark.lab

MOVED_WITHIN_S = 2.0
LOCAL = {"policy": "Local"}


def check_moves(lab: Lab, prefix: str, began_s: float, *nodes: str, within_s: float = MOVED_WITHIN_S) -> None:
    """The next hops become these nodes within a time from ``began_s`` on."""
    left_s = began_s + within_s - time.monotonic()
    scenario.wait_routed(lab, {prefix: lab.next_hops(*nodes) if nodes else ()}, max(0.001, left_s))


def test_local_uses_only_nodes_with_a_ready_endpoint(lab: Lab, porter: Porter) -> None:
    scenario.create_web(lab, "local", nodes=("n1", "n2"), **LOCAL)
    [address] = lab.cluster.wait_ingress("local")
    prefix = scenario.host_prefix(address)
    check_moves(lab, prefix, time.monotonic(), "n1", "n2")

    with lab.watch({prefix: lab.next_hops("n2")}):
        began_s = time.monotonic()
        scenario.write_endpoints(lab, "local", {"n1": False, "n2": True, "n3": True})
        check_moves(lab, prefix, began_s, "n2", "n3")


def test_local_without_a_ready_endpoint_has_no_route(lab: Lab, porter: Porter) -> None:
    scenario.create_web(lab, "empty", nodes=("n1",), **LOCAL)
    [address] = lab.cluster.wait_ingress("empty")
    prefix = scenario.host_prefix(address)
    check_moves(lab, prefix, time.monotonic(), "n1")

    for nodes in ({"n1": False}, {}):
        began_s = time.monotonic()
        scenario.write_endpoints(lab, "empty", nodes)
        check_moves(lab, prefix, began_s)
        began_s = time.monotonic()
        scenario.write_endpoints(lab, "empty", {"n2": True})
        check_moves(lab, prefix, began_s, "n2")
    assert lab.cluster.wait_ingress("empty") == [address]


def test_cluster_without_a_ready_endpoint_has_no_route(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "nobody")
    began_s = time.monotonic()
    scenario.write_endpoints(lab, "nobody", {})
    check_moves(lab, scenario.host_prefix(address), began_s)


def test_an_endpoint_that_moves_takes_the_next_hop_along(lab: Lab, porter: Porter) -> None:
    labels = {"app": "mover"}
    lab.cluster.add_pod("n1", "mover-n1", labels)
    lab.cluster.create_service("mover", selector=labels, **LOCAL)
    lab.cluster.wait_endpoints("mover", ["n1"])
    [address] = lab.cluster.wait_ingress("mover")
    prefix = scenario.host_prefix(address)
    check_moves(lab, prefix, time.monotonic(), "n1")

    # As a rollout does it: the new pod is there before it is ready, and the old one goes when it is.
    lab.cluster.add_pod("n3", "mover-n3", labels, ready=False)
    lab.cluster.set_pod_ready("mover-n3", True)
    lab.cluster.delete_pod("mover-n1")
    lab.cluster.wait_endpoints("mover", ["n3"])
    check_moves(lab, prefix, time.monotonic(), "n3")

    scenario.wait_reachable(lab, [address])
    for router in lab.routers:
        assert router.client is not None
        assert scenario.curl(router.client, address, 10) == ["mover-n3"] * 10


def test_a_node_that_is_not_ready_is_no_next_hop_until_it_is_again(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "cluster-wide")
    prefix = scenario.host_prefix(address)

    with lab.watch({prefix: lab.next_hops("n1", "n2")}):
        began_s = time.monotonic()
        lab.cluster.set_node_ready("n3", False)
        check_moves(lab, prefix, began_s, "n1", "n2")
        began_s = time.monotonic()
        lab.cluster.set_node_ready("n3", True)
        check_moves(lab, prefix, began_s, "n1", "n2", "n3")


def test_a_deleted_node_is_no_next_hop_until_it_comes_back(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "node-deleted")
    prefix = scenario.host_prefix(address)

    with lab.watch({prefix: lab.next_hops("n1", "n2")}):
        began_s = time.monotonic()
        lab.cluster.delete_node_object("n3")
        check_moves(lab, prefix, began_s, "n1", "n2")
        began_s = time.monotonic()
        lab.cluster.restore_node("n3")
        check_moves(lab, prefix, began_s, "n1", "n2", "n3")
    scenario.check_reaches_all(lab, [address])
