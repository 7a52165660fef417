"""The whole state as bytes: canonical, versioned, and the same on every machine.

A baseline is zlib over one msgpack array: [layout, ledger, inventory, pools, loc-rib, [drains, holds], activated]. Maps
are arrays of pairs sorted by key, facts are arrays in field order, as in the journal. Only what is folded is written;
what follows from it is derived again. The digest is taken before compression, since zlib's output differs between its
versions.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from operator import attrgetter
from typing import Any, cast

import msgpack

from porter.events import schema
from porter.events.codec import payload_builder
from porter.events.decided import AllocationRefused
from porter.events.observed import (
    AdvertisementObserved,
    ConfObserved,
    EndpointsObserved,
    NamespaceObserved,
    NodeObserved,
    PeerObserved,
    PoolObserved,
    ServiceObserved,
    ServiceRangeObserved,
)
from porter.model.address import FAMILIES
from porter.projections.cluster import ClusterState
from porter.projections.holdings import Cooling, Departure
from porter.projections.holds import decode_holds, encode_holds
from porter.projections.inventory import Inventory
from porter.projections.ledger import decode_ledger, encode_ledger
from porter.projections.loc_rib import LocRib
from porter.projections.maintenance import decode_maintenance, encode_maintenance
from porter.projections.pools import Allocation, Pools
from porter.projections.readiness import NotReady

REDUCER_VERSION = 5
"""Rises with every change of what a fold yields; the golden digests in the tests say when that is."""

ACTIVATED = 1000
"""Added to the version of a state in which a schema was activated: it has one part more. A state without is written as
before, so that the previous release can start from it as long as it can read the journal at all."""

OWN_VERSIONS = (REDUCER_VERSION, ACTIVATED + REDUCER_VERSION)
"""What this release writes; see `layout`."""
READABLE_VERSIONS = (3, 4, ACTIVATED + 4, *OWN_VERSIONS)
"""A baseline of version 4 is one of version 5 that knows no delay of speakers' drains: all are over. One of version 3
says nothing of extended next hops either."""

MAX_BASELINE_BYTES = 1 << 30
"""Most bytes that a baseline may hold after decompression."""

_COMPRESSION_LEVEL = 1
_BEGINNING_BYTES = 64 * 1024
"""So much is decompressed at a time where the beginning will do."""
_POSITION = attrgetter("position")


class UnreadableBaseline(Exception):
    """The bytes are no baseline of this release; the message says what they are, and the mend."""


class AlteredBaseline(Exception):
    """The content is not the one whose digest was recorded."""


def digest(encoded: bytes) -> str:
    """The SHA-256 (hex) of a baseline's content.

    Raises:
        UnreadableBaseline: the bytes are damaged.
    """
    return sha256(_decompress(encoded)).hexdigest()


def encode(state: ClusterState) -> bytes:
    """Encode a state; equal states give equal content, whatever the order in which they were folded."""
    content = [
        layout(state),
        encode_ledger(state.ledger),
        _encode_inventory(state.inventory),
        _encode_pools(state.pools),
        _encode_loc_rib(state.loc_rib),
        [encode_maintenance(state.ledger.maintenance), encode_holds(state.ledger.holds)],
    ]
    if state.ledger.activated:
        content.append(_pairs(state.ledger.activated))
    return zlib.compress(cast("bytes", msgpack.packb(content)), _COMPRESSION_LEVEL)


def layout(state: ClusterState) -> int:
    """The number that stands in front of a state's encoding: who knows it can decode the state."""
    return REDUCER_VERSION + (ACTIVATED if state.ledger.activated else 0)


def previous(encoded: bytes) -> int:
    """The position of the baseline before one; 0 where it was the first.

    Raises:
        UnreadableBaseline: the bytes are damaged, or another reducer's.
    """
    version, ledger = _beginning(encoded)
    _check_version(version)
    try:
        return decode_ledger(ledger).baseline_position
    except (TypeError, ValueError) as error:
        raise UnreadableBaseline(f"a baseline of version {version} is damaged: {error}") from error


def _beginning(encoded: bytes) -> tuple[Any, Any]:
    """The version and the ledger. The rest is not looked at: a look far back passes many baselines."""
    inflater = zlib.decompressobj()
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False)
    found: list[Any] = []
    try:
        while True:
            part = inflater.decompress(encoded, _BEGINNING_BYTES)
            encoded = inflater.unconsumed_tail
            if not part:
                raise UnreadableBaseline("a baseline is cut off within its beginning")
            unpacker.feed(part)
            try:
                if not found:
                    found.append(unpacker.read_array_header())
                while len(found) < 3:
                    found.append(unpacker.unpack())
            except msgpack.OutOfData:
                continue
            return found[1], found[2]
    except (zlib.error, ValueError, msgpack.UnpackException) as error:
        raise UnreadableBaseline(f"a baseline does not decode: {error}") from error


def decode(encoded: bytes, recorded_digest: str = "") -> ClusterState:
    """Decode what `encode` gave; with a digest, only if the content has it.

    Raises:
        AlteredBaseline: the content has another digest.
        UnreadableBaseline: the bytes are damaged, or another reducer's.
    """
    raw = _decompress(encoded)
    if recorded_digest and sha256(raw).hexdigest() != recorded_digest:
        raise AlteredBaseline
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False, max_buffer_size=MAX_BASELINE_BYTES)
    unpacker.feed(raw)
    try:
        parts, version = unpacker.read_array_header(), unpacker.unpack()
    except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
        raise UnreadableBaseline(f"a baseline of {len(raw)} bytes does not decode: {error}") from error
    _check_version(version)
    try:
        state = _read_state(unpacker, parts - 1)
        left = len(raw) - unpacker.tell()
    except UnreadableBaseline:
        raise
    except Exception as error:
        raise UnreadableBaseline(f"a baseline of version {version} is damaged: {error}") from error
    if left:
        raise UnreadableBaseline(f"a baseline of version {version} is damaged: {left} bytes are left over")
    return state


def content(encoded: bytes) -> Any:
    """What stands in a baseline as tuples, for who looks at its values; the facts of the inventory are of their types.

    Packed and compressed again, it is a baseline.

    Raises:
        UnreadableBaseline: the bytes are damaged, or another reducer's.
    """
    version, ledger, inventory, *others = _unpacked(_decompress(encoded))
    tables, uids, changed, readiness, last_good = inventory
    facts = [[build(one) for one in table] for build, table in zip(_BUILD_FACTS, tables, strict=True)]
    lasting = [(key, _BUILD_LASTING[key[0]](fact)) for key, fact in last_good]
    return (version, ledger, (facts, uids, changed, readiness, lasting), *others)


def _unpacked(raw: bytes) -> Any:
    try:
        content = msgpack.unpackb(raw, use_list=False, strict_map_key=False)
        version = content[0]
    except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
        raise UnreadableBaseline(f"a baseline of {len(raw)} bytes does not decode: {error}") from error
    _check_version(version)
    return content


def _check_version(version: Any) -> None:
    if version not in READABLE_VERSIONS:
        raise UnreadableBaseline(
            f"the baseline is of reducer version {version!r}, and this release folds by version {REDUCER_VERSION}; "
            "start from the beginning of the journal or its archive, or use the release that wrote it"
        )


def _decompress(encoded: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(encoded, MAX_BASELINE_BYTES)
    except zlib.error as error:
        raise UnreadableBaseline(f"a baseline of {len(encoded)} bytes does not decompress: {error}") from error
    if not inflater.eof:
        raise UnreadableBaseline(f"a baseline of {len(encoded)} bytes is cut off, or larger than {MAX_BASELINE_BYTES}")
    return raw


def _read_state(unpacker: Any, parts: int) -> ClusterState:
    """Read a state row by row: what was read becomes what it is while it is in the processor's cache."""
    if parts not in {5, 6}:
        raise ValueError(f"it has {parts} parts")
    ledger = decode_ledger(unpacker.unpack())
    inventory = _read_inventory(unpacker)
    pools = Pools(inventory)
    _read_pools(unpacker, pools)
    rib = LocRib(ledger, inventory, pools)
    rib_row = unpacker.unpack()
    maintenance, holds = unpacker.unpack()
    ledger.activated = _readable(unpacker.unpack() if parts == 6 else ())
    ledger.maintenance = decode_maintenance(maintenance, ledger.maintenance.speakers)
    ledger.holds = decode_holds(holds)
    _decode_loc_rib(rib, rib_row)
    return ClusterState(ledger, inventory, pools, rib)


def _expect(unpacker: Any, size: int) -> None:
    found = unpacker.read_array_header()
    if found != size:
        raise ValueError(f"an array of {size} has {found}")


def _readable(activated: Any) -> dict[str, int]:
    """What was activated, unless this release does not read it: it would stop at some later event, and not here."""
    reads = schema.reads()
    for name, version in activated:
        if reads.get(name, 0) < version:
            raise UnreadableBaseline(
                f"in its journal {name} version {version} is activated, which this release does not read; "
                "use the release that wrote it, or a newer one"
            )
    return dict(activated)


def _pairs(mapping: Mapping[Any, Any]) -> list[Any]:
    return [(key, mapping[key]) for key in sorted(mapping)]


def _by_name(rows: Iterable[Any], build: Callable[[Any], Any]) -> dict[Any, Any]:
    return {key: build(row) for key, row in rows}


# ---------------------------------------------------------------------------------------------------------- inventory


_BUILD_FACTS: tuple[Callable[[Any], Any], ...] = tuple(
    payload_builder(cls)
    for cls in (
        ServiceObserved,
        EndpointsObserved,
        NodeObserved,
        NamespaceObserved,
        PoolObserved,
        ConfObserved,
        PeerObserved,
        AdvertisementObserved,
        ServiceRangeObserved,
    )
)
_BUILD_LASTING: dict[str, Callable[[Any], Any]] = {
    "Advertisement": payload_builder(AdvertisementObserved),
    "Conf": payload_builder(ConfObserved),
    "Peer": payload_builder(PeerObserved),
    "Pool": payload_builder(PoolObserved),
}
_build_refusal = payload_builder(AllocationRefused)


def _encode_inventory(inventory: Inventory) -> list[Any]:
    tables = (
        inventory.services,
        inventory.endpoints,
        inventory.nodes,
        inventory.namespaces,
        inventory.pools,
        inventory.confs,
        inventory.peers,
        inventory.advertisements,
        inventory.service_ranges,
    )
    readiness = inventory.readiness
    return [
        [[table[key] for key in sorted(table)] for table in tables],
        sorted(inventory.service_uids.items()),
        _encode_changed(inventory.changed),
        [
            _pairs(readiness.not_ready),
            sorted(readiness.held),
            sorted(readiness.held_before),
            readiness.assessed_ms,
            readiness.improved,
        ],
        _pairs(inventory.last_good),
    ]


def _encode_changed(changed: Mapping[str | tuple[str, str], int]) -> list[Any]:
    plain = sorted((key, at) for key, at in changed.items() if isinstance(key, str))
    pairs = sorted((key, at) for key, at in changed.items() if not isinstance(key, str))
    return [*plain, *pairs]


def _read_inventory(unpacker: Any) -> Inventory:
    unpack, header = unpacker.unpack, unpacker.read_array_header
    _expect(unpacker, 5)
    _expect(unpacker, len(_BUILD_FACTS))
    facts = [[build(unpack()) for _ in range(header())] for build in _BUILD_FACTS]
    service_uids = [unpack() for _ in range(header())]
    changed = [unpack() for _ in range(header())]
    (not_ready, held, held_before, assessed_ms, improved), last_good = unpack(), unpack()
    services, endpoints, *others = facts
    *named, advertisements, service_ranges = ({one.name: one for one in table} for table in others)
    columns: list[Any] = [
        {one.uid: one for one in services},
        dict(service_uids),
        {f"{one.namespace}/{one.name}": one for one in endpoints},
        *named,
        dict(changed),
        advertisements,
        service_ranges,
        {key: _BUILD_LASTING[key[0]](fact) for key, fact in last_good},
    ]
    inventory = Inventory(*columns)
    readiness = inventory.readiness
    readiness.not_ready = _by_name(not_ready, NotReady._make)
    readiness.held, readiness.held_before = frozenset(held), frozenset(held_before)
    readiness.assessed_ms, readiness.improved = assessed_ms, improved
    return inventory


# -------------------------------------------------------------------------------------------------------------- pools


def _encode_pools(pools: Pools) -> list[Any]:
    return [
        [pools.by_address[address] for address in sorted(pools.by_address)],
        _pairs(pools.refusals),
        _pairs(pools.departed),
        _pairs(pools.cooling),
        _pairs(pools.protocols),
        pools.reopened,
    ]


def _read_pools(unpacker: Any, pools: Pools) -> None:
    _expect(unpacker, 6)
    unpack, by_address, by_uid = unpacker.unpack, pools.by_address, pools.by_uid
    several: set[str] = set()
    for _ in range(unpacker.read_array_header()):
        # Most addresses have one holder, and most Services one address.
        allocations = tuple([Allocation._make(one) for one in unpack()])
        by_address[allocations[0].address] = allocations
        for one in allocations:
            before = by_uid.get(one.uid)
            if before is None:
                by_uid[one.uid] = allocations if len(allocations) == 1 else (one,)
            else:
                by_uid[one.uid] = (*before, one)
                several.add(one.uid)
    for uid in several:
        by_uid[uid] = tuple(sorted(by_uid[uid], key=_POSITION))
    refusals, departed, cooling, protocols, pools.reopened = [unpack() for _ in range(5)]
    pools.refusals = {uid: (_build_refusal(refused), position) for uid, (refused, position) in refusals}
    pools.departed = _by_name(departed, Departure._make)
    pools.cooling = _by_name(cooling, Cooling._make)
    pools.protocols = dict(protocols)


# ------------------------------------------------------------------------------------------------------------ loc-rib


def _encode_loc_rib(rib: LocRib) -> list[Any]:
    return [
        _pairs(rib.service_stamps),
        [rib.cluster_stamps[family] for family in FAMILIES],
        [_pairs(rib.node_stamps[family]) for family in FAMILIES],
    ]


def _decode_loc_rib(rib: LocRib, row: Any) -> None:
    service_stamps, cluster_stamps, node_stamps = row
    rib.service_stamps = dict(service_stamps)
    rib.cluster_stamps = dict(zip(FAMILIES, cluster_stamps, strict=True))
    rib.node_stamps = {family: dict(stamps) for family, stamps in zip(FAMILIES, node_stamps, strict=True)}
    rib.recompute_eligible()
