"""IPv4 routes by IPv6 next hops (RFC 8950), from the journal's facts to real routers, with both engines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from porter.events import decided, observed
from porter.events.routed import PeerUnsynced, RoutesAnnounced, SessionStateChanged
from porter.model.address import Address
from porter.model.bgp import PeerKey
from tests.integration.bgp.lab import ADDRESS, ADDRESS6, LOCAL_AS, PEER_AS, Router, settings, until
from tests.integration.bgp.test_advertisements import Cluster
from tests.unit.projections.story import Story, endpoints, node, pool, service

pytestmark = pytest.mark.timeout(180)

PREFIX, PREFIX_V6 = "192.0.2.0/32", "2001:db8::/128"
OLD_HOPS = {"10.0.0.1"}
"""Of the only node with an IPv4 address."""
NEW_HOPS = {"fd00::1", "fd00::3"}
"""Of the node with both, and of the one without an IPv4 address."""


class Fabric(Cluster):
    """A node of both families, one of IPv6 alone, and a Service with an address of each."""

    def facts(self, routers: tuple[Router, ...], peer_as: int) -> Story:
        return Story(
            node(1),
            node(3, addresses=("fd00::3",)),
            decided.PathIdentifierAssigned("n3", 1),
            pool("p", "192.0.2.0-192.0.2.255", "2001:db8::-2001:db8::ff", default=True),
            observed.ConfObserved("default", "c", "1", 1, LOCAL_AS),
            *(self.peer(one) for one in routers),
            service("web", families=("IPv4", "IPv6"), family_policy="RequireDualStack"),
            endpoints("web", "n1"),
        )

    def peer(self, router: Router) -> observed.PeerObserved:
        address = Address(router.address)
        return observed.PeerObserved(router.name, router.name, "1", 1, address, PEER_AS, extended_next_hop=True)

    def follow(self) -> None:
        """What a session agreed on decides what is desired, as in the speaker."""
        for name in self.routers:
            negotiated = self.lab.speaker.view(name).negotiated
            if negotiated is not None:
                self.ribs.negotiated(PeerKey(name), negotiated)
        self.exported = None
        self.says()


def hops_of(router: Router, prefix: str) -> set[str]:
    return {hop for key, hop in router.table().items() if key.prefix == prefix}


async def received(router: Router, hops: set[str]) -> None:
    await until(lambda: hops_of(router, PREFIX) == hops, f"{router.name} has {PREFIX} by {hops}")
    await until(lambda: hops_of(router, PREFIX_V6) == NEW_HOPS, f"{router.name} has {PREFIX_V6}")


async def served(lab: Any, router: Router) -> Fabric:
    fabric = Fabric(lab, router, extended_next_hop=True)
    await fabric.start()
    return fabric


@pytest.fixture
def taken(engine_lab, kind):
    """A router over IPv6 that takes IPv6 next hops; GoBGP says so unasked."""
    options = {} if kind == "gobgp" else {"extended_next_hop": True}
    return getattr(engine_lab, kind)("tor", ADDRESS6(2), **options)


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_a_node_without_an_ipv4_address_is_a_next_hop_of_ipv4_routes(engine_lab, taken):
    await served(engine_lab, taken)
    await received(taken, NEW_HOPS)
    speaker = engine_lab.speaker
    assert speaker.view("tor").negotiated.extended_next_hop
    # A speaker that comes new finds the session and its agreement as they are: nothing is sent again.
    await speaker.crash()
    before = len(speaker.events)
    speaker.start()
    await speaker.publisher.configure([settings("tor", taken.address, extended_next_hop=True)])
    await speaker.live("tor")
    assert speaker.view("tor").negotiated.extended_next_hop
    assert not [one for one in speaker.events[before:] if isinstance(one, RoutesAnnounced | PeerUnsynced)]
    assert speaker.view("tor").flaps == 0
    await received(taken, NEW_HOPS)


@pytest.mark.parametrize("kind", ["bird", "frr"])
async def test_a_router_that_does_not_agree_is_given_ipv4_next_hops_alone(engine_lab, kind):
    # FRR offers it over IPv6 sessions only.
    address, options = (ADDRESS(2), {"extended_next_hop": True}) if kind == "frr" else (ADDRESS6(2), {})
    router = getattr(engine_lab, kind)("tor", address, **options)
    await served(engine_lab, router)
    await received(router, OLD_HOPS)
    view = engine_lab.speaker.view("tor")
    assert not view.negotiated.extended_next_hop
    assert view.flaps == 0


@pytest.mark.parametrize("kind", ["bird", "frr"])
async def test_a_router_that_agrees_no_more_is_given_ipv4_next_hops_again(engine_lab, taken, kind):
    """What the engine brings back by itself must not end the next session over and over."""
    fabric = await served(engine_lab, taken)
    await received(taken, NEW_HOPS)
    speaker, told = engine_lab.speaker, len(engine_lab.speaker.events)
    if kind == "frr":
        words = f"no neighbor {taken.speaker} capability extended-nexthop"
        taken.vtysh("configure terminal", f"router bgp {PEER_AS}", words)
        taken.vtysh(f"clear bgp {taken.speaker}")
    else:
        configuration = engine_lab.directory / "tor.conf"
        configuration.write_text(configuration.read_text().replace("extended next hop on;", ""))
        taken.command("configure")

    def agreed_anew() -> bool:
        events = [one for one in speaker.events[told:] if isinstance(one, SessionStateChanged)]
        return any(one.state == "Established" and not one.extended_next_hop for one in events)

    def fell_back() -> bool:
        fabric.follow()
        return speaker.view("tor").sync == "LIVE" and hops_of(taken, PREFIX) == OLD_HOPS

    await until(agreed_anew, "a session without it", 60)
    await until(fell_back, "IPv4 next hops alone", 60)
    await received(taken, OLD_HOPS)
    flaps = speaker.view("tor").flaps
    await asyncio.sleep(3)
    assert speaker.view("tor").flaps == flaps, "the session stays up"
    assert flaps < 10
