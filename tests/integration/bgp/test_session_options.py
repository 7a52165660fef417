"""Each option of a session against real routers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from porter.events.routed import FieldsUnsupported, SessionStateChanged
from porter.model.address import Address
from tests.integration.bgp.lab import ADDRESS, PORT, settings, until
from tests.integration.bgp.scripted import OPEN, ScriptedPeer, read_message
from tests.integration.bgp.test_routers import ROUTES

pytestmark = pytest.mark.timeout(180)

DAEMONS = ["bird", "frr", "gobgp"]
LARGE_AS = 4200000000
STAYS_DOWN_S = 8.0
OPENED_WITHIN_S = 30.0
GRACEFUL_RESTART = 64
RESTART_STATE = 0x80


async def served(lab, router, **changes) -> None:
    """A session with a router comes up with these settings, and the router has what it should."""
    await lab.speaker.publisher.configure([settings("peer", router.address, **changes)])
    lab.speaker.want("peer", ROUTES)
    await lab.speaker.live("peer", timeout_s=60)
    await router.holds(ROUTES)


@pytest.mark.parametrize("kind", DAEMONS)
@pytest.mark.parametrize(
    "numbers",
    [(LARGE_AS, LARGE_AS + 1), (LARGE_AS, LARGE_AS), (64777, 64501)],
    ids=["large-ebgp", "large-ibgp", "local-as"],
)
async def test_as_numbers(started, kind, numbers):
    ours, theirs = numbers
    router = getattr(started, kind)("peer", ADDRESS(2), own_as=theirs, speaker_as=ours)
    await served(started, router, local_as=ours, peer_as=theirs)
    path = next(iter(router.paths("10.0.0.1/32").values()), None)
    if path is not None:
        assert path.as_path == (() if ours == theirs else (ours,))


@pytest.mark.parametrize("kind", DAEMONS)
async def test_a_hold_time_of_three_seconds(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2))
    await served(started, router, hold_time_s=3)
    view = started.speaker.view("peer")
    assert view.negotiated is not None
    assert view.negotiated.hold_time_s == 3
    with contextlib.suppress(AssertionError):
        await until(lambda: started.speaker.view("peer").flaps, "a flap", STAYS_DOWN_S)
    assert started.speaker.view("peer").flaps == 0, "keepalives come in time"


@pytest.mark.parametrize("kind", DAEMONS)
async def test_a_passive_session_waits_for_the_router(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2), calls=True)
    await served(started, router, passive=True, port=PORT)


@pytest.mark.parametrize("kind", ["bird", "frr"])
async def test_ttl_security(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2), ttl_security=True)
    await served(started, router, ttl_security=True)
    # In this order: a router keeps a connection of which it sees no further packet, the last one included.
    flaps = started.speaker.view("peer").flaps
    await started.speaker.publisher.configure([settings("peer", router.address, multihop_ttl=5)])
    await until(lambda: started.speaker.view("peer").flaps > flaps, "the session's end")
    with contextlib.suppress(AssertionError):
        await until(lambda: started.speaker.view("peer").state == "Established", "a session", STAYS_DOWN_S)
    assert started.speaker.view("peer").state != "Established", "packets of a far sender are refused"


@pytest.mark.parametrize("kind", DAEMONS)
async def test_a_local_address_and_another_port(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2), peers=[ADDRESS(7)])
    await served(started, router, local_address=Address(ADDRESS(7)), multihop_ttl=4)


@pytest.mark.parametrize("kind", DAEMONS)
async def test_without_graceful_restart(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2))
    await served(started, router, restart_time_s=0)


async def test_what_exabgp_cannot_honour_is_told(started):
    bird = started.bird("peer", ADDRESS(2))
    await served(started, bird, connect_retry_s=60)
    (event,) = (one for one in started.speaker.events if isinstance(one, FieldsUnsupported))
    assert [problem.field for problem in event.problems] == ["spec.timers.config.connectRetry"]
    await started.speaker.publisher.configure([settings("peer", bird.address)])
    await until(
        lambda: [one.problems for one in started.speaker.events if isinstance(one, FieldsUnsupported)][-1] == (),
        "told that it is well",
    )
    assert not [one for one in started.speaker.events if isinstance(one, SessionStateChanged) and one.reason]


async def test_the_first_open_does_not_ask_routers_to_go_on_without_end_of_rib(started):
    """A router that restarts gracefully itself would drop every route at once, see `porter.bgp.launcher`."""
    opened: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        kind, body = await read_message(reader)
        if kind == OPEN and not opened.done():
            opened.set_result(body)

    async with ScriptedPeer(ADDRESS(3), take) as router:
        await started.speaker.publisher.configure([settings("peer", router.address)])
        body = await asyncio.wait_for(opened, OPENED_WITHIN_S)
    capabilities = dict(_capabilities(body))
    assert GRACEFUL_RESTART in capabilities
    assert not capabilities[GRACEFUL_RESTART][0] & RESTART_STATE


def _capabilities(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and value of each capability in an OPEN's body (RFC 5492)."""
    rest = body[10:]
    while rest:
        parameter, rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        while parameter:
            yield parameter[0], parameter[2 : 2 + parameter[1]]
            parameter = parameter[2 + parameter[1] :]
