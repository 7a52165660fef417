"""A session that BFD wants ended is ended, whatever the relay and the speaker do meanwhile, and never the next one."""

from __future__ import annotations

from porter.bgp.states import DOWN, LIVE
from porter.events.routed import SessionStateChanged
from porter.model.bgp import PeerKey
from tests.simulation.world import World

PEER = PeerKey("r1")
BFD = "BFD found the path down"


def live_world() -> World:
    world = World(peers=1)
    world.wish(PEER, {("198.51.100.1/32", "10.1.0.1"): None})
    world.settle()
    # ExaBGP tells a session's age in whole seconds.
    world.turn(10.0)
    world.log.clear()
    return world


def cut(world: World, age_s: float = 0.0) -> None:
    world.dialogue.cut(PEER, BFD, world.now_s - age_s)


def ends(world: World) -> list[str]:
    told = [event for event in world.log if isinstance(event, SessionStateChanged)]
    return [event.reason for event in told if event.state == "Idle"]


def test_a_session_is_ended_once_for_the_reason_that_was_given() -> None:
    world = live_world()
    cut(world)
    cut(world)
    world.settle()
    assert ends(world) == [BFD]
    world.assert_equal()


def test_a_cut_that_was_not_handed_over_lends_its_reason_to_no_later_end() -> None:
    world = live_world()
    cut(world)
    world.crash_relay()
    world.reach(PEER, False)
    world.turns(5)
    world.reach(PEER, True)
    world.settle()
    assert BFD not in ends(world)[1:]
    world.log.clear()
    world.turn(10.0)
    world.reach(PEER, False)
    world.turns(5)
    world.reach(PEER, True)
    world.settle()
    assert ends(world) == ["hold timer expired"]


def test_the_loss_of_the_relay_loses_no_cut() -> None:
    world = live_world()
    cut(world)
    world.crash_relay()
    world.settle()
    assert ends(world) == [BFD]
    world.assert_equal()


def test_a_cut_never_strikes_the_next_session() -> None:
    world = live_world()
    for number in range(2, 40):
        world.wish(PEER, {(f"198.51.100.{number}/32", "10.1.0.1"): number})
    assert world.speak(), "a command is on its way, so that the teardown has to wait"
    cut(world)
    assert world.engine is not None
    world.engine.close(world.neighbor(PEER), "the router closed it")
    world.settle()
    assert ends(world) == ["the router closed it"]
    world.assert_equal()


def test_a_cut_that_comes_while_stock_is_taken_is_made_afterwards() -> None:
    world = live_world()
    world.dialogue._stock_wanted = True
    world.turn()
    assert not world.dialogue.attached
    cut(world)
    world.settle()
    assert ends(world) == [BFD]
    world.assert_equal()


def test_a_cut_that_is_known_when_the_speaker_starts_is_made_when_the_engine_is_there() -> None:
    world = live_world()
    world.new_speaker()
    cut(world, age_s=3.0)
    world.connect()
    world.settle()
    assert BFD in ends(world)
    world.assert_equal()


def test_a_cut_of_a_session_that_the_speaker_has_not_looked_at_yet_is_made_all_the_same() -> None:
    world = live_world()
    configured, world.configured = world.configured, set()
    world.dialogue = type(world.dialogue)("speaker-0")
    world.told = {}
    world.connect()
    for _ in range(20):
        world.turn()
    world.configured = configured
    world.configure()
    asked_s = world.now_s
    cut(world, age_s=3.0)
    world.settle()
    assert world.neighbor(PEER).since_s > asked_s, "there is another session"
    world.assert_equal()


def test_a_session_that_came_up_after_its_cause_stays() -> None:
    world = live_world()
    world.new_speaker()
    cut(world, age_s=60.0)
    world.connect()
    world.settle()
    assert ends(world) == []
    cut(world, age_s=3600.0)
    world.settle()
    assert ends(world) == []
    assert world.dialogue.session(PEER).sync is LIVE


def test_a_cut_of_a_session_that_is_down_waits_for_none() -> None:
    world = live_world()
    world.reach(PEER, False)
    world.turns(5)
    assert world.dialogue.session(PEER).sync is DOWN
    cut(world)
    world.reach(PEER, True)
    world.settle()
    assert ends(world) == ["hold timer expired"]


def test_a_restarted_engine_owes_nobody_a_cut() -> None:
    world = live_world()
    cut(world)
    world.start_engine()
    world.settle()
    assert BFD not in ends(world)
    world.assert_equal()
