"""A change touches only what it is about: other sessions stay up, and of other routes nothing is sent again."""

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.lab import manifests, scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.routers import Router
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 20
THIRD = "10.77.0.250"
"""Nobody answers there."""
COMMUNITY = "64500:77"


@pytest.fixture(scope="module")
def fleet(lab: Lab, porter: Porter) -> Fleet:
    """Services that no change is about."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


def session(router: Router, lab: Lab, porter: Porter) -> object:
    """What tells one session from the next at a router: FRR counts them, BIRD says since when it is up."""
    if router is lab.frr:
        told = lab.frr.vtysh(f"show bgp neighbors {porter.address} json")
        return [re.search(rf'"{word}":\s*(\d+)', told)[1] for word in ("connectionsEstablished", "connectionsDropped")]  # type: ignore[index]
    return re.findall(r"^(speaker4_\S*)\s+BGP\s+\S+\s+(\S+)\s+(\S+)", lab.bird.birdc("show protocols"), re.MULTILINE)


def updates(router: Router, lab: Lab, porter: Porter) -> object:
    """How much a router was told so far over the session: updates at FRR, routes and withdrawals at BIRD."""
    if router is lab.frr:
        told = lab.frr.vtysh(f"show bgp neighbors {porter.address} json")
        return re.search(r'"updatesRecv":\s*(\d+)', told)[1]  # type: ignore[index]
    return re.findall(r"Import (?:updates|withdraws):\s+(\d+)", lab.bird.birdc("show protocols all"))


@contextlib.contextmanager
def untouched(lab: Lab, porter: Porter, fleet: Fleet, *untold: Router) -> Iterator[None]:
    """No session ends, no route of the fleet moves, and these routers are told nothing, for the length of a block."""
    sessions = {router.name: session(router, lab, porter) for router in lab.routers}
    told = {router.name: updates(router, lab, porter) for router in untold}
    events = {
        (kernel.name, prefix): len(kernel.events_of(prefix)) for kernel in lab.kernels for prefix in fleet.expected
    }
    with lab.watch(fleet.expected):
        yield
    assert {router.name: session(router, lab, porter) for router in lab.routers} == sessions
    assert {router.name: updates(router, lab, porter) for router in untold} == told
    moved = {
        (kernel.name, prefix)
        for kernel in lab.kernels
        for prefix in fleet.expected
        if len(kernel.events_of(prefix)) != events[kernel.name, prefix]
    }
    assert not moved, f"routes that moved: {sorted(moved)}"


def wait_engine(porter: Porter, text: str, *, there: bool) -> None:
    """Wait until ExaBGP's configuration has a text, or has it no more."""
    configuration = porter.state_dir / "exabgp.conf"
    eventually(lambda: (text in configuration.read_text()) == there, f"{text}: {there}", scenario.SETTLED_WITHIN_S)


def test_a_peer_comes_changes_its_password_and_goes(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    with untouched(lab, porter, fleet):
        lab.client.create(manifests.bgp_peer("third", THIRD, 64514))
        wait_engine(porter, THIRD, there=True)
        # Only an ExaBGP that has taken the neighbour looks for it.
        eventually(lambda: porter.namespace.run("ip", "neigh", "show", THIRD), "ExaBGP tries the third peer", 20.0)
        scenario.serve(lab, "after-third-came")
        conf = {"neighborAddress": THIRD, "peerAs": 64514, "authPassword": "wagtail"}
        lab.client.patch("BgpPeer", "third", {"spec": {"conf": conf}})
        wait_engine(porter, "wagtail", there=True)
        scenario.serve(lab, "after-its-password")
        lab.client.delete("BgpPeer", "third")
        wait_engine(porter, THIRD, there=False)
        scenario.serve(lab, "after-third-went")


def test_a_changed_pool_tells_no_router_anything(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    with untouched(lab, porter, fleet, *lab.routers):
        lab.client.patch("Eip", "pool", {"metadata": {"labels": {"tier": "public"}}})
        lab.client.create(manifests.eip("other", address="203.0.113.0/28", default=False))
        lab.client.wait("Eip", "other", scenario.conditions_of, "it has conditions")


def test_an_advertisement_touches_its_own_routes_at_its_own_peer(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    annotation = {"eip.openelb.kubesphere.io/v1alpha2": "other"}
    began = scenario.create_web(lab, "elsewhere", annotations=annotation)
    assert began
    [address] = lab.cluster.wait_ingress("elsewhere")
    prefix = scenario.host_prefix(address)
    scenario.wait_routed(lab, {prefix: lab.next_hops()}, scenario.SETTLED_WITHIN_S)
    kind = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement"}
    with untouched(lab, porter, fleet, *lab.routers):
        # What names nothing stands for everything: the step from none to the first takes nothing away.
        lab.client.create(kind | {"metadata": {"name": "every"}, "spec": {}})
        lab.client.wait("BgpAdvertisement", "every", scenario.conditions_of, "it has conditions")
    with untouched(lab, porter, fleet, lab.bird), lab.watch({prefix: lab.next_hops()}):
        spec = {"eips": ["other"], "peers": ["frr"], "communities": [COMMUNITY]}
        lab.client.create(kind | {"metadata": {"name": "marked"}, "spec": spec})
        eventually(
            lambda: COMMUNITY in lab.frr.vtysh(f"show bgp ipv4 unicast {prefix} json"),
            "FRR has the community",
            scenario.SETTLED_WITHIN_S,
        )
    assert address not in {held for addresses in fleet.addresses.values() for held in addresses}
    assert "64500,77" not in lab.bird.birdc(f"show route for {prefix} all")
