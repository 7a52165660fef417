"""BGP communities as canonical text: `65000:100` (RFC 1997), `65000:1:2` (RFC 8092), and the registered names.

A name becomes its number, so that equal communities are equal values whatever they were written as.
"""

from __future__ import annotations

from types import MappingProxyType

WELL_KNOWN_COMMUNITIES = MappingProxyType(
    {
        "graceful-shutdown": "65535:0",
        "accept-own": "65535:1",
        "llgr-stale": "65535:6",
        "no-llgr": "65535:7",
        "accept-own-nexthop": "65535:8",
        "blackhole": "65535:666",
        "no-export": "65535:65281",
        "no-advertise": "65535:65282",
        "no-export-subconfed": "65535:65283",
        "no-peer": "65535:65284",
        # What routers call the same ones.
        "gshut": "65535:0",
        "planned-shut": "65535:0",
        "local-as": "65535:65283",
        "nopeer": "65535:65284",
        "internet": "0:0",
    }
)
"""The names of IANA's registry "BGP Well-known Communities", in lower case with hyphens, and their aliases."""

MAX_COMMUNITY_PART = 65535
MAX_LARGE_COMMUNITY_PART = 4294967295
MAX_COMMUNITY_NUMBER = 4294967295


class InvalidCommunity(ValueError):
    """Text that is no community; the message says what was expected."""


def parse_community(text: str) -> str:
    """Return a standard community as `high:low`.

    It is read as a pair of numbers, as one number of 32 bits, or as a registered name in any case, with hyphens or
    underscores.

    Raises:
        InvalidCommunity: the text is none of these.
    """
    text = text.strip()
    known = WELL_KNOWN_COMMUNITIES.get(text.lower().replace("_", "-"))
    if known is not None:
        return known
    parts = _numbers(text, 1 if ":" not in text else 2, MAX_COMMUNITY_NUMBER if ":" not in text else MAX_COMMUNITY_PART)
    if len(parts) == 1:
        return f"{parts[0] >> 16}:{parts[0] & MAX_COMMUNITY_PART}"
    if len(parts) == 2:
        return f"{parts[0]}:{parts[1]}"
    raise InvalidCommunity(f"{text[:64]!r} is no community; write one like 65000:100, or a name like no-export")


def parse_large_community(text: str) -> str:
    """Return a large community as `administrator:data:data`.

    Raises:
        InvalidCommunity: the text is not three numbers of 32 bits each.
    """
    text = text.strip()
    parts = _numbers(text, 3, MAX_LARGE_COMMUNITY_PART)
    if not parts:
        raise InvalidCommunity(f"{text[:64]!r} is no large community; write three numbers, like 65000:1:2")
    return ":".join(map(str, parts))


def _numbers(text: str, count: int, most: int) -> tuple[int, ...]:
    """Read `count` numbers separated by colons; nothing where one is missing or too large."""
    parts = text.split(":")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        return ()
    numbers = tuple(map(int, parts))
    return numbers if max(numbers) <= most else ()
