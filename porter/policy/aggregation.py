"""Aggregates: one prefix that stands for all Services of policy Cluster within it.

An aggregate never reaches beyond its pool: one that did would draw traffic for addresses that are not Porter's. An
address whose aggregate does not lie within one of the pool's ranges keeps its own route.
"""

from __future__ import annotations

from collections.abc import Sequence

from porter.model.address import (
    MAX_PREFIX_LENGTH,
    Address,
    AddressRange,
    Family,
    Prefix,
    address_from_number,
    address_number,
    family_of,
    prefix_address,
)


def aggregate_of(address: Address, length: int, ranges: Sequence[AddressRange]) -> Prefix | None:
    """The aggregate of a length that holds an address; None where it is no shorter than the host prefix, or would
    reach beyond the ranges, which are merged."""
    family = family_of(address)
    host_bits = MAX_PREFIX_LENGTH[family] - length
    if not length or host_bits <= 0:
        return None
    first = address_number(address) >> host_bits << host_bits
    last = first + (1 << host_bits) - 1
    if not any(one.family == family and one.first <= first and last <= one.last for one in ranges):
        return None
    return Prefix(f"{address_from_number(first, family)}/{length}")


def span_of(prefix: Prefix) -> tuple[int, int]:
    """The first and the last address of a prefix, as numbers."""
    address = prefix_address(prefix)
    first = address_number(address)
    host_bits = MAX_PREFIX_LENGTH[family_of(address)] - int(prefix.partition("/")[2])
    return first, first + (1 << host_bits) - 1


def shortest_length(family: Family, ranges: Sequence[AddressRange]) -> int:
    """The shortest length of which an aggregate fits into one of the ranges, which are merged; the host prefix's
    where they hold nothing of this family."""
    host_length = MAX_PREFIX_LENGTH[family]
    lengths = [_shortest_within(one, host_length) for one in ranges if one.family == family]
    return min(lengths, default=host_length)


def _shortest_within(one: AddressRange, host_length: int) -> int:
    for bits in range(min(host_length, one.size.bit_length() - 1), -1, -1):
        first = (one.first + (1 << bits) - 1) >> bits << bits
        if first + (1 << bits) - 1 <= one.last:
            return host_length - bits
    return host_length
