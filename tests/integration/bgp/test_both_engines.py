"""Options of a session with each engine in turn: transport over IPv6, TTL security, AS numbers and hold time."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from porter.events.routed import FieldsUnsupported
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings
from tests.integration.bgp.lab import ADDRESS, ADDRESS6, Router, settings, until
from tests.integration.bgp.test_routers import ROUTES
from tests.integration.bgp.test_session_options import LARGE_AS, STAYS_DOWN_S

pytestmark = pytest.mark.timeout(180)

PASSWORD = "s3cret"


async def served(lab: Any, session: SessionSettings, router: Router) -> None:
    """The session comes up, and the router has every next hop; GoBGP numbers paths by itself."""
    await lab.speaker.publisher.configure([session])
    lab.speaker.want(session.peer, ROUTES)
    await lab.speaker.live(session.peer, timeout_s=60)
    wanted = sorted((key.prefix, str(one.next_hop)) for key, one in ROUTES.items())
    await until(lambda: sorted((key.prefix, hop) for key, hop in router.table().items()) == wanted, "every path")


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_both_families_over_ipv6(engine_lab, kind):
    router = getattr(engine_lab, kind)("tor", ADDRESS6(2))
    await served(engine_lab, settings("tor", router.address, multihop_ttl=5), router)
    assert engine_lab.speaker.view("tor").flaps == 0


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_a_password_over_ipv6(engine_lab, kind):
    router = getattr(engine_lab, kind)("tor", ADDRESS6(2), password=PASSWORD)
    await engine_lab.speaker.crash()
    engine_lab.speaker.start(passwords={"secret:tor": PASSWORD}.get)
    session = settings("tor", router.address, password_source="secret:tor", multihop_ttl=5)
    await served(engine_lab, session, router)


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6], ids=["ipv4", "ipv6"])
async def test_ttl_security(engine_lab, kind, address):
    """What such a router does with packets of a far sender is tested beside the other options."""
    router = getattr(engine_lab, kind)("tor", address(2), ttl_security=True)
    await served(engine_lab, settings("tor", router.address, ttl_security=True), router)
    assert engine_lab.speaker.view("tor").flaps == 0


@pytest.mark.parametrize("kind", ["bird", "frr", "gobgp"])
async def test_large_as_numbers_three_seconds_and_another_local_address(engine_lab, kind):
    options = {"own_as": LARGE_AS + 1, "speaker_as": LARGE_AS, "peers": [ADDRESS(7)]}
    router = getattr(engine_lab, kind)("tor", ADDRESS(2), **options)
    session = settings(
        "tor",
        router.address,
        local_as=LARGE_AS,
        peer_as=LARGE_AS + 1,
        hold_time_s=3,
        multihop_ttl=4,
        local_address=Address(ADDRESS(7)),
    )
    await served(engine_lab, session, router)
    assert engine_lab.speaker.view("tor").negotiated.hold_time_s == 3
    path = next(iter(router.paths("10.9.0.1/32").values()))
    assert path.as_path == (LARGE_AS,)
    with contextlib.suppress(AssertionError):
        await until(lambda: engine_lab.speaker.view("tor").flaps, "a flap", STAYS_DOWN_S)
    assert engine_lab.speaker.view("tor").flaps == 0, "keepalives come in time"


async def test_another_time_between_attempts_restarts_no_session(engine_lab):
    """It is no transport setting of a session that is up: it counts when the next one is tried for."""
    router = engine_lab.bird("tor", ADDRESS(2))
    session = settings("tor", router.address, multihop_ttl=5)
    await served(engine_lab, session, router)
    speaker = engine_lab.speaker
    since = router.since()
    await speaker.publisher.configure([session._replace(connect_retry_s=60, description="another word")])
    await until(lambda: any(isinstance(one, FieldsUnsupported) for one in speaker.events), "told what is done instead")
    # A change that follows in the order of the session.
    fewer = {key: one for key, one in ROUTES.items() if key.prefix != "10.0.0.1/32"}
    speaker.want("tor", fewer)
    await until(lambda: speaker.publisher.confirmed(PeerKey("tor")) == fewer, "the change confirmed")
    assert (speaker.view("tor").flaps, router.since()) == (0, since)
