"""The look at a router that takes no connection, against real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest

from porter.bgp import probing
from porter.bgp.attempts import Verdict
from porter.bgp.probing import probe
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings


def settings_of(listener: socket.socket, **changes) -> SessionSettings:
    address = Address(listener.getsockname()[0])
    base = SessionSettings(PeerKey("tor"), address, 64512, 64500, address, address)
    return base._replace(port=listener.getsockname()[1], **changes)


def listening(address: str, *options: tuple[int, int, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    for option in options:
        made.setsockopt(*option)
    made.bind((address, 0))
    made.listen()
    return made


SECURED = {
    "127.0.0.1": (
        (socket.IPPROTO_IP, socket.IP_TTL, 255),
        (socket.IPPROTO_IP, probing.IP_MINTTL, 255),
    ),
    "::1": (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255),
        (socket.IPPROTO_IPV6, probing.IPV6_MINHOPCOUNT, 255),
    ),
}


@pytest.mark.parametrize("address", SECURED)
async def test_a_router_with_ttl_security_answers_the_look_of_a_session_that_has_it_too(address, monkeypatch):
    monkeypatch.setattr(probing, "ANSWER_TIMEOUT_S", 1.0)
    with listening(address, *SECURED[address]) as router:
        assert await probe(settings_of(router, ttl_security=True)) is Verdict.ACCEPTED
        assert await probe(settings_of(router)) is Verdict.SILENT


@pytest.mark.parametrize("address", SECURED)
async def test_a_router_without_ttl_security_is_not_heard_by_a_session_that_has_it(address, monkeypatch):
    monkeypatch.setattr(probing, "ANSWER_TIMEOUT_S", 1.0)
    with listening(address) as router:
        assert await probe(settings_of(router)) is Verdict.ACCEPTED
        assert await probe(settings_of(router, ttl_security=True)) is Verdict.SILENT


async def test_a_port_that_nobody_listens_on_refuses_and_a_foreign_address_is_no_place_to_look_from():
    with listening("127.0.0.1") as router:
        settings = settings_of(router)
    assert await probe(settings) is Verdict.REFUSED
    assert await probe(settings._replace(local_address=Address("192.0.2.1"))) is Verdict.UNREACHABLE


async def test_a_look_goes_as_far_as_a_multihop_session_may(monkeypatch):
    with listening("127.0.0.1") as router:
        settings = settings_of(router, multihop_ttl=7)
        made: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        async def seen(probing: socket.socket, address: object) -> None:
            made.append(probing.dup())
            await connect(probing, address)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "sock_connect", seen)
        assert await probe(settings) is Verdict.ACCEPTED
        with made[0] as used:
            assert used.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7
