"""A new leader may watch less than the former one journaled: that is neither taken for gone nor gone back to."""

from __future__ import annotations

import pytest

from porter.allocator.withdrawals import Rule
from porter.app.controller import leader
from porter.events import decided, observed
from porter.ports import FactKey
from tests.unit.app.leading import World
from tests.unit.projections.story import endpoints, node, pool, service

WEB, WEB_ENDPOINTS = FactKey("Service", "shop/web"), FactKey("Endpoints", "shop/web")


@pytest.fixture
async def world():
    world = World(Rule())
    world.objects.put(node(1, resource_version="20"), pool("p", "192.0.2.0-192.0.2.9", default=True))
    world.objects.put(service("web", resource_version="30"), endpoints("web", "n1"))
    async with world.leader() as leading:
        await world.until(lambda: len(leading.state.loc_rib.routes) == 1)
    return world


async def told_since(world: World, position: int) -> list[str]:
    commits = await world.commits()
    events = [one for commit in commits for one in commit.events if one.position > position]
    return [type(one.payload).__name__ for one in events if not isinstance(one.payload, decided.EpochStarted)]


async def taken_over(world: World) -> list[str]:
    """What a leader journals of its own accord when it takes over, with the routes that it has then."""
    head = await world.journal.head()
    assert head is not None
    async with world.leader() as leading:
        assert len(leading.state.loc_rib.routes) == 1
    return await told_since(world, head.position)


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param({WEB: None, WEB_ENDPOINTS: None}, id="a Service that is not seen yet"),
        pytest.param({WEB_ENDPOINTS: endpoints("web")}, id="endpoints from before the first was ready"),
        pytest.param({FactKey("Node", "n1"): node(1, ready=False, resource_version="9")}, id="a Node from before"),
        pytest.param({FactKey("Pool", "p"): None}, id="a pool"),
        pytest.param({WEB: service("web", requested_pool="q", resource_version="9")}, id="an older version"),
        pytest.param({WEB: service("web", resource_version="9")}, id="an older version that means the same"),
        pytest.param({WEB: service("web", uid="u-before", resource_version="9")}, id="an older object of that name"),
    ],
)
async def test_what_a_watch_does_not_show_yet_is_not_journaled(world, behind):
    world.objects.lag(behind)
    assert await taken_over(world) == []
    assert world.objects.relisted == [frozenset(key.kind for key in behind)]


async def test_what_was_journaled_to_be_gone_does_not_come_back(world):
    world.objects.take(WEB, WEB_ENDPOINTS)
    async with world.leader() as leading:
        await world.until(lambda: not leading.state.loc_rib.routes)
    head = await world.journal.head()
    world.objects.lag({WEB: service("web", resource_version="30")})
    async with world.leader() as leading:
        assert not leading.state.pools.by_address
    assert await told_since(world, head.position) == []


async def test_what_is_really_gone_is_journaled_once_it_was_listed(world):
    world.objects.take(WEB, WEB_ENDPOINTS)
    async with world.leader() as leading:
        await world.until(lambda: not leading.state.loc_rib.routes)
    assert [event.name for event in await world.events(observed.ServiceGone)] == ["web"]
    assert world.objects.relisted[-1] == {"Service", "Endpoints"}


async def test_newer_versions_and_a_quiet_takeover_need_no_listing(world):
    async with world.leader():
        pass
    world.objects.put(node(1, labels=(("rack", "b"),), resource_version="40"))
    async with world.leader() as leading:
        await world.until(lambda: leading.state.inventory.nodes["n1"].labels == (("rack", "b"),))
    assert world.objects.relisted == []


async def test_what_vanishes_while_something_is_listed_is_journaled_when_that_is_through(world):
    async with world.leader() as leading:
        world.objects.synced, world.objects.unlisted = False, frozenset({"Service", "Endpoints", "Node"})
        world.objects.take(WEB, WEB_ENDPOINTS, ("Node", "n1"))
        world.objects.put(node(2))
        await world.until(lambda: "n2" in leading.state.inventory.nodes)
        assert len(leading.state.loc_rib.routes) == 1
        world.objects.synced = True
        world.objects.put(node(3))
        await world.until(lambda: not leading.state.loc_rib.routes and "n1" not in leading.state.inventory.nodes)


async def test_what_cannot_be_listed_stays_as_it_was_and_holds_nothing_else_up(world, monkeypatch):
    monkeypatch.setattr(leader, "LISTED_WITHIN_S", 0.2)
    world.objects.unlisted = frozenset({"Pool"})
    world.objects.lag({FactKey("Pool", "p"): None, WEB_ENDPOINTS: endpoints("web")})
    async with world.leader() as leading:
        assert len(leading.state.loc_rib.routes) == 1
        world.objects.put(service("more", created_ms=2, resource_version="50"), endpoints("more", "n1"))
        await world.until(lambda: len(leading.state.loc_rib.routes) == 2)
        world.objects.take(WEB, WEB_ENDPOINTS)
        await world.until(lambda: len(leading.state.loc_rib.routes) == 1)
        assert leading.state.inventory.pools.keys() == {"p"}
        world.objects.unlisted, world.objects.synced = frozenset(), True
        world.objects.put(node(2))
        await world.until(lambda: not leading.state.inventory.pools)
