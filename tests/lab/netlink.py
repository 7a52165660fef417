"""Routes as the kernel tells them (rtnetlink(7)), decoded by hand.

A general decoder builds an object per attribute and takes about a millisecond for a route of twelve next hops; the
watch looks at whole tables twenty times a second beside the programs it watches, so this one reads only what it needs.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR = 2
NLMSG_DONE = 3
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26

NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_APPEND = 0x800

RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_MULTIPATH = 9
RTA_VIA = 18
RTA_TABLE = 15

RTMGRP_IPV4_ROUTE = 0x40
RTMGRP_IPV6_ROUTE = 0x400
RT_TABLE_MAIN = 254
RTN_UNICAST = 1

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")
_WORD = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class RouteMessage:
    """One RTM_NEWROUTE or RTM_DELROUTE of a unicast route in the main table.

    ``next_hops`` are addresses as text; a hop without a gateway is "link <index>".
    """

    new: bool
    flags: int
    prefix: str
    priority: int
    protocol: int
    next_hops: frozenset[str]


@dataclass(frozen=True, slots=True)
class DumpEnd:
    """The end of a dump; ``error`` is an errno, or 0."""

    error: int


def dump_request(family: int, sequence: int) -> bytes:
    """A request for all routes of a family."""
    body = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, 0, RTN_UNICAST, 0)
    return _HEADER.pack(_HEADER.size + len(body), RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def messages(buffer: bytes) -> Iterator[RouteMessage | DumpEnd]:
    """What is in one datagram of a NETLINK_ROUTE socket; other tables and kinds of route are left out."""
    offset = 0
    while offset + _HEADER.size <= len(buffer):
        length, kind, flags, _, _ = _HEADER.unpack_from(buffer, offset)
        body = offset + _HEADER.size
        if kind in (RTM_NEWROUTE, RTM_DELROUTE):
            message = _route(buffer, body, offset + length, kind == RTM_NEWROUTE, flags)
            if message is not None:
                yield message
        elif kind == NLMSG_DONE:
            yield DumpEnd(0)
        elif kind == NLMSG_ERROR:
            yield DumpEnd(-struct.unpack_from("=i", buffer, body)[0])
        offset += _aligned(length)


def _route(buffer: bytes, start: int, end: int, new: bool, flags: int) -> RouteMessage | None:
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(buffer, start)
    if kind != RTN_UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    destination = bytes(4 if family == socket.AF_INET else 16)
    priority = 0
    gateway: str | None = None
    link = 0
    hops: frozenset[str] = frozenset()
    for kind, at, size in _attributes(buffer, start + _ROUTE.size, end):
        if kind == RTA_DST:
            destination = buffer[at : at + size]
        elif kind == RTA_GATEWAY:
            gateway = socket.inet_ntop(family, buffer[at : at + size])
        elif kind == RTA_VIA:
            gateway = _via(buffer, at, size)
        elif kind == RTA_PRIORITY:
            priority = _WORD.unpack_from(buffer, at)[0]
        elif kind == RTA_TABLE:
            table = _WORD.unpack_from(buffer, at)[0]
        elif kind == RTA_OIF:
            link = _WORD.unpack_from(buffer, at)[0]
        elif kind == RTA_MULTIPATH:
            hops = frozenset(_next_hops(buffer, at, at + size, family))
    if table != RT_TABLE_MAIN:
        return None
    prefix = f"{socket.inet_ntop(family, destination)}/{length}"
    return RouteMessage(new, flags, prefix, priority, protocol, hops or frozenset({gateway or f"link {link}"}))


def _next_hops(buffer: bytes, start: int, end: int, family: int) -> Iterator[str]:
    offset = start
    while offset + _NEXT_HOP.size <= end:
        length, _, _, link = _NEXT_HOP.unpack_from(buffer, offset)
        gateway = f"link {link}"
        for kind, at, size in _attributes(buffer, offset + _NEXT_HOP.size, offset + length):
            if kind == RTA_GATEWAY:
                gateway = socket.inet_ntop(family, buffer[at : at + size])
            elif kind == RTA_VIA:
                gateway = _via(buffer, at, size)
        yield gateway
        offset += _aligned(length)


def _via(buffer: bytes, at: int, size: int) -> str:
    """A gateway of another family than the route's: `struct rtvia`, the family and the address."""
    family: int = struct.unpack_from("=H", buffer, at)[0]
    return socket.inet_ntop(family, buffer[at + 2 : at + size])


def _attributes(buffer: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    offset = start
    while offset + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind, offset + _ATTRIBUTE.size, length - _ATTRIBUTE.size
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
