"""Eips: pools of addresses, as OpenELB's users wrote them."""

from __future__ import annotations

from typing import NamedTuple

from porter.events.observed import PoolObserved, Reservation
from porter.kube.facts.durations import duration_ms
from porter.kube.facts.fields import (
    MAX_NAME_CHARACTERS,
    MAX_QUOTED_CHARACTERS,
    Fields,
    closed,
    malformed_problem,
    milliseconds,
    newest_annotation,
    pairs,
    quoted,
)
from porter.kube.facts.selectors import equalities, optional_selector
from porter.kube.objects import Custom, Malformed, Metadata
from porter.model.address import Address, AddressRange, InvalidAddress, address_from_number, parse_address, parse_range
from porter.model.reasons import Problem, Reason

DEFAULT_POOL_ANNOTATIONS = (
    "eip.openelb.kubesphere.io/is-default-eip",
    "eip.porter.kubesphere.io/is-default-eip",
)
CNI_LABEL = "openelb.kubesphere.io/cni"
"""Objects that carry it belong to a CNI and are left alone."""

PROTOCOLS = ("bgp", "layer2", "vip")
MAX_RANGES = 1024
MAX_NAMESPACES = 4096
MAX_RANGE_CHARACTERS = 96
MIN_PRIORITY, MAX_PRIORITY = -(2**31), 2**31 - 1
MAX_QUOTA = 2**31 - 1
MAX_RESERVATIONS = 4096
LONGEST_RELEASE_DELAY = "720h"

UNUSABLE = tuple(
    (parse_range(cidr), f"addresses of {cidr}, {why} that no Service can have")
    for cidr, why in (
        ("0.0.0.0/8", "addresses of this network (RFC 1122)"),
        ("127.0.0.0/8", "loopback addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("240.0.0.0/4", "reserved and broadcast addresses"),
        ("::/128", "the unspecified address"),
        ("::1/128", "the loopback address"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
)
"""What no router takes a route to, and why."""


def pool_fact(eip: Custom) -> PoolObserved | None:
    """Convert an Eip; None where it is being deleted or belongs to a CNI.

    A pool that restricts itself in a way that is not understood gives nothing, instead of what it wants kept back: any
    problem but an unsupported field keeps it from being used. What did parse is there all the same, for what is held.
    """
    metadata = eip.metadata
    if metadata.deletion_timestamp or CNI_LABEL in (metadata.labels or {}):
        return None
    problems: list[Problem] = []
    spec = Fields(eip.spec, "spec", problems)
    ranges, excludes = _ranges(spec), _excludes(spec)
    protocol = _protocol(spec)
    interface = spec.text("interface")
    if protocol != "bgp" and not interface:
        spec.invalid("interface", f"is not set, but protocol {protocol} needs one; name a NIC, or can_reach:ADDRESS")
    spec.taken("usingKnownIPs")  # OpenELB declared it and never read it.
    fact = PoolObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        created_ms=milliseconds(metadata.creation_timestamp),
        protocol=protocol,
        interface=interface,
        disabled=spec.flag("disable") or False,
        default=_is_default(metadata),
        auto_assign=spec.flag("autoAssign"),
        ranges=tuple(_ends(one) for one in ranges),
        priority=spec.integer("priority", 0, MIN_PRIORITY, MAX_PRIORITY),
        namespaces=spec.names("namespaces", MAX_NAMESPACES),
        namespace_selector=equalities(spec, "namespaceSelector"),
        labels=pairs(metadata.labels),
        excludes=tuple(_ends(one) for one in excludes),
        avoid_buggy=spec.flag("avoidBuggyIPs") or False,
        service_selector=optional_selector(spec, "serviceSelector"),
        namespace_label_selector=optional_selector(spec, "namespaceLabelSelector"),
        release_delay_ms=duration_ms(spec, "releaseDelay", LONGEST_RELEASE_DELAY),
        sharing_namespaces=_sharing_namespaces(spec),
        reservations=_reservations(spec),
    )
    fact = _with_quota(fact, spec)
    spec.finish()
    return fact._replace(problems=closed(problems))


def malformed_pool_fact(error: Malformed) -> PoolObserved | None:
    """Convert an Eip that does not decode: a pool without addresses that says why."""
    metadata = error.metadata
    if metadata is None or metadata.deletion_timestamp or CNI_LABEL in (metadata.labels or {}):
        return None
    return PoolObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        created_ms=milliseconds(metadata.creation_timestamp),
        problems=(malformed_problem(error),),
    )


def _is_default(metadata: Metadata) -> bool:
    _, value = newest_annotation(metadata.annotations, DEFAULT_POOL_ANNOTATIONS)
    return value.lower() == "true"


def _protocol(spec: Fields) -> str:
    protocol = spec.text("protocol") or "bgp"
    if protocol not in PROTOCOLS:
        spec.invalid("protocol", f"is {quoted(protocol)}; write one of {', '.join(PROTOCOLS)}")
        return "bgp"
    if protocol != "bgp":
        why = "its addresses are given but not announced, because Porter has no layer 2 yet"
        spec.unsupported("protocol", f"is {protocol}: {why}; write bgp to have them announced")
    return protocol


def _sharing_namespaces(spec: Fields) -> tuple[str, ...]:
    sharing = spec.below("sharing")
    names = sharing.names("namespaces", MAX_NAMESPACES)
    sharing.finish()
    return names


def _with_quota(fact: PoolObserved, spec: Fields) -> PoolObserved:
    quota = spec.below("quota")
    most = quota.integer("perNamespace", -1, 0, MAX_QUOTA, unit="addresses")
    overrides = quota.taken("overrides") or {}
    if not isinstance(overrides, dict) or len(overrides) > MAX_NAMESPACES:
        quota.invalid("overrides", f"is no map of at most {MAX_NAMESPACES} namespaces to numbers of addresses")
        overrides = {}
    below = Fields(overrides, f"{quota.path}.overrides", spec.problems)
    limits = [(name, below.integer(name, -1, 0, MAX_QUOTA, unit="addresses")) for name in map(str, overrides)]
    if long := [name for name, _ in limits if not 0 < len(name) <= MAX_NAME_CHARACTERS]:
        quota.invalid(f"overrides[{long[0][:MAX_QUOTED_CHARACTERS]}]", "is no name of a Namespace; remove it")
    quota.finish()
    return fact._replace(quota_per_namespace=most, quota_overrides=tuple(sorted(limits)))


def _reservations(spec: Fields) -> tuple[Reservation, ...]:
    """Take the reservations; what they mean in this pool and beside each other is for the policy to say."""
    entries = spec.each("reservations")
    if len(entries) > MAX_RESERVATIONS:
        spec.invalid("reservations", f"holds {len(entries)} entries; at most {MAX_RESERVATIONS} are allowed")
        return ()
    reserved: set[Reservation] = set()
    for index, entry in enumerate(entries):
        fields = spec.entry("reservations", index, entry)
        address = Address(fields.parsed("address", parse_address, MAX_RANGE_CHARACTERS))
        reservation = Reservation(address, fields.text("namespace"), fields.text("name"))
        fields.finish()
        missing = [name for name in Reservation._fields if fields.taken(name) in (None, "")]
        if missing:
            fields.invalid(missing[0], "is not set; write address, namespace and name of the Service")
        elif all(reservation):
            reserved.add(reservation)
    return tuple(sorted(reserved))


class _Written(NamedTuple):
    """A range as it stands in the manifest, with its field's name."""

    field: str
    text: object


def _ranges(spec: Fields) -> list[AddressRange]:
    """Unite `address` and `addresses` into sorted ranges of which no two overlap or touch."""
    wanted = [_Written("address", spec.taken("address"))] if spec.has("address") else []
    wanted += [_Written(f"addresses[{index}]", text) for index, text in enumerate(spec.each("addresses"))]
    if not wanted and not spec.problems:
        spec.invalid("address", "is not set; write an address, a CIDR or a range first-last", Reason.ADDRESS_INVALID)
    return _parsed(spec, wanted, "addresses", UNUSABLE)


def _excludes(spec: Fields) -> list[AddressRange]:
    wanted = [_Written(f"excludes[{index}]", text) for index, text in enumerate(spec.each("excludes"))]
    return _parsed(spec, wanted, "excludes")


def _parsed(
    spec: Fields, wanted: list[_Written], field: str, unusable: tuple[tuple[AddressRange, str], ...] = ()
) -> list[AddressRange]:
    if len(wanted) > MAX_RANGES:
        spec.invalid(field, f"holds {len(wanted)} ranges; at most {MAX_RANGES} are allowed")
        return []
    ranges: list[AddressRange] = []
    for name, text in wanted:
        if not isinstance(text, str) or len(text) > MAX_RANGE_CHARACTERS:
            spec.invalid(name, f"is {quoted(text)}; write an address, a CIDR or a range", Reason.ADDRESS_INVALID)
            continue
        try:
            parsed = parse_range(text)
        except InvalidAddress as error:
            spec.invalid(name, f"is wrong: {error}", Reason.ADDRESS_INVALID)
            continue
        why = next((why for other, why in unusable if _overlap(parsed, other)), "")
        if why:
            spec.invalid(name, f"is {quoted(text)}, which holds {why}; write other addresses", Reason.ADDRESS_INVALID)
        else:
            ranges.append(parsed)
    return _united(ranges)


def _overlap(one: AddressRange, other: AddressRange) -> bool:
    return one.family == other.family and one.first <= other.last and other.first <= one.last


def _united(ranges: list[AddressRange]) -> list[AddressRange]:
    united: list[AddressRange] = []
    for current in sorted(ranges):
        last = united[-1] if united else None
        if last and last.family == current.family and current.first <= last.last + 1:
            united[-1] = last._replace(last=max(last.last, current.last))
        else:
            united.append(current)
    return united


def _ends(united: AddressRange) -> tuple[Address, Address]:
    return address_from_number(united.first, united.family), address_from_number(united.last, united.family)
