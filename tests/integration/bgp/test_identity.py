"""Which session is whose: peers that are renamed, swapped, doubled, moved and removed, with real routers."""

from __future__ import annotations

import asyncio

import pytest

from porter.events.routed import SessionStateChanged
from porter.model.bgp import PeerKey
from tests.integration.bgp.lab import ADDRESS, add_path_routes, expected, settings, until

HOPS = ["10.77.0.11", "10.77.0.12"]
ROUTES = add_path_routes([f"10.9.0.{number}/32" for number in range(1, 21)], HOPS)
MORE = add_path_routes([f"10.9.1.{number}/32" for number in range(1, 21)], HOPS)

pytestmark = pytest.mark.timeout(120)


class Watch:
    """Looks all the time whether a router lacks a route that it should have."""

    def __init__(self, router, wanted) -> None:
        self.router, self.wanted = router, expected(wanted)
        self.lost: set = set()
        self.task = asyncio.create_task(self.look())

    async def look(self) -> None:
        while True:
            self.lost |= self.wanted.keys() - self.router.table().keys()
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert not self.lost


def states(speaker, peer: str) -> list[str]:
    return [one.state for one in speaker.events if isinstance(one, SessionStateChanged) and one.peer == peer]


async def test_a_renamed_peer_keeps_its_session_and_its_routes(engine_lab):
    bird = engine_lab.bird("bird", ADDRESS(2))
    speaker = engine_lab.speaker
    await speaker.publisher.configure([settings("lab-router", bird.address)])
    speaker.want("lab-router", ROUTES)
    await speaker.live("lab-router")
    await bird.holds(ROUTES)
    since, watch = bird.since(), Watch(bird, ROUTES)
    speaker.routes = {PeerKey("a-router"): ROUTES | MORE}
    await speaker.publisher.configure([settings("a-router", bird.address)])
    await bird.holds(ROUTES | MORE)
    await speaker.live("a-router")
    speaker.want("a-router", ROUTES)
    await bird.holds(ROUTES)
    await watch.stop()
    assert states(speaker, "lab-router")[-1] == "Idle"
    assert states(speaker, "a-router") == ["Established"]
    assert (speaker.view("a-router").flaps, bird.since()) == (0, since)


async def test_a_peer_that_is_renamed_while_its_router_is_away_has_its_routes_later(engine_lab):
    bird = engine_lab.bird("bird", ADDRESS(2))
    speaker = engine_lab.speaker
    await speaker.publisher.configure([settings("lab-router", bird.address)])
    speaker.want("lab-router", ROUTES)
    await speaker.live("lab-router")
    bird.stop()
    await until(lambda: states(speaker, "lab-router")[-1] == "Idle", "the session ended")
    speaker.routes = {PeerKey("a-router"): MORE}
    await speaker.publisher.configure([settings("a-router", bird.address)])
    bird.start()
    await bird.holds(MORE)
    assert states(speaker, "a-router")[-1] == "Established"


async def test_two_peers_that_swap_their_routers_give_each_its_own_routes(engine_lab):
    one, two = engine_lab.bird("one", ADDRESS(2)), engine_lab.bird("two", ADDRESS(3))
    speaker = engine_lab.speaker
    await speaker.publisher.configure([settings("a", one.address), settings("b", two.address)])
    speaker.want("a", ROUTES)
    speaker.want("b", MORE)
    await speaker.live("a", "b")
    since = one.since(), two.since()
    await speaker.publisher.configure([settings("a", two.address), settings("b", one.address)])
    await one.holds(MORE)
    await two.holds(ROUTES)
    await speaker.live("a", "b")
    assert [states(speaker, peer)[-2:] for peer in ("a", "b")] == [["Idle", "Established"]] * 2
    speaker.want("a", MORE)
    speaker.want("b", ROUTES)
    await one.holds(ROUTES)
    await two.holds(MORE)
    assert (one.since(), two.since()) == since


async def test_one_of_two_sessions_to_a_router_goes_with_its_routes(started):
    bird = started.bird("bird", ADDRESS(2), peers=[ADDRESS(1), ADDRESS(9)])
    speaker = started.speaker
    both = [settings("a", bird.address), settings("b", bird.address, local=ADDRESS(9))]
    await speaker.publisher.configure(both)
    speaker.want("a", ROUTES)
    speaker.want("b", MORE)
    await speaker.live("a", "b")
    await bird.holds(ROUTES | MORE)
    watch = Watch(bird, ROUTES)
    await speaker.publisher.configure(both[:1])
    await bird.holds(ROUTES, timeout_s=10)
    await until(lambda: states(speaker, "b")[-1] == "Idle", "the end of its session is told")
    await watch.stop()


async def test_another_address_of_ours_costs_no_route_and_leaves_none_behind(started):
    bird = started.bird("bird", ADDRESS(2), peers=[ADDRESS(1), ADDRESS(9)])
    speaker = started.speaker
    await speaker.publisher.configure([settings("tor", bird.address)])
    speaker.want("tor", ROUTES | MORE)
    await speaker.live("tor")
    await bird.holds(ROUTES | MORE)
    watch = Watch(bird, ROUTES)
    await speaker.publisher.configure([settings("tor", bird.address, local=ADDRESS(9))])
    speaker.want("tor", ROUTES)
    await bird.session(up=True, number=1)
    await bird.session(up=False, number=0)
    await bird.holds(ROUTES)
    await watch.stop()
    assert speaker.publisher.peers().keys() == {"tor"}
    assert (await speaker.publisher.held()).keys() == {"tor"}
    assert states(speaker, "tor")[-1] == "Established"
    await speaker.live("tor")
    paths = f"{len(ROUTES)} of {len(ROUTES)} routes"
    await until(lambda: paths in bird.command("show", "route", "count"), "no path of the session that was before")


async def test_an_address_that_the_router_does_not_know_takes_no_route_away(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("tor", bird.address)])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await bird.holds(ROUTES)
    watch = Watch(bird, ROUTES)
    await speaker.publisher.configure([settings("tor", bird.address, local=ADDRESS(9))])
    await until(lambda: speaker.publisher.configured, "ExaBGP has both")
    speaker.want("tor", ROUTES | MORE)
    await bird.holds(ROUTES | MORE)
    # Back to what the router knows: the session that stayed is the peer's own again.
    await speaker.publisher.configure([settings("tor", bird.address)])
    speaker.want("tor", ROUTES)
    await bird.holds(ROUTES)
    await speaker.live("tor")
    await watch.stop()
