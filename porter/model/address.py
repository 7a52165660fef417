"""IP addresses, prefixes and address ranges as canonical, hashable values.

An `Address` or `Prefix` is its canonical text (RFC 5952 for IPv6): it compares, sorts into a dictionary and
travels through the journal without conversion. Only the two parsers below make one, so text that
has the type is known to be well formed.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal, NamedTuple, NewType

Address = NewType("Address", str)
Prefix = NewType("Prefix", str)
Family = Literal["IPv4", "IPv6"]

IPV4: Family = "IPv4"
IPV6: Family = "IPv6"
FAMILIES: tuple[Family, Family] = (IPV4, IPV6)
MAX_PREFIX_LENGTH: dict[Family, int] = {IPV4: 32, IPV6: 128}


class InvalidAddress(ValueError):
    """Text that is no address, prefix or range; the message says what was expected."""


def parse_address(text: str) -> Address:
    """Return the canonical form of one address.

    Raises:
        InvalidAddress: the text is no IPv4 or IPv6 address.
    """
    try:
        return Address(str(ip_address(text.strip())))
    except ValueError as error:
        raise InvalidAddress(f"{text!r} is no IP address; write one like 192.0.2.1 or 2001:db8::1") from error


def plain_address(address: Address) -> Address:
    """The same address without its zone, and as IPv4 if it is mapped into IPv6 (RFC 4291, section 2.5.5.2)."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return Address(str(mapped or found))


def parse_prefix(text: str) -> Prefix:
    """Return the canonical form of a prefix; host bits are masked off, a bare address becomes its host prefix.

    Raises:
        InvalidAddress: the text is no prefix.
    """
    try:
        return Prefix(str(ip_network(text.strip(), strict=False)))
    except ValueError as error:
        raise InvalidAddress(f"{text!r} is no CIDR prefix; write one like 192.0.2.0/24 or 2001:db8::/64") from error


def family_of(value: Address | Prefix | str) -> Family:
    """The family of a canonical address or prefix: only IPv6 text holds a colon."""
    return IPV6 if ":" in value else IPV4


def host_prefix(address: Address) -> Prefix:
    """The /32 or /128 that a Service's address is announced as."""
    return Prefix(f"{address}/{MAX_PREFIX_LENGTH[family_of(address)]}")


def is_aggregate(prefix: Prefix) -> bool:
    """Whether a prefix is more than one address."""
    return not prefix.endswith("/128" if ":" in prefix else "/32")


def prefix_address(prefix: Prefix) -> Address:
    """The address part of a prefix."""
    return Address(prefix.partition("/")[0])


@lru_cache(maxsize=65536)
def address_number(address: Address) -> int:
    """The address as an unsigned integer."""
    if ":" in address:
        return int(ip_address(address))
    # A state holds tens of thousands of them, each checked already when it became an address.
    first, second, third, fourth = address.split(".")
    return int(first) << 24 | int(second) << 16 | int(third) << 8 | int(fourth)


def address_from_number(number: int, family: Family) -> Address:
    """The address whose unsigned integer is `number`.

    Raises:
        InvalidAddress: the number does not fit the family.
    """
    try:
        return Address(str(IPv4Address(number) if family == IPV4 else IPv6Address(number)))
    except ValueError as error:
        raise InvalidAddress(f"{number} is no {family} address") from error


class AddressRange(NamedTuple):
    """An inclusive range of one family, by number."""

    family: Family
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many addresses the range holds."""
        return self.last - self.first + 1

    def __contains__(self, address: object) -> bool:
        """Whether a canonical address lies in the range."""
        if not isinstance(address, str) or family_of(address) != self.family:
            return False
        return self.first <= address_number(Address(address)) <= self.last

    def __str__(self) -> str:
        first, last = (address_from_number(number, self.family) for number in (self.first, self.last))
        return first if first == last else f"{first}-{last}"


def parse_range(text: str) -> AddressRange:
    """Read `IP`, `IP/length` or `IP-IP`, the three forms of an Eip's address; a CIDR's host bits are masked off.

    Raises:
        InvalidAddress: neither form, ends of two families, or the last address before the first.
    """
    text = text.strip()
    if "/" in text:
        network = ip_network(parse_prefix(text))
        family: Family = IPV4 if network.version == 4 else IPV6
        return AddressRange(family, int(network.network_address), int(network.broadcast_address))
    first_text, dash, last_text = text.partition("-")
    first = parse_address(first_text)
    last = parse_address(last_text) if dash else first
    if family_of(first) != family_of(last):
        raise InvalidAddress(f"{text!r} mixes IPv4 and IPv6; write one range per family")
    if address_number(last) < address_number(first):
        raise InvalidAddress(f"{text!r} ends before it begins; write the lower address first")
    return AddressRange(family_of(first), address_number(first), address_number(last))
