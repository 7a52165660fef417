"""From the journal's facts to real routers: what an advertisement says is what they receive."""

from __future__ import annotations

from typing import Any

import pytest

from porter.app.speaker.adj_rib import AdjRibsOut
from porter.events import observed
from porter.events.routed import PeerUnsynced, RoutesWithdrawn
from porter.model.address import Address
from porter.model.bgp import PeerKey, SpeakerName
from porter.model.reasons import Problem, Reason
from porter.model.selector import Selector
from porter.projections.adj_rib_out import exported_from
from tests.integration.bgp.lab import ADDRESS, LOCAL_AS, PEER_AS, Received, Router, settings, until
from tests.unit.projections.story import Story, endpoints, node, pool, service

pytestmark = pytest.mark.timeout(120)

HOPS = ("10.0.0.1", "10.0.0.2")
HOPS_V6 = ("fd00::1", "fd00::2")
DUAL = {"families": ("IPv4", "IPv6"), "family_policy": "RequireDualStack"}
LOCAL, LOCAL_V6 = "192.0.2.2/32", "2001:db8::2/128"
EDGE = Selector((("tier", "edge"),))


def advertisement(name: str = "a", created_ms: int = 1, **fields: Any) -> observed.AdvertisementObserved:
    return observed.AdvertisementObserved(name, name, "1", 1, created_ms)._replace(**fields)


class Cluster:
    """A journal of two nodes and three Services (web-0, web-1 and the Local one), followed as a speaker does."""

    def __init__(self, lab: Any, *routers: Router, **changes: Any) -> None:
        self.lab, self.routers, self.changes = lab, {router.name: router for router in routers}, changes
        self.ribs = AdjRibsOut(SpeakerName(lab.speaker.name))
        self.exported: object = None
        peer_as = changes.get("peer_as", PEER_AS)
        self.story = self.facts(routers, peer_as)
        self.story.settles()

    def facts(self, routers: tuple[Router, ...], peer_as: int) -> Story:
        return Story(
            node(1, labels=(("tier", "edge"),)),
            node(2),
            pool("p", "192.0.2.0-192.0.2.255", "2001:db8::-2001:db8::ff", default=True),
            observed.ConfObserved("default", "c", "1", 1, LOCAL_AS),
            *(observed.PeerObserved(one.name, one.name, "1", 1, Address(one.address), peer_as) for one in routers),
            *(service(f"web-{number}", created_ms=number, **DUAL) for number in range(2)),
            service("local", created_ms=9, traffic_policy="Local", **DUAL),
            *(endpoints(name, "n2") for name in ("web-0", "web-1", "local")),
        )

    async def start(self) -> None:
        speaker = self.lab.speaker
        await speaker.publisher.configure(
            [settings(name, router.address, **self.changes) for name, router in self.routers.items()]
        )
        for name in self.routers:
            speaker.want(name, {})
        await speaker.live(*self.routers)
        for name in self.routers:
            self.ribs.negotiated(PeerKey(name), speaker.view(name).negotiated)
        self.says()

    def says(self, *payloads: Any) -> None:
        self.story.says(*payloads)
        self.story.settles()
        prefixes, exported = self.story.state.loc_rib.take_changed(), exported_from(self.story.state)
        if exported != self.exported:
            desired = self.ribs.whole(self.story.state, certain=True)
        else:
            desired = self.ribs.changed(self.story.state, prefixes, certain=True)
        self.exported = exported
        for each in desired:
            self.lab.speaker.want(each.peer, dict(each.routes), each.changed)

    async def received(self, wanted: dict[str, tuple[tuple[str, ...], Received]]) -> None:
        """Each router has exactly these prefixes, each by these next hops and with these attributes."""
        for router in self.routers.values():
            for prefix, (hops, attributes) in wanted.items():
                await router.carries(prefix, dict.fromkeys(hops, attributes))
            await until(lambda router=router: {key.prefix for key in router.table()} == set(wanted), "nothing else")

    def withdrawn(self) -> set[str]:
        events = self.lab.speaker.events
        return {path.prefix for event in events if isinstance(event, RoutesWithdrawn) for path in event.paths}


def both(number: int) -> dict[str, tuple[str, ...]]:
    return {f"192.0.2.{number}/32": HOPS, f"2001:db8::{number or ''}/128": HOPS_V6}


def all_services() -> dict[str, tuple[str, ...]]:
    return both(0) | both(1) | {LOCAL: HOPS[1:], LOCAL_V6: HOPS_V6[1:]}


def with_attributes(routes: dict[str, tuple[str, ...]], attributes: Received) -> dict[str, Any]:
    return {prefix: (hops, attributes) for prefix, hops in routes.items()}


def external(kind: str, **fields: Any) -> Received:
    """What an external peer has of a path; BIRD and FRR show their own default for what is not carried."""
    plain = Received(as_path=(LOCAL_AS,))
    return plain._replace(**({"local_pref": 100} if kind == "bird" else {}) | fields)


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_an_external_router_receives_what_the_advertisements_say(started, kind):
    router = getattr(started, kind)(kind, ADDRESS(2))
    cluster = Cluster(started, router)
    await cluster.start()
    await cluster.received(with_attributes(all_services(), external(kind)))
    rich = advertisement(
        communities=("64500:20", "no-export", "graceful-shutdown"),
        large_communities=("64500:1:2",),
        local_pref=300,
        med=7,
        as_path_prepend=2,
    )
    cluster.says(rich)
    wanted = external(
        kind,
        as_path=(LOCAL_AS,) * 3,
        med=7,
        communities=("64500:20", "65535:0", "65535:65281"),
        large_communities=("64500:1:2",),
    )
    if kind == "frr":
        # It honours GRACEFUL_SHUTDOWN unasked (RFC 8326, section 4.1).
        wanted = wanted._replace(local_pref=0)
    await cluster.received(with_attributes(all_services(), wanted))
    # An edit announces in place, another advertisement adds its communities, and both together withdraw nothing.
    cluster.says(rich._replace(med=9), advertisement("b", 2, communities=("64500:21",), as_path_prepend=5))
    wanted = wanted._replace(med=9, communities=("64500:20", "64500:21", "65535:0", "65535:65281"))
    await cluster.received(with_attributes(all_services(), wanted))
    assert cluster.withdrawn() == set()
    # A malformed edit changes nothing; a selection of nodes takes only the others' paths away.
    broken = advertisement("b", 2, problems=(Problem(Reason.FIELD_INVALID, "spec.med", "is wrong"),))
    cluster.says(broken, rich._replace(med=11))
    await cluster.received(with_attributes(all_services(), wanted._replace(med=11)))
    cluster.says(observed.AdvertisementGone("b"), advertisement(node_selectors=(EDGE,)))
    first = {prefix: hops[:1] for prefix, hops in (both(0) | both(1)).items()}
    await cluster.received(with_attributes(first, external(kind)))
    assert not [event for event in started.speaker.events if isinstance(event, PeerUnsynced)]


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_an_internal_router_receives_the_local_preference_and_no_prepending(started, kind):
    router = getattr(started, kind)(kind, ADDRESS(2), own_as=LOCAL_AS)
    cluster = Cluster(started, router, peer_as=LOCAL_AS)
    await cluster.start()
    await cluster.received(with_attributes(all_services(), Received(local_pref=100)))
    cluster.says(advertisement(local_pref=300, med=0, as_path_prepend=2, communities=("64500:20",)))
    wanted = Received((), 0, 300, ("64500:20",))
    await cluster.received(with_attributes(all_services(), wanted))
    assert cluster.withdrawn() == set()


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_an_aggregate_comes_with_its_first_member_and_goes_with_the_last(started, kind):
    router = getattr(started, kind)(kind, ADDRESS(2))
    cluster = Cluster(started, router)
    await cluster.start()
    await cluster.received(with_attributes(all_services(), external(kind)))
    aggregated = advertisement(aggregation_length=24, aggregation_length_v6=120, communities=("64500:20",))
    cluster.says(aggregated)
    attributes = external(kind, communities=("64500:20",))
    aggregates = {"192.0.2.0/24": HOPS, "2001:db8::/120": HOPS_V6}
    local = {LOCAL: HOPS[1:], LOCAL_V6: HOPS_V6[1:]}
    await cluster.received(with_attributes(aggregates | local, attributes))
    assert cluster.withdrawn() == set(both(0) | both(1))
    cluster.says(observed.ServiceGone("web-0", "shop", "web-0", "ServiceDeleted"))
    cluster.says(service("web-2", created_ms=12, **DUAL), endpoints("web-2", "n1"))
    await cluster.received(with_attributes(aggregates | local, attributes))
    cluster.says(endpoints("web-1"))
    await cluster.received(with_attributes(aggregates | local, attributes))
    cluster.says(endpoints("web-2"))
    await cluster.received(with_attributes(local, attributes))
    cluster.says(endpoints("web-1", "n1"))
    await cluster.received(with_attributes(aggregates | local, attributes))
    # Another length replaces the aggregate; what is wider than the pool is refused, and the own routes return.
    cluster.says(aggregated._replace(aggregation_length=25))
    await cluster.received(with_attributes({"192.0.2.0/25": HOPS, "2001:db8::/120": HOPS_V6} | local, attributes))
    cluster.says(aggregated._replace(aggregation_length=23, aggregation_length_v6=0))
    await cluster.received(with_attributes(both(1) | local, attributes))


async def test_two_routers_receive_what_is_theirs(started):
    one, other = started.bird("one", ADDRESS(2)), started.bird("other", ADDRESS(3))
    cluster = Cluster(started, one, other)
    await cluster.start()
    cluster.says(
        advertisement("a", peers=("one",), communities=("64500:1",)),
        advertisement("b", neighbors=(Address(other.address),), service_selector=(Selector((("app", "web"),)),), med=3),
        service("web-1", created_ms=1, labels=(("app", "web"),), **DUAL),
    )
    cluster.routers = {"one": one}
    await cluster.received(with_attributes(all_services(), external("bird", communities=("64500:1",))))
    cluster.routers = {"other": other}
    await cluster.received(with_attributes(both(1), external("bird", med=3)))
    cluster.says(service("web-1", created_ms=1, **DUAL), service("web-0", labels=(("app", "web"),), **DUAL))
    await cluster.received(with_attributes(both(0), external("bird", med=3)))
