"""Pseudonyms for a history that leaves its owner: the same one for the same name, throughout, in the same order.

Names, namespaces, labels and their values become `x0001`, `x0002` and so on, by their order. Free texts become
`text0001`. Addresses move block by block: each smallest network that holds a pool's range, or the /24 (IPv6: /64) of a
single address, goes to another place of the same size and alignment, in the same order. So what lay in a pool, a
prefix or a subnet lies in it still; only where the networks are is hidden, and not their sizes. Within a block of IPv6
the hosts are numbered by their order, since an interface identifier may be a MAC address; what a pool's range spans
keeps its form. Words of Porter's own vocabulary, AS numbers, times and all numbers that are no texts stay. A text of
digits is a name or a label, too (`12` for a rack, `2024` for a namespace), except in the fields of `FIGURES`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import repeat
from typing import Any, NamedTuple

from porter.events.catalogue import EVENT_TYPES
from porter.events.decided import SchemaActivated
from porter.events.observed import AdvertisementObserved, PoolObserved
from porter.events.routed import Path
from porter.model.reasons import Reason
from porter.policy.racks import RACK_LABELS
from porter.projections.inventory import SINCE

WORDS = frozenset(
    {
        *("", "*", "default", "IPv4", "IPv6", "SingleStack", "PreferDualStack", "RequireDualStack", "Cluster", "Local"),
        *("TCP", "UDP", "SCTP", "bgp", "layer2", "vip", "central", "node", "In", "NotIn", "Exists", "DoesNotExist"),
        *("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Service", "Endpoints", "Node"),
        *("Namespace", "Pool", "Conf", "Peer", "Advertisement", "ServiceRange", SINCE, "inventory", "journal"),
        *("kubernetes.io/metadata.name", "no-export", "no-advertise", "internet"),
        *RACK_LABELS,
        *map(str, Reason),
        *EVENT_TYPES,
    }
)
"""What stays: words of Porter and Kubernetes, which name nobody's objects."""

FIGURES = frozenset({"resource_version", "version", "communities", "large_communities", "field"})
"""Fields of events whose texts are figures: versions, communities, paths of fields. Elsewhere such a text is a name."""

FIGURE = re.compile(r"[0-9.:]*|spec(\.[A-Za-z]+)*")
"""Numbers, communities and versions; paths of fields."""

HASH = re.compile(r"[0-9a-f]{64}")
_SEPARATOR = re.compile(r"([/,])")
BLOCK_LENGTH = {4: 24, 6: 64}
"""A single address moves with its neighbours of one subnet."""

FIRST_BLOCK = {4: int(IPv4Address("11.0.0.0")), 6: int(IPv6Address("2001:db9::"))}
"""Where the new places begin. They are made up: whose they really are does not matter."""

Network = IPv4Network | IPv6Network


class Block(NamedTuple):
    """One network and the number that moves it to its new place."""

    network: Network
    shift: int


class Blocks:
    """Blocks of one version that lie apart, in order."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._starts = [int(one.network.network_address) for one in blocks]

    def holding(self, network: Network) -> Block | None:
        """The block that a network lies in as a whole."""
        index = bisect_right(self._starts, int(network.network_address)) - 1
        found = self._blocks[index] if index >= 0 else None
        if found is None or found.network.version != network.version:
            return None
        return found if int(network.broadcast_address) <= int(found.network.broadcast_address) else None


class Pseudonyms:
    """Collects all that is to be replaced by `see`; after `settle`, `of` gives the replacement of any value."""

    def __init__(self, hash_of: Callable[[str], str]) -> None:
        self._names: set[str] = set()
        self._texts: set[str] = set()
        self._networks: set[Network] = set()
        self._pools: set[Network] = set()
        self._aggregates: dict[int, int] = {}
        self._blocks = {4: Blocks(()), 6: Blocks(())}
        self._hosts = Blocks(())
        self._of_name: dict[str, str] = {}
        self._hash_of = hash_of
        self._mapped = lru_cache(maxsize=65536)(self._replaced)

    # ---------------------------------------------------------------------------------------------------- collecting

    def see(self, value: object) -> None:
        """Take note of every name, text and address in a value."""
        if isinstance(value, str):
            self._see_text(value)
        elif isinstance(value, tuple | list | frozenset):
            if isinstance(value, PoolObserved):
                for first, last in (*value.ranges, *value.excludes):
                    if network_of(first) is not None and network_of(last) is not None:
                        self._networks.add(spanning(first, last))
                        self._pools.add(spanning(first, last))
            if isinstance(value, AdvertisementObserved):
                for version, length in ((4, value.aggregation_length), (6, value.aggregation_length_v6)):
                    if length:
                        self._aggregates[version] = min(length, self._aggregates.get(version, length))
            for one in names_in(value):
                self.see(one)

    def _see_text(self, text: str) -> None:
        network = network_of(text)
        if network is not None:
            self._networks.add(network)
        elif text in WORDS:
            return
        elif " " in text:
            self._texts.add(text)
        else:
            for part in _SEPARATOR.split(text):
                if part in "/," or part in WORDS:
                    continue
                if (inner := network_of(part)) is not None:
                    self._networks.add(inner)
                else:
                    self._names.add(part)

    def settle(self) -> None:
        """Give out the pseudonyms."""
        for kind, values in (("x", self._names), ("text", self._texts)):
            width = max(4, len(str(len(values))))
            self._of_name |= {value: f"{kind}{number:0{width}}" for number, value in enumerate(sorted(values), start=1)}
        self._blocks = {version: Blocks(tuple(self._placed(version))) for version in (4, 6)}
        self._hosts = Blocks(tuple(self._numbered()))

    def _placed(self, version: int) -> Iterable[Block]:
        least = min(BLOCK_LENGTH[version], self._aggregates.get(version, BLOCK_LENGTH[version]))
        seen = (one for one in self._networks if one.version == version)
        wide = [one if one.prefixlen <= least else one.supernet(new_prefix=least) for one in seen]
        # What another one holds moves with it.
        apart = outermost(wide)
        place = FIRST_BLOCK[version]
        for network in apart:
            size = network.num_addresses
            place = -(-place // size) * size
            while any(overlaps(place, size, one) for one in apart):
                place += size
            if place + size > 1 << network.max_prefixlen:
                raise OverflowError(f"the networks of this history do not fit into IPv{version} a second time")
            yield Block(network, place - int(network.network_address))
            place += size

    def _numbered(self) -> Iterator[Block]:
        """The hosts of IPv6 one after the other within their blocks, and what pools span as it is."""
        kept = max(self._aggregates.get(6, 0), BLOCK_LENGTH[6])
        # What an advertisement aggregates stays together.
        pools = {
            one if one.prefixlen <= kept or not self._aggregates.get(6) else one.supernet(new_prefix=kept)
            for one in self._pools
            if one.version == 6
        }
        within = {one for one in self._networks if one.version == 6 and one.prefixlen > BLOCK_LENGTH[6]}
        begin, place = -1, 0
        for network in outermost(pools | within):
            number, block = int(network.network_address), self._blocks[6].holding(network)
            assert block is not None, "every network that was seen lies in a block"
            if int(block.network.network_address) != begin:
                begin = int(block.network.network_address)
                place = begin + block.shift + min(1, number - begin)
            size = network.num_addresses
            place = -(-place // size) * size
            yield Block(network, place - number)
            place += size

    # ----------------------------------------------------------------------------------------------------- replacing

    def of(self, value: Any) -> Any:
        """A value with everything replaced; its type and its form stay."""
        if isinstance(value, str):
            return self._mapped(value)
        if isinstance(value, Path):
            hop = self.of(value.next_hop)
            return Path(self.of(value.prefix), self.number(value.path_id), hop)
        if isinstance(value, SchemaActivated):
            readers = tuple((self.of(name), self._figure(release)) for name, release in value.readers)
            return value._replace(readers=readers)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            fields = zip(value._fields, value, strict=True)
            return type(value)(*(self._figure(one) if name in FIGURES else self.of(one) for name, one in fields))
        if isinstance(value, tuple | list):
            return type(value)(self.of(one) for one in value)
        return value

    def _figure(self, value: Any) -> Any:
        """What stands in a field of figures: it stays, unless it is none."""
        if isinstance(value, str):
            return value if is_figure(value) else self.of(value)
        return tuple(self._figure(one) for one in value)

    def number(self, path_id: int) -> int:
        """An ADD-PATH identifier: mostly a node's IPv4 address as a number."""
        block = self._blocks[4].holding(IPv4Network(path_id)) if path_id < 1 << 32 else None
        return path_id + (block.shift if block is not None else 0)

    def _replaced(self, text: str) -> str:
        network = network_of(text)
        if network is not None:
            return self._moved(text, network)
        if text in WORDS:
            return text
        if HASH.fullmatch(text):
            return self._hash_of(text)
        if " " in text:
            return self._of_name[text]
        return "".join(self._part(part) for part in _SEPARATOR.split(text))

    def _part(self, part: str) -> str:
        if part in "/," or part in WORDS:
            return part
        network = network_of(part)
        return self._moved(part, network) if network is not None else self._of_name[part]

    def _moved(self, text: str, network: Network) -> str:
        block = self._hosts.holding(network) or self._blocks[network.version].holding(network)
        number = int(network.network_address) + (block.shift if block is not None else 0)
        address = IPv4Address(number) if network.version == 4 else IPv6Address(number)
        return f"{address}/{network.prefixlen}" if "/" in text else str(address)


def names_in(value: Iterable[Any]) -> Iterator[Any]:
    """The parts of a tuple or list in which a text is a name, an address, a word or a sentence: all but figures."""
    if isinstance(value, SchemaActivated):
        for name, release in value.readers:
            yield name
            yield from _names_among(release)
        return
    for field, one in zip(getattr(value, "_fields", repeat("")), value, strict=False):
        if field in FIGURES:
            yield from _names_among(one)
        else:
            yield one


def _names_among(figures: str | Iterable[str]) -> Iterator[str]:
    texts = (figures,) if isinstance(figures, str) else figures
    yield from (one for one in texts if not is_figure(one))


def is_figure(text: str) -> bool:
    """Whether a text in a field of figures is one, and no name that somebody gave."""
    return text in WORDS or FIGURE.fullmatch(text) is not None


@lru_cache(maxsize=65536)
def network_of(text: str) -> Network | None:
    """The network that a text names, an address as its host network; None for any other text."""
    if not text or not (text[0].isdigit() or ":" in text):
        return None
    if "/" not in text and ":" in text and text.count(":") < 2:
        return None
    try:
        return ip_network(text, strict=False) if "/" in text else ip_network(ip_address(text))
    except ValueError:
        return None


def spanning(first: str, last: str) -> Network:
    """The smallest network that holds a range."""
    low, high = ip_address(first), ip_address(last)
    length = low.max_prefixlen - (int(low) ^ int(high)).bit_length()
    return ip_network(f"{first}/{length}", strict=False)


def outermost(networks: Iterable[Network]) -> list[Network]:
    """Those of one version that no other one of them holds, in order: networks are nested or apart."""
    apart: list[Network] = []
    for network in sorted(networks, key=lambda one: (int(one.network_address), one.prefixlen)):
        if not apart or int(network.network_address) > int(apart[-1].broadcast_address):
            apart.append(network)
    return apart


def overlaps(place: int, size: int, network: Network) -> bool:
    """Whether a block at a place would lie over a network."""
    return place < int(network.network_address) + network.num_addresses and int(network.network_address) < place + size
