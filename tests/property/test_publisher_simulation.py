"""Under random histories the routers end equal to what is desired, whatever the engine's defects do on the way."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from porter.bgp.states import DOWN
from porter.model.bgp import PeerKey
from tests.simulation.world import World

PEERS = [PeerKey("r1"), PeerKey("r2")]
V4 = [f"192.0.2.{number}/32" for number in range(4)]
V6 = [f"2001:db8::{number}/128" for number in range(1, 3)]
HOPS4 = ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
HOPS6 = ["fd01::1", "fd01::2"]
ROUTES = [(prefix, hop) for prefix in V4 for hop in HOPS4] + [(prefix, hop) for prefix in V6 for hop in HOPS6]

peers = st.sampled_from(PEERS)
meds = st.sampled_from([None, 1, 2])
wishes = st.dictionaries(st.sampled_from(ROUTES), meds, max_size=8)

changes = st.one_of(
    st.tuples(st.just("wish"), peers, wishes),
    st.tuples(st.just("toggle"), peers, st.sampled_from(ROUTES), meds),
    st.tuples(st.just("toggle"), peers, st.sampled_from(ROUTES[:2]), meds),
    st.just(("speak",)),
)
passing = st.one_of(
    st.tuples(st.just("turns"), st.integers(1, 12)),
    st.tuples(st.just("turns"), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 3.0, 6.0, 50.0, 130.0])),
)
flaps = st.one_of(st.tuples(st.just("down"), peers), st.tuples(st.just("up"), peers))
stalls = st.one_of(st.tuples(st.just("stall"), peers), st.tuples(st.just("resume"), peers))
crashes = st.sampled_from([("crash speaker",), ("crash relay",), ("crash engine",)])
faults = st.one_of(
    st.tuples(st.just("lose command"), st.just(1)),
    st.tuples(st.just("lose event"), peers),
    st.tuples(st.just("certain"), st.booleans()),
)
others = st.one_of(
    st.tuples(st.just("configure"), st.sampled_from([PEERS, PEERS[:1], PEERS[1:]])),
    st.tuples(st.just("add path"), peers, st.booleans()),
    st.tuples(st.just("restart router"), peers),
    st.tuples(st.just("cut"), peers),
)


def apply(world: World, step: tuple) -> None:
    match step:
        case ("wish", peer, wish):
            world.wish(peer, wish)
        case ("toggle", peer, route, med):
            wish = dict(world.wishes[peer])
            if wish.get(route, 0) == med:
                del wish[route]
            else:
                wish[route] = med
            world.wish(peer, single_path(world, peer, wish))
        case ("speak",):
            world.speak()
        case ("turns", number):
            world.turns(number)
        case ("pass", seconds):
            world.turns(60)
            world.turn(seconds)
            world.turns(2)
        case ("down", peer):
            world.reach(peer, False)
        case ("up", peer):
            world.reach(peer, True)
        case ("stall" | "resume", peer) if world.neighbor(peer) is not None:
            world.neighbor(peer).stalled = step[0] == "stall"
        case ("crash speaker",):
            world.crash_speaker()
        case ("crash relay",):
            world.crash_relay()
        case ("crash engine",):
            world.start_engine()
        case ("lose command", number):
            world.engine.lose_commands = number
        case ("lose event", peer) if world.neighbor(peer) is not None:
            world.neighbor(peer).lose_events = 1
        case ("cut", peer):
            world.dialogue.cut(peer, "BFD found the path down", world.now_s)
        case ("certain", certain):
            world.certain = certain
            for peer in PEERS:
                world.desire(peer)
        case ("configure", chosen):
            world.configured = set(chosen)
            world.configure()
        case ("add path", peer, add_path):
            # A router that is configured otherwise starts its session anew, and forgets.
            neighbor = world.neighbor(peer)
            world.routers[peer].add_path = add_path
            if neighbor is not None:
                world.engine.close(neighbor, "configured otherwise")
            world.routers[peer].restart()
            world.wish(peer, single_path(world, peer, world.wishes[peer]))
        case ("restart router", peer):
            neighbor = world.neighbor(peer)
            if neighbor is not None:
                world.engine.close(neighbor, "restarted")
            world.routers[peer].restart()


def single_path(world: World, peer: PeerKey, wish: dict) -> dict:
    """Without ADD-PATH the application wants one next hop for each prefix."""
    if world.routers[peer].add_path:
        return wish
    chosen: dict = {}
    for prefix, hop in sorted(wish):
        if not any(prefix == other for other, _ in chosen):
            chosen[prefix, hop] = wish[prefix, hop]
    return chosen


def heal(world: World) -> None:
    world.engine.lose_commands = 0
    for peer in PEERS:
        world.reach(peer, True)
        if world.neighbor(peer) is not None:
            world.neighbor(peer).stalled = False
            world.neighbor(peer).lose_events = 0
        world.wish(peer, single_path(world, peer, world.wishes[peer]))
    if not world.certain:
        world.certain = True
        for peer in PEERS:
            world.desire(peer)
    world.settle()


def run(history: list, *, sloppy: bool = False) -> World:
    world = World()
    for router in world.routers.values():
        router.sloppy = sloppy
    world.turns(10)
    for step in history:
        if step[0] == "wish":
            step = (*step[:2], single_path(world, step[1], step[2]))  # noqa: PLW2901
        apply(world, step)
    heal(world)
    world.assert_equal()
    return world


MANY = settings(
    max_examples=int(os.environ.get("PORTER_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@MANY
@given(st.lists(st.one_of(changes, changes, passing), max_size=60))
def test_changes_alone_never_diverge(history):
    world = run(history)
    assert not world.unsynced()
    assert not world.lost_routes


@MANY
@given(st.lists(st.one_of(changes, changes, passing, flaps), max_size=60))
def test_sessions_that_come_and_go(history):
    world = run(history)
    assert not world.lost_routes


@MANY
@given(st.lists(st.one_of(changes, changes, passing, st.just(("crash speaker",))), max_size=60))
def test_a_speaker_that_crashes_never_takes_a_desired_route_away(history):
    world = run(history)
    assert not world.lost_routes


@MANY
@given(st.lists(st.one_of(changes, changes, passing, crashes, flaps), max_size=60))
def test_crashes_of_every_process(history):
    world = run(history)
    assert not world.lost_routes


@MANY
@given(st.lists(st.one_of(changes, changes, passing, flaps, st.just(("crash engine",))), max_size=60))
def test_a_router_that_purges_only_half_is_left_no_ghost(history):
    world = run(history, sloppy=True)
    assert not world.lost_routes


@MANY
@given(st.lists(st.one_of(changes, changes, passing, crashes, flaps, stalls, faults, others), max_size=80))
def test_everything_at_once(history):
    run(history)


@pytest.mark.parametrize("broken_first", [False, True])
def test_a_poisoned_engine_is_replaced(broken_first):
    world = World()
    world.turns(50)
    world.wish(PEERS[0], {ROUTES[0]: None})
    world.settle()
    if broken_first:
        world.configuration.broken = True
        world.engine.reload()
        world.configuration.broken = False
    before = world.engine.boot
    world.configured = {PEERS[0]}
    world.configure()
    world.settle()
    world.assert_equal()
    assert (world.engine.boot != before) == broken_first


@pytest.mark.parametrize("lost", [{"negotiated"}, {"negotiated", "state"}], ids=["negotiation", "everything"])
def test_a_session_whose_beginning_was_not_heard_is_noticed(lost: set[str]) -> None:
    """Events that are written before an answer, and speak of what came after it, are not heard."""
    world = World(peers=2)
    peer = PeerKey("r1")
    world.wish(peer, {("198.51.100.1/32", "10.1.0.1"): None})
    world.settle()
    world.reach(peer, False)
    world.turns(20)
    assert world.engine is not None
    tell = world.engine.event

    def mute(neighbor, kind, body):
        if kind not in lost or body.get("state") == {"state": "down"}:
            tell(neighbor, kind, body)

    world.engine.event = mute  # type: ignore[method-assign]
    world.reach(peer, True)
    world.turns(20)
    world.engine.event = tell  # type: ignore[method-assign]
    assert world.dialogue.session(peer).sync is DOWN
    world.settle()
    world.assert_equal()
