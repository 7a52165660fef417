"""Arithmetic of address ranges: what is computed about a pool must not depend on how many addresses it has."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from porter.model.address import IPV4, AddressRange, Family, parse_range

OCTET = 256
BUGGY_OCTETS = frozenset((0, OCTET - 1))
"""Last octets of IPv4 addresses that some clients take for a network's or a broadcast address, whatever its prefix."""


def merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    """Sort ranges, and join those that touch or overlap."""
    joined: list[AddressRange] = []
    for one in sorted(ranges):
        last = joined[-1] if joined else None
        if last is not None and last.family == one.family and one.first <= last.last + 1:
            joined[-1] = last._replace(last=max(last.last, one.last))
        else:
            joined.append(one)
    return tuple(joined)


def parsed(pairs: Iterable[tuple[str, str]]) -> tuple[AddressRange, ...]:
    """The `first-last` pairs of a fact as ranges, merged.

    Raises:
        InvalidAddress: a pair is no range.
    """
    return merged(parse_range(f"{first}-{last}") for first, last in pairs)


def without(ranges: tuple[AddressRange, ...], excluded: tuple[AddressRange, ...]) -> tuple[AddressRange, ...]:
    """What is left of merged ranges without others, also merged."""
    left: list[AddressRange] = []
    for one in ranges:
        first = one.first
        index = max(0, bisect_right(excluded, (one.family, first)) - 1)
        for gap in excluded[index:]:
            if gap.family != one.family or gap.last < first:
                continue
            if gap.first > one.last:
                break
            if gap.first > first:
                left.append(AddressRange(one.family, first, gap.first - 1))
            first = gap.last + 1
        if first <= one.last:
            left.append(AddressRange(one.family, first, one.last))
    return tuple(left)


def spanning(ranges: tuple[AddressRange, ...], family: Family, number: int) -> bool:
    """Whether one of merged ranges holds a number."""
    index = bisect_right(ranges, (family, number + 1)) - 1
    return index >= 0 and ranges[index].family == family and number <= ranges[index].last


def is_buggy(family: Family, number: int) -> bool:
    """Whether an address ends in .0 or .255."""
    return family == IPV4 and number % OCTET in BUGGY_OCTETS


def buggy_count(one: AddressRange) -> int:
    """How many addresses of a range end in .0 or .255."""
    if one.family != IPV4:
        return 0

    def upto(number: int) -> int:
        return number // OCTET + 1 + (number + 1) // OCTET

    return upto(one.last) - upto(one.first - 1)
