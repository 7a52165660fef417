"""The TTLs of a session's packets, with each engine in turn: looked at on the wire, and what each side lets pass."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from porter.model.address import IPV4, IPV6
from tests.integration.bgp.lab import ADDRESS, ADDRESS6, PORT, settings, until
from tests.integration.bgp.scripted import ScriptedPeer
from tests.integration.bgp.test_both_engines import served

pytestmark = pytest.mark.timeout(180)

ATTEMPTED_WITHIN_S = 40.0
STAYS_DOWN_S = 15.0
"""Longer than GoBGP waits before an attempt to connect."""
ALL_PROTOCOLS = 3
SINGLE_HOP = {"exabgp": 64, "gobgp": 1}
"""To an external peer that is not multihop, as docs/concepts/speaker.md tells it."""


class Wire:
    """The TTL, or hop limit, of each packet that begins a connection to a router, by the router's address."""

    def __init__(self) -> None:
        self.ttls: dict[str, int] = {}
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
        except PermissionError:
            pytest.skip("run it as root: packets are looked at on the wire")
        self._socket.bind(("lo", ALL_PROTOCOLS))
        self._socket.setblocking(False)

    def look(self) -> None:
        """Take what passed since the last look."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(self._socket.recv(2048))

    def _take(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            family, target, ttl, begin = socket.AF_INET, packet[16:20], packet[8], 4 * (packet[0] & 15)
        else:
            family, target, ttl, begin = socket.AF_INET6, packet[24:40], packet[7], 40
        port, flags = struct.unpack("!2xH9xB", packet[begin : begin + 14])
        if port == PORT and flags & 0x12 == 0x02:
            self.ttls[socket.inet_ntop(family, target)] = ttl

    def close(self) -> None:
        """Look no more."""
        self._socket.close()


@pytest.fixture
def wire():
    """The loopback interface."""
    looking = Wire()
    yield looking
    looking.close()


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6], ids=["ipv4", "ipv6"])
async def test_how_far_packets_go(engine_lab, wire, address):
    speaker = engine_lab.speaker
    wanted = {address(2): 255, address(3): 5, address(4): SINGLE_HOP[speaker.engine]}
    near, multihop, plain = wanted
    families = {"families": (IPV4, IPV6)}
    await speaker.publisher.configure(
        [
            settings("near", near, ttl_security=True, **families),
            settings("multihop", multihop, multihop_ttl=5, **families),
            settings("plain", plain, **families),
        ]
    )
    for peer in ("near", "multihop", "plain"):
        speaker.want(peer, {})

    def seen() -> bool:
        wire.look()
        return wanted.keys() <= wire.ttls.keys()

    await until(seen, "an attempt to connect to each", ATTEMPTED_WITHIN_S)
    assert {router: wire.ttls[router] for router in wanted} == wanted


async def test_with_ttl_security_no_packet_of_a_far_router_counts(engine_lab):
    """Its packets have an everyday TTL: one that is far away, or that has no TTL security, looks the same."""

    async def sound(reader, writer):
        await plain.establish(reader, writer)
        await plain.stay(reader, writer)

    speaker = engine_lab.speaker
    async with ScriptedPeer(ADDRESS(3), sound) as far, ScriptedPeer(ADDRESS(4), sound) as plain:
        await speaker.publisher.configure(
            [
                settings("far", far.address, families=(IPV4,), ttl_security=True),
                settings("plain", plain.address, families=(IPV4,)),
            ]
        )
        for peer in ("far", "plain"):
            speaker.want(peer, {})
        await until(lambda: speaker.view("plain").state == "Established", "a session without it", ATTEMPTED_WITHIN_S)
        await asyncio.sleep(STAYS_DOWN_S)
        assert speaker.view("far").state != "Established"
        assert speaker.view("plain").flaps == 0


async def test_bird_calls_with_ttl_security(engine_lab):
    """FRR cannot call ExaBGP so: it drops the answer to its first packet, which has the TTL of a listening socket."""
    router = engine_lab.bird("tor", ADDRESS(2), calls=True, ttl_security=True)
    await served(engine_lab, settings("tor", router.address, passive=True, ttl_security=True), router)
    assert engine_lab.speaker.view("tor").flaps == 0
