"""The leader journals no facts that would take too many prefixes from their last peer, before somebody says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from porter.allocator.withdrawals import Rule
from porter.app.upgrade.activation import Activation
from porter.app.upgrade.readers import HEARD_S, LiveReaders
from porter.events import decided, observed, schema
from porter.model.reasons import Reason
from porter.model.selector import Selector
from porter.ports import Declaration
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.unit.app.leading import World
from tests.unit.projections.story import endpoints, node, pool, service
from tests.unit.projections.test_exports import CONF, advertisement, peer

SIZE = 24
RULE = Rule(share_percent=25, minimum=8, bound_ms=600_000, local_bound_ms=5_000)
NAMES = [f"s{number:02}" for number in range(SIZE)]
TEAM_A = Selector((("team", "a"),))
LATER_S = 0.8
"""Longer than what is judged together waits, by the machine's clock."""


def services(count: int = SIZE) -> list[Any]:
    """Half of the Services from the pool p, half from q."""
    made: list[Any] = []
    for number, name in enumerate(NAMES[:count]):
        team = "a" if number % 2 else "b"
        made += [service(name, created_ms=number, requested_pool="pq"[number % 2], labels=(("team", team),))]
        made += [endpoints(name, "n1")]
    return made


@pytest.fixture
async def world():
    world = World(RULE)
    world.objects.put(node(1), pool("p", "192.0.2.0-192.0.2.99"), pool("q", "198.51.100.0-198.51.100.99"))
    world.objects.put(CONF, peer("r1"), peer("r2", 253), *services())
    async with world.leader() as leading:
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE)
    return world


async def add(world: World, *facts: Any) -> None:
    world.objects.put(*facts)
    async with world.leader() as leading:
        for fact in facts:
            await world.until(lambda fact=fact: fact in leading.state.inventory.advertisements.values())


async def given(world: World) -> list[int]:
    """How many prefixes went to a peer, behind each commit from the first with all of them on."""
    state, counts = ClusterState.empty(), []
    for commit in await world.commits():
        state = fold(state, commit.events)
        conf = "default" in state.inventory.confs
        counts.append(sum(1 for each in state.loc_rib.routes if conf and state.exports.peers_given(each)))
    return counts[counts.index(SIZE) :]


def holds(leading: Any) -> list[str]:
    return [hold.cause for hold in leading.state.ledger.holds.open.values()]


async def approve(world: World, leading: Any) -> None:
    (number,) = leading.state.ledger.holds.open
    assert world.view.act is not None
    await world.view.act(decided.WithdrawalApproved(number, "ada", "meant so"))


@pytest.mark.parametrize(
    "gone", [(("Peer", "r1"), ("Peer", "r2")), (("Conf", "default"),)], ids=["every peer", "the conf"]
)
async def test_the_last_sessions_stay_until_it_is_approved(world, gone):
    async with world.leader() as leading:
        world.objects.take(*gone)
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        await asyncio.sleep(LATER_S)
        assert leading.state.inventory.peers.keys() == {"r1", "r2"}
        assert "default" in leading.state.inventory.confs
    assert min(await given(world)) == SIZE
    async with world.leader() as leading:
        assert holds(leading) == [Reason.NO_PEER], "a restart forgets nothing"
        await asyncio.sleep(LATER_S)
        assert leading.state.inventory.peers.keys() == {"r1", "r2"}
        await approve(world, leading)
        await world.until(lambda: leading.state.inventory.get(*gone[0]) is None)
        await asyncio.sleep(LATER_S)
        assert holds(leading) == []
    (held,) = await world.events(decided.WithdrawalHeld)
    assert (held.lost, held.total, len(held.prefixes)) == (SIZE, SIZE, SIZE)


async def test_one_of_two_peers_goes_at_once_and_what_is_new_too(world):
    async with world.leader() as leading:
        world.objects.take(("Peer", "r1"))
        world.objects.put(peer("r3", 252))
        await world.until(lambda: leading.state.inventory.peers.keys() == {"r2", "r3"})
        world.objects.put(peer("r2", 253, admin_down=True), peer("r3", 252, admin_down=True))
        await world.until(lambda: all(one.admin_down for one in leading.state.inventory.peers.values()))
    assert await world.events(decided.WithdrawalHeld) == []


async def test_what_comes_back_ends_the_hold(world):
    async with world.leader() as leading:
        world.objects.take(("Peer", "r1"), ("Peer", "r2"))
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        world.objects.put(peer("r4", 251))
        await world.until(lambda: leading.state.inventory.peers.keys() == {"r4"})
        await world.until(lambda: holds(leading) == [])
    assert len(await world.events(decided.HoldEnded)) == 1
    assert min(await given(world)) == SIZE


async def test_all_advertisements_gone_are_held_and_no_route_goes_where_nobody_said(world):
    await add(world, advertisement("a", pools=("p",), peers=("r1",)), advertisement("b", pools=("q",), peers=("r1",)))
    world.objects.take(("Advertisement", "a"), ("Advertisement", "b"))
    async with world.leader() as leading:
        assert holds(leading) == [Reason.NOT_ADVERTISED]
        assert leading.state.exports.peers_given("192.0.2.0/32") == ("r1",)
        world.clock.added_s = 601
        await world.until(lambda: not leading.state.inventory.advertisements)
    assert len(await world.events(decided.HoldExpired)) == 1


@pytest.mark.parametrize(
    "change",
    [
        advertisement("all", service_selector=(TEAM_A,)),
        advertisement("all", pools=("elsewhere",)),
        advertisement("all", node_selectors=(Selector((("rack", "x"),)),)),
    ],
    ids=["Services", "pools", "nodes"],
)
async def test_an_edit_that_takes_many_prefixes_from_their_peers_is_held(world, change):
    await add(world, advertisement("all"))
    async with world.leader() as leading:
        world.objects.put(change, peer("r1", description="edited"))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        # An edit that takes nothing is none of it.
        await world.until(lambda: leading.state.inventory.peers["r1"].description == "edited")
        assert leading.state.inventory.advertisements["all"] == advertisement("all")
        world.objects.put(advertisement("all", med=5))
        await world.until(lambda: leading.state.inventory.advertisements["all"].med == 5)
        await world.until(lambda: holds(leading) == [])
    assert min(await given(world)) == SIZE


async def test_the_first_advertisement_is_held_if_it_leaves_most_out(world):
    async with world.leader() as leading:
        world.objects.put(advertisement("first", pools=("p",)))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        world.objects.put(advertisement("second", pools=("q",)))
        await world.until(lambda: len(leading.state.inventory.advertisements) == 2)
        await world.until(lambda: holds(leading) == [])
    assert min(await given(world)) == SIZE


async def test_a_pools_labels_count(world):
    world.objects.put(pool("p", "192.0.2.0-192.0.2.99", labels=(("zone", "a"),)))
    await add(world, advertisement("a", pool_selector=(Selector((("zone", "a"),)),)), advertisement("b", pools=("q",)))
    async with world.leader() as leading:
        world.objects.put(pool("p", "192.0.2.0-192.0.2.99", labels=()))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        world.objects.take(*((kind, f"shop/{name}") for name in NAMES[2:] for kind in ("Service", "Endpoints")))
        await world.until(lambda: len(leading.state.loc_rib.routes) == 2)
        # Fewer prefixes than the rule's minimum may go at any time.
        await world.until(lambda: leading.state.inventory.pools["p"].labels == () and not holds(leading))


RACK = (("rack", "x"),)
BY_RACK = [advertisement("all", node_selectors=(Selector(RACK),)), peer("r1", node_selector=RACK)]


async def select_by_rack(world: World, choosing: Any) -> None:
    """Two nodes in a rack, one that is not, and an object that chooses the rack: r1 is the only peer then."""
    world.objects.put(node(1, labels=RACK), node(2, labels=RACK), node(3))
    async with world.leader() as leading:
        await world.until(lambda: len(leading.state.inventory.nodes) == 3)
        world.objects.take(("Peer", "r2"))
        await world.until(lambda: "r2" not in leading.state.inventory.peers)
        world.objects.put(choosing)
        table = leading.state.inventory
        await world.until(lambda: choosing in (*table.advertisements.values(), *table.peers.values()))


def labels_of(leading: Any) -> list[Any]:
    return [leading.state.inventory.nodes[name].labels for name in ("n1", "n2")]


@pytest.mark.parametrize("choosing", BY_RACK, ids=["advertisement", "peer"])
async def test_labels_that_unselect_the_last_nodes_are_held_and_all_else_of_the_nodes_goes_on(world, choosing):
    await select_by_rack(world, choosing)
    async with world.leader() as leading:
        world.objects.put(node(1, labels=(("os", "new"),)))
        await world.until(lambda: labels_of(leading) == [(("os", "new"),), RACK])
        world.objects.put(node(1, labels=RACK))
        await world.until(lambda: labels_of(leading) == [RACK, RACK])
        assert holds(leading) == [], "another node of the rack was left"
        world.objects.put(node(1), node(2))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        world.objects.put(node(1, ready=False))
        await world.until(lambda: not leading.state.inventory.nodes["n1"].ready)
        assert labels_of(leading) == [RACK, RACK]
    async with world.leader() as leading:
        assert holds(leading) == [Reason.NOT_ADVERTISED], "a restart forgets nothing"
        world.objects.put(node(1, ready=True))
        await world.until(lambda: leading.state.inventory.nodes["n1"].ready)
        assert labels_of(leading) == [(), RACK], "the labels of a node that was no next hop took nothing"
        world.objects.put(node(2, labels=RACK))
        await world.until(lambda: holds(leading) == [])
        await world.until(lambda: labels_of(leading) == [(), RACK])
    assert min(await given(world)) == SIZE
    assert len(await world.events(decided.HoldEnded)) == 1


async def test_withheld_labels_are_journaled_when_it_is_approved(world):
    await select_by_rack(world, BY_RACK[0])
    async with world.leader() as leading:
        world.objects.put(node(1), node(2))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        await approve(world, leading)
        await world.until(lambda: labels_of(leading) == [(), ()])
        await asyncio.sleep(LATER_S)
        assert holds(leading) == []


async def test_a_node_whose_labels_are_withheld_may_go(world):
    await select_by_rack(world, BY_RACK[0])
    async with world.leader() as leading:
        world.objects.put(node(1), node(2))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        world.objects.take(("Node", "n1"))
        await world.until(lambda: leading.state.inventory.nodes.keys() == {"n2", "n3"})
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        assert leading.state.inventory.nodes["n2"].labels == RACK


async def test_what_is_withheld_already_is_not_forgotten_over_nodes_that_lose_labels_and_next_hops_at_once(world):
    await select_by_rack(world, BY_RACK[0])
    async with world.leader() as leading:
        world.objects.take(("Peer", "r1"))
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        world.objects.put(*(node(number, excluded=True) for number in (1, 2, 3)))
        await world.until(lambda: not any(leading.state.loc_rib.eligible.values()))
        assert labels_of(leading) == [RACK, RACK]
        assert "r1" in leading.state.inventory.peers
        for number in tuple(leading.state.ledger.holds.open):
            assert world.view.act is not None
            await world.view.act(decided.WithdrawalApproved(number, "ada", "meant so"))
        await world.until(lambda: labels_of(leading) == [(), ()])
        await world.until(lambda: not leading.state.inventory.peers)


async def test_labels_of_services_are_said_of_each_of_them_and_go_at_once(world):
    await add(world, advertisement("all", service_selector=(TEAM_A, Selector((("team", "b"),)))))
    async with world.leader() as leading:
        for number, name in enumerate(NAMES):
            world.objects.put(service(name, created_ms=number, requested_pool="pq"[number % 2]))
        await world.until(lambda: not any(one.labels for one in leading.state.inventory.services.values()))
    assert await world.events(decided.WithdrawalHeld) == []


async def declare(world: World, *speakers: str) -> None:
    """Speakers that declare themselves as readers of the journal, and a look at them."""
    readers = world.journals.readers()
    if world.activation is None:
        world.live = LiveReaders(readers, world.clock)
        world.activation = Activation(world.live, world.clock, None)
    for name in speakers:
        await readers.declare(f"speaker/{name}", Declaration(schema.reads(), "9"))
    await world.live.look()


NODE_TOPOLOGY = CONF._replace(topology="node")


@pytest.mark.parametrize(
    "moves",
    [(NODE_TOPOLOGY,), (peer("r1", topology="node"), peer("r2", 253, topology="node"))],
    ids=["the conf", "every peer"],
)
async def test_a_topology_that_no_speaker_serves_is_held_until_one_does(world, moves):
    await declare(world, "speaker-0")
    async with world.leader() as leading:
        inventory = leading.state.inventory
        before = inventory.confs["default"], *inventory.peers.values()
        world.objects.put(*moves)
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        inventory = leading.state.inventory
        assert (inventory.confs["default"], *inventory.peers.values()) == before
        # An agent of a node that is no next hop has nothing to announce.
        await declare(world, "agent_n9")
        await asyncio.sleep(LATER_S)
        assert holds(leading) == [Reason.NO_PEER]
        await declare(world, "agent_n1")
        await world.until(lambda: holds(leading) == [])
        inventory = leading.state.inventory
        assert set(moves) <= {inventory.confs["default"], *inventory.peers.values()}


async def test_a_topology_is_changed_at_once_where_it_is_served_or_one_peer_keeps_the_former(world):
    await declare(world, "speaker-0", "agent_n1")
    async with world.leader() as leading:
        world.objects.put(NODE_TOPOLOGY)
        await world.until(lambda: leading.state.inventory.confs["default"] == NODE_TOPOLOGY)
        world.objects.put(CONF)
        await world.until(lambda: leading.state.inventory.confs["default"] == CONF)
    world.clock.added_s += HEARD_S + 1
    await declare(world, "speaker-0")
    async with world.leader() as leading:
        world.objects.put(peer("r1", topology="node"))
        await world.until(lambda: leading.state.inventory.peers["r1"].topology == "node")
    assert await world.events(decided.WithdrawalHeld) == []


async def test_while_nobody_can_say_which_speakers_there_are_a_topology_is_not_judged(world):
    async with world.leader() as leading:
        world.objects.put(NODE_TOPOLOGY)
        await world.until(lambda: leading.state.inventory.confs["default"] == NODE_TOPOLOGY)
    await declare(world, "agent_n1")
    world.live.known = False
    async with world.leader() as leading:
        world.objects.put(CONF)
        await world.until(lambda: leading.state.inventory.confs["default"] == CONF)
    assert await world.events(decided.WithdrawalHeld) == []


async def test_a_look_at_the_speakers_that_fails_lets_nothing_pass_that_is_withheld(world):
    await declare(world, "speaker-0")
    async with world.leader() as leading:
        world.objects.put(NODE_TOPOLOGY)
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        world.live.known = False
        for description in ("one", "two"):
            world.objects.put(peer("r1", description=description))
            await world.until(lambda wanted=description: leading.state.inventory.peers["r1"].description == wanted)
            await asyncio.sleep(LATER_S)
            assert leading.state.inventory.confs["default"] == CONF
            assert holds(leading) == [Reason.NO_PEER]


async def test_removals_that_trickle_in_are_counted_together(world):
    few = [advertisement(name, service_selector=(Selector((("kubernetes", name),)),)) for name in NAMES]
    for number, name in enumerate(NAMES):
        labels = (("kubernetes", name), ("team", "x"))
        fact = service(name, created_ms=number, requested_pool="pq"[number % 2], labels=labels)
        world.objects.put(fact)
    await add(world, *few)
    async with world.leader() as leading:
        for name in NAMES[:7]:
            world.objects.take(("Advertisement", name))
        await world.until(lambda: len(leading.state.inventory.advertisements) == SIZE - 7)
        world.objects.take(("Advertisement", NAMES[7]))
        await world.until(lambda: holds(leading) == [Reason.NOT_ADVERTISED])
        assert NAMES[7] in leading.state.inventory.advertisements
        await approve(world, leading)
        await world.until(lambda: NAMES[7] not in leading.state.inventory.advertisements)


async def test_services_and_their_endpoints_go_on_meanwhile(world):
    async with world.leader() as leading:
        world.objects.take(("Peer", "r1"), ("Peer", "r2"))
        await world.until(lambda: holds(leading) == [Reason.NO_PEER])
        world.objects.put(endpoints("s00"))
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 1)
        world.objects.take(("Service", "shop/s01"), ("Endpoints", "shop/s01"))
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 2)
        # An outage beside it is held by itself, with its next hops.
        world.objects.put(*(endpoints(name) for name in NAMES[2:]))
        await world.until(lambda: sorted(holds(leading)) == [Reason.NO_PEER, Reason.NO_READY_ENDPOINT])
        assert len(leading.state.loc_rib.routes) == SIZE - 2
    assert await world.events(observed.PeerGone) == []
