"""Eips: pools of addresses, as OpenELB's users wrote them."""

from __future__ import annotations

from porter.events.observed import PoolObserved
from porter.kube.facts.fields import (
    MAX_NAME_CHARACTERS,
    Fields,
    closed,
    malformed_problem,
    milliseconds,
    newest_annotation,
    pairs,
    quoted,
)
from porter.kube.objects import Custom, Malformed, Metadata
from porter.model.address import Address, AddressRange, InvalidAddress, address_from_number, parse_range
from porter.model.reasons import Problem, Reason

DEFAULT_POOL_ANNOTATIONS = (
    "eip.openelb.kubesphere.io/is-default-eip",
    "eip.porter.kubesphere.io/is-default-eip",
)
CNI_LABEL = "openelb.kubesphere.io/cni"
"""Objects that carry it belong to a CNI and are left alone."""

PROTOCOLS = ("bgp", "layer2", "vip")
RESTRICTIONS = (
    "excludes",
    "avoidBuggyIPs",
    "serviceSelector",
    "namespaceLabelSelector",
    "quota",
    "reservations",
    "releaseDelay",
    "sharing",
)
"""Fields that keep addresses back; any other unknown field is reported and has no effect."""

MAX_RANGES = 1024
MAX_NAMESPACES = 4096
MAX_RANGE_CHARACTERS = 96
MIN_PRIORITY, MAX_PRIORITY = -(2**31), 2**31 - 1


def pool_fact(eip: Custom) -> PoolObserved | None:
    """Convert an Eip; None where it is being deleted or belongs to a CNI.

    A pool that restricts itself in a way that is not honoured gives nothing, instead of what it wants kept back.
    """
    metadata = eip.metadata
    if metadata.deletion_timestamp or CNI_LABEL in (metadata.labels or {}):
        return None
    problems: list[Problem] = []
    spec = Fields(eip.spec, "spec", problems)
    ranges = _ranges(spec)
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
        priority=spec.integer("priority", 0, MIN_PRIORITY, MAX_PRIORITY),
        namespaces=_namespaces(spec),
        namespace_selector=pairs(spec.string_map("namespaceSelector")),
    )
    for name in RESTRICTIONS:
        if spec.taken(name):
            spec.invalid(name, "is not honoured by this version, so that the pool gives no address; remove it")
    spec.finish()
    usable = all(problem.reason == Reason.FIELD_UNSUPPORTED for problem in problems)
    return fact._replace(ranges=ranges if usable else (), problems=closed(problems))


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
    return protocol


def _namespaces(spec: Fields) -> tuple[str, ...]:
    names = spec.each("namespaces")
    if len(names) > MAX_NAMESPACES:
        spec.invalid("namespaces", f"names {len(names)} namespaces; at most {MAX_NAMESPACES} are allowed")
        return ()
    known = {name for name in names if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS}
    if len(known) < len(set(map(str, names))):
        spec.invalid("namespaces", "holds an entry that is no name of a Namespace")
    return tuple(sorted(known))


def _ranges(spec: Fields) -> tuple[tuple[Address, Address], ...]:
    """Unite `address` and `addresses` into sorted ranges of which no two overlap or touch."""
    wanted: list[tuple[str, object]] = [("address", spec.taken("address"))] if spec.has("address") else []
    wanted += [(f"addresses[{index}]", text) for index, text in enumerate(spec.each("addresses"))]
    if not wanted:
        spec.invalid("address", "is not set; write an address, a CIDR or a range first-last", Reason.ADDRESS_INVALID)
        return ()
    if len(wanted) > MAX_RANGES:
        spec.invalid("addresses", f"holds {len(wanted)} ranges; at most {MAX_RANGES} are allowed")
        return ()
    ranges: list[AddressRange] = []
    for name, text in wanted:
        if not isinstance(text, str) or len(text) > MAX_RANGE_CHARACTERS:
            spec.invalid(name, f"is {quoted(text)}; write an address, a CIDR or a range", Reason.ADDRESS_INVALID)
            continue
        try:
            ranges.append(parse_range(text))
        except InvalidAddress as error:
            spec.invalid(name, f"is wrong: {error}", Reason.ADDRESS_INVALID)
    return tuple(_ends(united) for united in _united(ranges))


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
