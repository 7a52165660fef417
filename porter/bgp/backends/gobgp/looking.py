"""A look at a router before GoBGP calls it: does it restart just now?

GoBGP tells a peer either both that it restarted itself and that it kept forwarding (the Restart State and Forwarding
State bits of RFC 4724, section 3), or neither. A router that keeps our routes drops them without the latter. A router
that restarts gracefully itself does not wait for us with the former, and drops every route until it is sent again. So
it must be known beforehand which of the two it is: a router says so in its OPEN, which it sends as soon as it has taken
a connection. That is read, and the connection closed, before anything was said.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from porter.bgp.probing import socket_of
from porter.model.bgp import SessionSettings

LOOK_TIMEOUT_S = 3.0
"""Connecting and the router's OPEN together; it takes milliseconds."""
HEADER_BYTES = 19
OPEN, GRACEFUL_RESTART, FOUR_OCTET_AS, CAPABILITIES = 1, 64, 65, 2
AS_BYTES = 4
AS_TRANS = 23456
"""In the field of two bytes it stands for a number that does not fit there (RFC 6793, section 9)."""
RESTART_STATE = 0x80
MIN_OPEN_BYTES = 10
TCP_MD5SIG = 14
MD5_ADDRESS_BYTES, MD5_KEY_BYTES = 128, 80

log = structlog.get_logger("porter.bgp")


class Look(enum.Enum):
    """What a look at a router told."""

    RESTARTING = "it says that it restarted"
    RUNNING = "it says nothing of a restart"
    CLOSED = "nothing listens: it may be about to restart"
    UNKNOWN = "it did not say anything"

    def may_keep(self, *, told_before: bool) -> bool:
        """Whether the router may keep routes of a session before this one.

        Args:
            told_before: a former session was told of a restart within the router's restart time, and since then our
                own daemon died. FRR goes on to tell of a restart for that long; later it is another one.
        """
        return self in (Look.RUNNING, Look.UNKNOWN) or (self is Look.RESTARTING and told_before)


class Seen(NamedTuple):
    """What came of a look, and the AS number that the router says to have; None where it said nothing."""

    look: Look
    peer_as: int | None = None


async def look(settings: SessionSettings, password: str | None) -> Seen:
    """Connect to a session's router as GoBGP would, and read the OPEN that it begins with.

    A router that connects to us is not called: nothing is known of it.
    """
    if settings.passive:
        return Seen(Look.UNKNOWN)
    seen = await _look(settings, password)
    log.info("the router was looked at before it is called", peer=settings.peer, told=seen.look.value)
    return seen


async def _look(settings: SessionSettings, password: str | None) -> Seen:
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            with _socket(settings, password) as connection:
                await asyncio.get_running_loop().sock_connect(connection, (settings.peer_address, settings.port))
                return await _said(connection)
    except ConnectionRefusedError:
        return Seen(Look.CLOSED)
    except (OSError, TimeoutError):
        return Seen(Look.UNKNOWN)


def _socket(settings: SessionSettings, password: str | None) -> socket.socket:
    """A socket with all that the session's own has: address, TTL and key.

    Raises:
        OSError: the machine has no such address, or no such option.
    """
    if not settings.multihop_ttl and settings.local_as != settings.peer_as and not settings.ttl_security:
        # As GoBGP has it with an external peer.
        settings = settings._replace(multihop_ttl=1)
    made = socket_of(settings)
    try:
        if password is not None:
            made.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, _key(settings.peer_address, password))
    except BaseException:
        made.close()
        raise
    return made


def _key(address: str, password: str) -> bytes:
    """`struct tcp_md5sig` of linux/tcp.h."""
    peer = ipaddress.ip_address(address)
    if peer.version == 4:
        named = struct.pack("=HH4s", socket.AF_INET, 0, peer.packed)
    else:
        named = struct.pack("=HHI16s", socket.AF_INET6, 0, 0, peer.packed)
    key = password.encode("ascii")
    return struct.pack(f"={MD5_ADDRESS_BYTES}sBBHi{MD5_KEY_BYTES}s", named, 0, 0, len(key), 0, key)


async def _said(connection: socket.socket) -> Seen:
    header = await _exactly(connection, HEADER_BYTES)
    length, kind = struct.unpack("!HB", header[16:])
    if kind != OPEN or length < HEADER_BYTES + MIN_OPEN_BYTES:
        return Seen(Look.UNKNOWN)
    body = await _exactly(connection, length - HEADER_BYTES)
    return Seen(Look.RESTARTING if restart_state(body) else Look.RUNNING, as_number(body))


async def _exactly(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        chunk = await asyncio.get_running_loop().sock_recv(connection, count - len(read))
        if not chunk:
            raise ConnectionError("the router closed the connection")
        read += chunk
    return read


def restart_state(opened: bytes) -> bool:
    """Whether an OPEN's body (RFC 4271, section 4.2) has the Restart State bit of RFC 4724."""
    with contextlib.suppress(IndexError):
        return any(code == GRACEFUL_RESTART and value[0] & RESTART_STATE for code, value in _capabilities(opened))
    return False


def as_number(opened: bytes) -> int | None:
    """The AS number of an OPEN's body: that of its capability (RFC 6793, section 3), or else the field of two bytes.

    None where it has neither that can be read.
    """
    for code, value in _capabilities(opened):
        if code == FOUR_OCTET_AS and len(value) == AS_BYTES:
            return int.from_bytes(value, "big")
    number = int.from_bytes(opened[1:3], "big")
    return None if number == AS_TRANS else number


def _capabilities(opened: bytes) -> Iterator[tuple[int, bytes]]:
    for kind, parameter in _values(opened[MIN_OPEN_BYTES:]):
        if kind == CAPABILITIES:
            yield from _values(parameter)


def _values(rest: bytes) -> Iterator[tuple[int, bytes]]:
    """What is packed as kind, length and value, one behind the other; what is cut off is left out."""
    while len(rest) > 1:
        kind, length = rest[0], rest[1]
        if len(rest) < 2 + length:
            return
        yield kind, rest[2 : 2 + length]
        rest = rest[2 + length :]
