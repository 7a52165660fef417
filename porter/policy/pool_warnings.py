"""What a pool is warned of and used all the same: overlaps with the cluster's own addresses, useless reservations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from porter.events.observed import NodeObserved, ServiceRangeObserved
from porter.model.address import Address, AddressRange, address_number, parse_range
from porter.model.reasons import Problem, Reason
from porter.policy.pool_choice import ADDRESS_FIELD, Pool

RESERVATIONS_FIELD = "spec.reservations"


def warnings(
    pool: Pool, nodes: Iterable[NodeObserved], service_ranges: Iterable[ServiceRangeObserved]
) -> tuple[Problem, ...]:
    """Each warning names the other object and the mend; the pool is used all the same."""
    return (
        *_node_overlaps(pool, nodes),
        *_service_range_overlaps(pool, service_ranges),
        *_useless_reservations(pool),
    )


def _node_overlaps(pool: Pool, nodes: Iterable[NodeObserved]) -> Iterator[Problem]:
    found = sorted((address_number(one), one, node.name) for node in nodes for one in node.addresses if pool.gives(one))
    if found:
        _, address, name = found[0]
        more = f" and {len(found) - 1} more addresses of nodes" if len(found) > 1 else ""
        message = f"the pool holds {address}, the address of node {name}{more}; put it into spec.excludes"
        yield Problem(Reason.POOL_OVERLAPS_NODES, ADDRESS_FIELD, message)


def _service_range_overlaps(pool: Pool, service_ranges: Iterable[ServiceRangeObserved]) -> Iterator[Problem]:
    for fact in sorted(service_ranges, key=lambda one: one.name):
        for prefix in fact.prefixes:
            taken = parse_range(prefix)
            if any(_overlap(one, taken) for one in pool.spans):
                message = (
                    f"the pool overlaps {prefix} of ServiceCIDR {fact.name}, which the cluster takes its own Service "
                    "addresses from; put it into spec.excludes or choose other addresses"
                )
                yield Problem(Reason.POOL_OVERLAPS_SERVICE_RANGE, ADDRESS_FIELD, message)


def _overlap(one: AddressRange, other: AddressRange) -> bool:
    return one.family == other.family and one.first <= other.last and other.first <= one.last


def _useless_reservations(pool: Pool) -> Iterator[Problem]:
    seen: dict[Address, str] = {}
    for address, namespace, name in pool.fact.reservations:
        owner = f"{namespace}/{name}"
        if not pool.gives(address):
            why = "is excluded from the pool" if pool.holds(address) else "is no address of the pool"
            message = f"{address} is reserved for {owner}, but it {why}; reserve another address"
            yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, RESERVATIONS_FIELD, message)
        elif address in seen:
            message = f"{address} is reserved for {seen[address]} already and not for {owner}; take one of the two off"
            yield Problem(Reason.RESERVED, RESERVATIONS_FIELD, message)
        else:
            seen[address] = owner
