"""What every `porter.ports.Publisher` must do, with a real router looking on.

One case for each backend.
"""

from __future__ import annotations

import asyncio

import pytest

from porter.events.routed import (
    EndOfRibSent,
    PeerRejected,
    RibSynced,
    RoutesAnnounced,
    RoutesWithdrawn,
    SessionStateChanged,
)
from porter.model.bgp import PeerKey
from porter.ports import Desired, Publisher
from tests.integration.bgp.lab import (
    ADDRESS,
    Bird,
    Engine,
    GoBgpEngine,
    Speaker,
    add_path_routes,
    addresses_of_a_test,
    programs,
    settings,
    until,
)

ROUTES = add_path_routes(
    [f"10.9.0.{n}/32" for n in range(1, 6)] + ["fd09::1/128"], ["10.77.0.11", "10.77.0.12", "fd77::11"]
)
PEER = PeerKey("tor")


@pytest.fixture(params=["exabgp", "gobgp"])
async def case(request, tmp_path):
    """A publisher, its engine, and a router, not yet introduced to each other."""
    if missing := programs("bird", "birdc", *(["gobgpd"] if request.param == "gobgp" else [])):
        pytest.skip(f"{', '.join(missing)} not installed; apt-get install bird2 gobgpd")
    addresses_of_a_test()
    router = Bird(tmp_path, "tor", ADDRESS(2)).start()
    speaker = Speaker(tmp_path, engine=request.param)
    keeper = GoBgpEngine(tmp_path) if request.param == "gobgp" else Engine(tmp_path / "exabgp.conf")
    engine = asyncio.create_task(keeper.run())
    yield speaker, router
    engine.cancel()
    await asyncio.gather(engine, return_exceptions=True)
    await speaker.crash()
    router.stop()


async def test_it_is_a_publisher(case):
    speaker, _ = case
    publisher: Publisher = speaker.publisher
    assert publisher.peers() == {}
    assert publisher.confirmed(PEER) == {}
    assert list(publisher.standing()) == []
    # A peer that is not configured may be desired for, by an application that is a little ahead: nothing happens.
    publisher.desire(Desired(PEER, ROUTES, 1, certain=True))


async def test_routes_follow_the_desire_and_each_outcome_is_told_in_order(case):
    speaker, router = case
    await speaker.publisher.configure([settings("tor", router.address)])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await router.holds(ROUTES)
    assert speaker.publisher.confirmed(PEER) == ROUTES
    view = speaker.view("tor")
    assert (view.state, view.sync, view.desired, view.confirmed) == ("Established", "LIVE", len(ROUTES), len(ROUTES))
    assert view.negotiated is not None
    assert view.negotiated.add_path_send == {"IPv4", "IPv6"}

    half = dict(list(ROUTES.items())[: len(ROUTES) // 2])
    speaker.want("tor", half, frozenset(ROUTES.keys() - half.keys()))
    await router.holds(half)
    speaker.want("tor", ROUTES, frozenset(ROUTES.keys() - half.keys()))
    await router.holds(ROUTES)

    def kinds() -> list[type]:
        """What was told; a session that takes its time is told to be on its way first."""
        told = [event for event in speaker.events if getattr(event, "peer", "") == "tor"]
        return [type(event) for event in told if getattr(event, "state", "Established") == "Established"]

    await until(lambda: RoutesAnnounced in kinds(), "the last window told")
    assert kinds() == [SessionStateChanged, EndOfRibSent, RibSynced, RoutesWithdrawn, RoutesAnnounced]
    positions = [event.position for event in speaker.events if hasattr(event, "position")]
    assert positions == sorted(positions)


async def test_what_is_refused_stands_until_that_is_over(case):
    speaker, router = case
    wrong = settings("tor", router.address, ttl_security=True, multihop_ttl=3)
    await speaker.publisher.configure([wrong])
    await until(lambda: any(isinstance(event, PeerRejected) for event in speaker.events), "the refusal is told")
    [rejected] = [event for event in speaker.events if isinstance(event, PeerRejected)]
    assert rejected in speaker.publisher.standing()
    await speaker.publisher.configure([settings("tor", router.address)])
    assert not [event for event in speaker.publisher.standing() if isinstance(event, PeerRejected)]


async def test_nothing_desired_is_nothing_announced(case):
    speaker, router = case
    await speaker.publisher.configure([settings("tor", router.address)])
    speaker.want("tor", {})
    await speaker.live("tor")
    assert router.table() == {}
    speaker.want("tor", ROUTES)
    await router.holds(ROUTES)
    speaker.want("tor", {})
    await router.holds({})


async def test_a_session_is_not_touched_by_the_same_settings_again(case):
    speaker, router = case
    for _ in range(3):
        await speaker.publisher.configure([settings("tor", router.address)])
        speaker.want("tor", ROUTES)
        await speaker.live("tor")
    states = [event.state for event in speaker.events if isinstance(event, SessionStateChanged)]
    assert states in (["Established"], ["Connect", "Established"]), "a session may take its time"
    await speaker.publisher.configure([])
    assert speaker.publisher.peers() == {}
    await router.holds({}, timeout_s=5)
    await router.session(up=False)


async def test_its_end_takes_nothing_away(case):
    speaker, router = case
    await speaker.publisher.configure([settings("tor", router.address)])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await speaker.crash()
    await asyncio.sleep(0.5)
    assert router.table() == {key: str(value.next_hop) for key, value in ROUTES.items()}
    speaker.start()
    await speaker.publisher.configure([settings("tor", router.address)])
    await speaker.live("tor")
    await until(lambda: speaker.publisher.confirmed(PEER) == ROUTES, "all confirmed")
    assert speaker.view("tor").flaps == 0
