"""Peers that are less than ideal: without ADD-PATH, and with a session that breaks while routes change."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.lab import programs, scenario
from tests.lab.lab import Lab
from tests.lab.namespaces import CommandFailed, Namespace
from tests.lab.porter import Porter
from tests.lab.routers import Router
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 10
MOVED_WITHIN_S = 2.0
DOWN_WITHIN_S = 5.0
BACK_WITHIN_S = 30.0
WALL = """
table inet wall {
  chain input { type filter hook input priority 0; ip saddr %s tcp dport 179 reject with tcp reset; }
  chain output { type filter hook output priority 0; ip daddr %s tcp dport 179 reject with tcp reset; }
}
"""


@pytest.fixture(scope="module")
def fleet(lab: Lab, porter: Porter) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


@contextlib.contextmanager
def broken_session(router: Router, porter: Porter) -> Iterator[None]:
    """A router's session with a speaker breaks, as if a firewall had been put between them, and stays down.

    Neither side says goodbye, so that the router keeps the routes for the graceful restart.
    """
    nft = programs.find("nft")
    router.namespace.run(nft, "-f", "-", stdin=WALL % (porter.address, porter.address))
    try:
        close_sockets(router.namespace, porter.address)
        close_sockets(porter.namespace, router.addresses.v4)
        eventually(
            lambda: porter.address not in router.established(), f"{router.name}: the session is down", DOWN_WITHIN_S
        )
        yield
    finally:
        router.namespace.run(nft, "delete", "table", "inet", "wall")


def close_sockets(namespace: Namespace, peer: str) -> None:
    """Abort every TCP connection with a peer."""
    with contextlib.suppress(CommandFailed):
        namespace.run("ss", "-K", "-t", "dst", peer)


@pytest.mark.parametrize("number", [0, 1], ids=["frr", "bird"])
def test_session_down_while_routes_change_leaves_no_ghost(lab: Lab, porter: Porter, fleet: Fleet, number: int) -> None:
    broken, whole = lab.routers[number], lab.routers[1 - number]
    [gone] = scenario.serve(lab, f"gone-{number}")
    [reused] = scenario.serve(lab, f"reused-{number}")
    # The pool gives its lowest free address: only this one is wanted to be given again.
    placeholder = f"placeholder-{number}"

    with lab.watch(fleet.expected), broken_session(broken, porter):
        scenario.delete_service(lab, f"gone-{number}")
        whole.kernel.wait_gone(scenario.host_prefix(gone), scenario.SETTLED_WITHIN_S)
        [held] = create_only(lab, placeholder)
        assert held == gone
        scenario.delete_service(lab, f"reused-{number}")
        whole.kernel.wait_gone(scenario.host_prefix(reused), scenario.SETTLED_WITHIN_S)
        [again] = create_only(lab, f"heir-{number}", nodes=("n2",), policy="Local")
        assert again == reused
        whole.kernel.wait_next_hops(scenario.host_prefix(reused), lab.next_hops("n2"), scenario.SETTLED_WITHIN_S)
        scenario.delete_service(lab, placeholder)
        whole.kernel.wait_gone(scenario.host_prefix(gone), scenario.SETTLED_WITHIN_S)
        [new] = create_only(lab, f"new-{number}", families=scenario.FAMILIES6)
    with lab.watch(fleet.expected):
        broken.wait_sessions({porter.address}, BACK_WITHIN_S)
        wanted = {
            scenario.host_prefix(gone): (),
            scenario.host_prefix(reused): lab.next_hops("n2"),
            scenario.host_prefix(new): lab.next_hops(family=6),
            **fleet.expected,
        }
        scenario.wait_routed(lab, wanted, scenario.SETTLED_WITHIN_S)
        # Both routers end with the same table, so that nothing else was left over or forgotten either.
        eventually(lambda: bgp_routes(broken) == bgp_routes(whole), "both routers agree", scenario.SETTLED_WITHIN_S)


def create_only(lab: Lab, name: str, **options: object) -> list[str]:
    """Create a Service and wait for its address, not for its routes."""
    scenario.create_web(lab, name, **options)  # type: ignore[arg-type]
    return lab.cluster.wait_ingress(name)


def bgp_routes(router: Router) -> dict[str, frozenset[str]]:
    """What BGP put into a router's kernel."""
    table = router.kernel.look()
    return {prefix: table[prefix] for prefix in router.bgp_prefixes() if prefix in table}


@pytest.fixture
def narrow(lab: Lab, porter: Porter) -> Iterator[Lab]:
    """Both routers take no ADD-PATH for the length of a test."""
    for router in lab.routers:
        router.set_add_path(False)
    scenario.wait_sessions(lab, porter, timeout_s=BACK_WITHIN_S)
    yield lab
    for router in lab.routers:
        router.set_add_path(True)
    scenario.wait_sessions(lab, porter, timeout_s=BACK_WITHIN_S)


def test_without_add_path_one_next_hop_is_replaced_in_place(narrow: Lab, porter: Porter, fleet: Fleet) -> None:
    lab = narrow
    [address] = create_only(lab, "narrow")
    prefix = scenario.host_prefix(address)
    for router in lab.routers:
        eventually(lambda router=router: len(router.kernel.next_hops(prefix)) == 1, "one next hop", 5.0)  # type: ignore[misc]
    chosen = {router.name: router.kernel.next_hops(prefix) for router in lab.routers}
    for router in lab.routers:
        said = scenario.wait_condition(
            lab,
            "BgpPeer",
            router.name,
            lambda one: "NoAddPath" in (one["type"], one.get("reason")),
            "it has no ADD-PATH",
        )
        assert said["message"]

    for node in sorted({name for hops in chosen.values() for name in nodes_of(lab, hops)}):
        before = {kernel.name: len(kernel.events_of(prefix)) for kernel in lab.kernels}
        began_s = time.monotonic()
        lab.cluster.set_node_ready(node, False)
        for kernel in lab.kernels:
            check_replaced(lab, kernel.name, prefix, node, began_s + MOVED_WITHIN_S)
        lab.cluster.set_node_ready(node, True)
        for kernel in lab.kernels:
            told = kernel.events_of(prefix)[before[kernel.name] :]
            assert all(event.next_hops for event in told), f"without a route: {[str(event) for event in told]}"
    for kernel in lab.kernels:
        assert len(kernel.next_hops(prefix)) == 1


def nodes_of(lab: Lab, hops: frozenset[str]) -> list[str]:
    """The names of the nodes behind next hops."""
    return [name for name in lab.web_nodes if lab.next_hops(name) <= hops]


def check_replaced(lab: Lab, router: str, prefix: str, node: str, until_s: float) -> None:
    """A router's only next hop becomes, or stays, another node than this one."""
    [kernel] = [kernel for kernel in lab.kernels if kernel.name == router]
    others = lab.next_hops() - lab.next_hops(node)
    eventually(
        lambda: len(kernel.next_hops(prefix)) == 1 and kernel.next_hops(prefix) <= others,
        f"{router}: {prefix} goes by way of another node than {node}",
        max(0.001, until_s - time.monotonic()),
    )


def test_local_without_add_path_follows_its_endpoint(narrow: Lab, porter: Porter) -> None:
    lab = narrow
    [address] = create_only(lab, "narrow-local", nodes=("n1",), policy="Local")
    prefix = scenario.host_prefix(address)
    scenario.wait_routed(lab, {prefix: lab.next_hops("n1")}, scenario.SETTLED_WITHIN_S)
    for node in ("n3", "n2"):
        before = {kernel.name: len(kernel.events_of(prefix)) for kernel in lab.kernels}
        scenario.write_endpoints(lab, "narrow-local", {node: True})
        scenario.wait_routed(lab, {prefix: lab.next_hops(node)}, MOVED_WITHIN_S)
        for kernel in lab.kernels:
            told = kernel.events_of(prefix)[before[kernel.name] :]
            assert all(event.next_hops for event in told), f"without a route: {[str(event) for event in told]}"


def test_add_path_again_brings_all_next_hops(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    scenario.wait_routed(lab, fleet.expected, scenario.SETTLED_WITHIN_S)
    for router in lab.routers:
        lab.client.wait(
            "BgpPeer",
            router.name,
            lambda each: (
                not [
                    one
                    for one in scenario.conditions_of(each)
                    if "NoAddPath" in (one["type"], one.get("reason")) and one["status"] == "True"
                ]
            ),
            "nothing is said of ADD-PATH any more",
        )
