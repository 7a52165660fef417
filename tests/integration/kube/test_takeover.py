"""A new leader over a real API server whose watches lag behind what the former leader journaled."""

import asyncio
import socket
import time
from contextlib import asynccontextmanager

import pytest

from porter.allocator.withdrawals import Rule
from porter.events.decided import AddressReleased
from porter.events.observed import EndpointsObserved, NodeGone, PoolGone, ServiceGone
from porter.kube import reflector
from porter.kube.client import KEEPALIVE_IDLE_S, KEEPALIVE_S, KubeClient, _socket
from porter.kube.source import KubeSource
from porter.ports import FactKey
from tests.integration.kube.control_plane import CRDS
from tests.integration.kube.helpers import eventually, running, until
from tests.unit.app.leading import World

CRD_WITHIN_S = 60.0
"""A kind that comes back is looked for again after a while."""
SOON_S = 10.0
"""Far below the 150 s after which a silent watch is given up."""


class Stalling(KubeClient):
    """Watches that say nothing more from `stall` on; with `later` neither do those that are opened later."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._flowing = asyncio.Event()
        self._flowing.set()

    def stall(self, *, later):
        self._flowing.clear()
        if not later:
            self._flowing = asyncio.Event()
            self._flowing.set()

    @asynccontextmanager
    async def stream(self, path, query, idle_s):
        async with super().stream(path, query, idle_s) as content:
            yield _Stalling(content, self._flowing)


class _Stalling:
    def __init__(self, content, flowing):
        self._content = content
        self._flowing = flowing

    async def iter_any(self):
        async for chunk in self._content.iter_any():
            await self._flowing.wait()
            yield chunk


@pytest.fixture
async def stalling(control_plane):
    client = await Stalling.connect(control_plane.kubeconfig)
    yield client
    await client.close()


async def of_the_story(api):
    """One Service with an address and a route, by objects that are made now."""
    await api.eip(api.namespace, address="198.51.100.0/28", namespaces=[api.namespace])
    await api.service()
    name = f"{api.namespace}-n1"
    await api.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    ready["addresses"] = [{"type": "InternalIP", "address": "192.0.2.11"}]
    await api.patch("nodes", name, {"status": ready}, "/status")
    await api.create(
        "endpointslices",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": name}],
        },
    )


def routed(api, leading):
    addresses = {str(one) for one in leading.state.pools.addresses_of(_uid(api, leading))}
    return {f"{address}/32" for address in addresses} & set(leading.state.loc_rib.routes)


def _uid(api, leading):
    return leading.state.inventory.service_uids.get(f"{api.namespace}/web", "")


async def test_a_leader_whose_watches_lag_takes_nothing_for_gone(api, source, stalling):
    lagging = KubeSource(stalling)
    world = World(Rule())
    async with running(lagging):
        stalling.stall(later=True)
        await of_the_story(api)
        world.objects = source
        async with world.leader() as former:
            await world.until(lambda: routed(api, former))
            before = routed(api, former)
        assert api.key() not in lagging.facts
        world.objects = lagging
        async with world.leader() as leading:
            assert routed(api, leading) == before
            await api.delete("services", "web")
            # What the former leader journaled is settled; what comes after it comes by the watch, however late.
            assert api.key() in lagging.facts
    gone = await world.events(ServiceGone, NodeGone, PoolGone, AddressReleased)
    nobody = EndpointsObserved(api.namespace, "web")
    assert gone == []
    assert nobody not in await world.events(EndpointsObserved)


async def test_a_deletion_that_a_lagging_watch_does_not_show_is_found_by_a_takeover(api, source, stalling):
    await of_the_story(api)
    lagging = KubeSource(stalling)
    world = World(Rule())
    async with running(lagging):
        stalling.stall(later=True)
        world.objects = source
        async with world.leader() as former:
            await world.until(lambda: routed(api, former))
            await api.delete("services", "web")
            await world.until(lambda: not former.state.pools.addresses_of(_uid(api, former)) and not _uid(api, former))
        count = len(await world.commits())
        assert api.key() in lagging.facts
        world.objects = lagging
        async with world.leader() as leading:
            assert not _uid(api, leading)
    later = [event.payload for commit in (await world.commits())[count:] for event in commit.events]
    assert not [one for one in later if getattr(one, "name", "") == "web"]


async def test_a_watch_whose_connection_died_goes_on_by_another_when_it_is_refreshed(api, stalling):
    source = KubeSource(stalling)
    async with running(source):
        await api.service("before")
        await until(source, lambda: api.key("before") in source.facts)
        stalling.stall(later=False)
        await api.service("after")
        await api.delete("services", "before")
        began_s = time.monotonic()
        await source.refresh()
        assert source.synced, "a renewed watch needs no listing"
        await until(source, lambda: api.key("after") in source.facts and api.key("before") not in source.facts)
        assert time.monotonic() - began_s < SOON_S
        await eventually(lambda: set(source.parts().values()) == {"synced"})


async def test_a_relist_that_comes_during_a_listing_begins_it_anew(api, client):
    source = KubeSource(client, page_items=1)
    for number in range(4):
        await api.service(f"s{number}")
    async with running(source, synced=False):
        source.relist(("Service", "Peer"))
        await asyncio.sleep(0)
        source.relist(("Service",))
        await until(source, lambda: source.synced)
        assert {api.key(f"s{number}") for number in range(4)} <= source.facts.keys()
        source.relist(("Service", "Node", "Endpoints", "ServiceRange"))
        assert not source.synced
        assert "listing anew" in source.parts()["services"]
        await api.delete("services", "s0")
        await until(source, lambda: source.synced)
        await until(source, lambda: api.key("s0") not in source.facts)
        await until(source, lambda: set(source.parts().values()) == {"synced"})
        assert FactKey("Service", f"{api.namespace}/s1") in source.facts


def test_the_kernel_watches_over_every_connection():
    with _socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE_S
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == KEEPALIVE_S * 1000


@pytest.mark.parametrize("plural", ["bgppeers", "bgpadvertisements"])
async def test_a_crd_that_is_removed_takes_no_route_before_somebody_approves(
    api, source, control_plane, plural, monkeypatch
):
    monkeypatch.setattr(reflector, "ABSENT_KIND_RETRY_S", 0.2)
    monkeypatch.setattr(reflector, "MISSING_KIND_RETRY_S", 0.2)
    kinds = {"bgppeers": "BgpPeer", "bgpadvertisements": "BgpAdvertisement"}
    conf = {"neighborAddress": "192.0.2.254", "peerAs": 65001}
    specs = {"bgppeers": {"conf": conf}, "bgpadvertisements": {"communities": ["65000:1"]}}
    group = {"apiVersion": "network.kubesphere.io/v1alpha2"}

    async def make(one, name):
        metadata = {"name": f"{api.namespace}-{name}"}
        await api.create(one, group | {"kind": kinds[one], "metadata": metadata, "spec": specs[one]})

    await of_the_story(api)
    await api.create("bgpconfs", group | {"kind": "BgpConf", "metadata": {"name": "default"}, "spec": {"as": 65000}})
    for one in kinds:
        await make(one, "first")
    world = World(Rule(minimum=1))
    world.objects, world.within_s = source, CRD_WITHIN_S
    definition = str(CRDS / f"{plural}.yaml")
    try:
        await until(source, lambda: len({key.kind for key in source.facts} & {"Conf", "Peer", "Advertisement"}) == 3)
        async with world.leader() as leading:
            await world.until(lambda: routed(api, leading))
            await asyncio.to_thread(control_plane.kubectl, "delete", "-f", definition)
            await world.until(lambda: held_by(leading))
            assert [hold.of_facts for hold in held_by(leading)] == [True]
            assert leading.state.exports.peers_given(next(iter(routed(api, leading)))) != ()
        async with world.leader() as leading:
            assert [hold.of_facts for hold in held_by(leading)] == [True], "a restart forgets nothing"
            await asyncio.to_thread(control_plane.apply_crds)
            await make(plural, "second")
            await world.until(lambda: not held_by(leading))
            assert leading.state.exports.peers_given(next(iter(routed(api, leading)))) != ()
    finally:
        await asyncio.to_thread(control_plane.apply_crds)


def held_by(leading):
    return list(leading.state.ledger.holds.open.values())
