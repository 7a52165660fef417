"""What a Service asks for, and whether what it has is that."""

from __future__ import annotations

from collections.abc import Callable

from porter.events.observed import ServiceObserved
from porter.model.address import FAMILIES, IPV4, Address, Family, family_of
from porter.policy.problems import disqualifying

SINGLE_STACK = "SingleStack"
PREFER_DUAL_STACK = "PreferDualStack"
REQUIRE_DUAL_STACK = "RequireDualStack"


def wanted_families(service: ServiceObserved) -> tuple[Family, ...]:
    """The families that a Service has cluster addresses of, the primary first; its addresses must match them.

    A dual-stack policy in a single-stack cluster leaves one family in the Service, and then one is wanted.
    """
    families = tuple(family for name in service.families for family in FAMILIES if family == name)
    if not families:
        return (IPV4,)
    return families[:1] if service.family_policy == SINGLE_STACK else families


def satisfied(service: ServiceObserved, held: tuple[Address, ...], in_pool: Callable[[Address, str], bool]) -> bool:
    """Whether nothing is left to decide: every wanted family has an address, as requested, and no other family has one.

    `in_pool` tells whether a pool of a name holds an address. A Service that prefers two families and has one is not
    satisfied: it gets the other as soon as there is one.
    """
    if disqualifying(service.problems) is not None:
        return False
    wanted = wanted_families(service)
    if {family_of(address) for address in held} != set(wanted):
        return False
    requested = service.requested_addresses
    if requested:
        asked = {family_of(address) for address in requested}
        if not set(requested).issubset(held) or any(
            family_of(address) in asked and address not in requested for address in held
        ):
            return False
    pool = service.requested_pool
    return not pool or all(in_pool(address, pool) for address in held)
