"""Topology node: an agent on each node has a session of its own and announces that node, and nothing else."""

import time
from collections.abc import Iterator

import pytest

from tests.lab import scenario
from tests.lab.agents import Agent, start_agents
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.routers import Router
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 10
SESSIONS_WITHIN_S = 30.0
MOVED_WITHIN_S = 2.0
STAYS_S = 2.0

Agents = dict[str, Agent]


@pytest.fixture(scope="module")
def up(lab: Lab) -> Iterator[Porter]:
    """A central speaker with its controller, for peers that take none of its routes."""
    scenario.configure(lab, topology="node")
    yield lab.porter().start()
    lab.reset()


@pytest.fixture(scope="module")
def agents(lab: Lab, up: Porter) -> Iterator[Agents]:
    """An agent on each node, with a session to both routers."""
    made = start_agents(lab)
    for router in lab.routers:
        router.wait_sessions(lab.next_hops(), SESSIONS_WITHIN_S)
    yield made
    for agent in made.values():
        agent.end()


@pytest.fixture(scope="module")
def fleet(lab: Lab, agents: Agents) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


def announced(router: Router, prefix: str) -> dict[str, str]:
    """The next hop of a prefix by the neighbour that announces it."""
    paths = router.rib(prefix)
    assert len({neighbour for neighbour, _ in paths}) == len(paths), f"{router.name}: two paths of one agent: {paths}"
    return dict(paths)


def own(lab: Lab, *nodes: str, family: int = 4) -> dict[str, str]:
    """What agents announce of a prefix: over their IPv4 sessions the node's own address of the family."""
    every = [lab.cluster.nodes[name].addresses for name in nodes or lab.web_nodes]
    return {one.v4: one.v4 if family == 4 else one.v6 for one in every}


def test_each_agent_announces_its_own_node_and_all_pods_answer(lab: Lab, fleet: Fleet) -> None:
    addresses = scenario.serve(lab, "both", families=scenario.DUAL_STACK)
    for router in lab.routers:
        assert router.established() == lab.next_hops()
        for address in addresses:
            family = 6 if ":" in address else 4
            assert announced(router, scenario.host_prefix(address)) == own(lab, family=family)
    scenario.check_reaches_all(lab, addresses)


def test_local_is_announced_by_the_right_nodes_only(lab: Lab, fleet: Fleet) -> None:
    [address] = scenario.serve(lab, "local", nodes=("n1", "n2"), policy="Local", hops=("n1", "n2"))
    prefix = scenario.host_prefix(address)
    for router in lab.routers:
        assert announced(router, prefix) == own(lab, "n1", "n2")
    scenario.write_endpoints(lab, "local", {"n2": True, "n3": True})
    scenario.wait_routed(lab, {prefix: lab.next_hops("n2", "n3")}, MOVED_WITHIN_S)
    for router in lab.routers:
        assert announced(router, prefix) == own(lab, "n2", "n3")
    scenario.write_endpoints(lab, "local", {"n2": False})
    for kernel in lab.kernels:
        kernel.wait_gone(prefix, MOVED_WITHIN_S)


@pytest.mark.parametrize("killed", [("speaker",), ("exabgp",), ("speaker", "exabgp")], ids="-".join)
def test_a_killed_agent_takes_no_route_with_it(lab: Lab, agents: Agents, fleet: Fleet, killed: tuple[str, ...]) -> None:
    agent = agents["n2"]
    with fleet.undisturbed():
        for part in killed:
            getattr(agent, part).kill()
        # What changes meanwhile is announced by the others.
        name = f"while-{'-'.join(killed)}-is-away"
        scenario.create_web(lab, name)
        [address] = lab.cluster.wait_ingress(name)
        prefix = scenario.host_prefix(address)
        scenario.wait_routed(lab, {prefix: lab.next_hops("n1", "n3")}, scenario.SETTLED_WITHIN_S)
        time.sleep(STAYS_S)
        agent.start()
        for router in lab.routers:
            router.wait_sessions(lab.next_hops(), SESSIONS_WITHIN_S)
        scenario.wait_routed(lab, {prefix: lab.next_hops()}, scenario.SETTLED_WITHIN_S)


def test_a_peers_node_selector_chooses_its_agents_and_leaves_the_other_peer_alone(
    lab: Lab, agents: Agents, fleet: Fleet
) -> None:
    chosen, whole = lab.routers
    selector = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n2"]}]}
    others = [(prefix, hops) for prefix, hops in fleet.expected.items() if ":" not in prefix]
    kept = {prefix: hops & lab.next_hops("n1", "n3") for prefix, hops in others}
    with lab.watch(kept):
        lab.client.patch("BgpPeer", chosen.name, {"spec": {"nodeSelector": selector}})
        chosen.wait_sessions(lab.next_hops("n1", "n3"), SESSIONS_WITHIN_S)
        for prefix, hops in kept.items():
            chosen.kernel.wait_next_hops(prefix, hops, scenario.SETTLED_WITHIN_S)
        assert whole.established() == lab.next_hops()
        lab.cluster.label_node("n2", {"kubernetes.io/hostname": "n9"})
        chosen.wait_sessions(lab.next_hops(), SESSIONS_WITHIN_S)
        lab.cluster.label_node("n2", {"kubernetes.io/hostname": "n2"})
        chosen.wait_sessions(lab.next_hops("n1", "n3"), SESSIONS_WITHIN_S)
        lab.client.patch("BgpPeer", chosen.name, {"spec": {"nodeSelector": None}})
        chosen.wait_sessions(lab.next_hops(), SESSIONS_WITHIN_S)
        scenario.wait_routed(lab, fleet.expected, scenario.SETTLED_WITHIN_S)


def test_a_peer_says_otherwise_than_the_conf(lab: Lab, up: Porter, agents: Agents, fleet: Fleet) -> None:
    central, other = lab.routers
    lab.client.patch("BgpConf", "default", {"spec": {"topology": "node"}})
    lab.client.patch("BgpPeer", other.name, {"spec": {"topology": None}})
    lab.client.patch("BgpPeer", central.name, {"spec": {"topology": "central"}})
    central.wait_sessions({up.address}, SESSIONS_WITHIN_S)
    scenario.wait_routed(lab, fleet.expected, scenario.SETTLED_WITHIN_S)
    prefix = next(iter(fleet.expected))
    assert central.rib(prefix) == sorted((up.address, hop) for hop in lab.next_hops())
    assert announced(other, prefix) == own(lab)
    assert other.established() == lab.next_hops()
    scenario.wait_condition(
        lab,
        "BgpPeer",
        central.name,
        lambda one: (one["type"], one["status"]) == ("Ready", "True") and up.name in one["message"],
        f"it is ready at {up.name}",
    )
    eventually(
        lambda: set(lab.client.get("BgpPeer", other.name)["status"]["nodesPeerStatus"]) == set(lab.web_nodes),
        "the status tells of each node",
        scenario.SETTLED_WITHIN_S,
    )
