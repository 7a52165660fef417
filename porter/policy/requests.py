"""What a Service asks for, and whether what it has is that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from porter.events.observed import ServiceObserved
from porter.model.address import FAMILIES, IPV4, Address, Family, family_of
from porter.model.reasons import Reason
from porter.policy.problems import disqualifying

SINGLE_STACK = "SingleStack"
PREFER_DUAL_STACK = "PreferDualStack"
REQUIRE_DUAL_STACK = "RequireDualStack"


class Held(Protocol):
    """An address that a Service holds."""

    @property
    def address(self) -> Address: ...

    @property
    def reason(self) -> str: ...

    @property
    def pool(self) -> str: ...


AnyHeld = TypeVar("AnyHeld", bound=Held)
FromPool = Callable[[AnyHeld, str], bool]
"""Whether an address was given from a pool of a name, whatever became of that pool, or lies in it now."""
PoolOf = Callable[[AnyHeld], str]
"""The pool that an address counts for now."""


def wanted_families(service: ServiceObserved) -> tuple[Family, ...]:
    """The families that a Service has cluster addresses of, the primary first; its addresses must match them.

    A dual-stack policy in a single-stack cluster leaves one family in the Service, and then one is wanted.
    """
    families = tuple(family for name in service.families for family in FAMILIES if family == name)
    if not families:
        return (IPV4,)
    return families[:1] if service.family_policy == SINGLE_STACK else families


def fits(service: ServiceObserved, one: AnyHeld, from_pool: FromPool[AnyHeld]) -> bool:
    """Whether an address that a Service holds is what it asks for.

    What was given from the pool that it names stays so: an edit of the pool is no change of the request.
    """
    family = family_of(one.address)
    asked = [address for address in service.requested_addresses if family_of(address) == family]
    if asked and one.address not in asked:
        return False
    return not service.requested_pool or from_pool(one, service.requested_pool)


def leaving(service: ServiceObserved, held: Sequence[AnyHeld], from_pool: FromPool[AnyHeld]) -> tuple[AnyHeld, ...]:
    """What a Service holds beside what it asks for; `held` is the oldest first. It goes once all of that is there.

    1. What is of a family that it does not want.
    2. What does not fit its request.
    3. Of a family that it requests no address of any more: what it was given on request, but one. That is the oldest
       one that it has, unless it has one that it did not request.
    """
    wanted = wanted_families(service)
    staying = [one for one in held if family_of(one.address) in wanted and fits(service, one, from_pool)]
    asked = {family_of(address) for address in service.requested_addresses}
    for family in wanted:
        mine = [one for one in staying if family_of(one.address) == family]
        if family in asked or len(mine) < 2:
            continue
        on_request = [one for one in mine if one.reason == Reason.REQUESTED_ADDRESS]
        for one in on_request if len(on_request) < len(mine) else on_request[1:]:
            staying.remove(one)
    return tuple(one for one in held if one not in staying)


def renamed(service: ServiceObserved, held: Sequence[AnyHeld], pool_of: PoolOf[AnyHeld]) -> tuple[AnyHeld, ...]:
    """What a Service has of the pool that it names, and was given from one that does not hold it any more.

    It keeps the address, as one from the pool that it asks for.
    """
    pool = service.requested_pool
    return tuple(one for one in held if pool and one.pool != pool and pool_of(one) == pool)


def unclaimed(service: ServiceObserved, held: Sequence[Held]) -> tuple[Address, ...]:
    """The addresses of its status in the families that it wants and holds nothing of yet: it came with them."""
    if not service.held:
        return ()
    have = {family_of(one.address) for one in held}
    missing = [family for family in wanted_families(service) if family not in have]
    return tuple(address for address in service.held if family_of(address) in missing)


def may_gain(service: ServiceObserved, held: Sequence[AnyHeld], from_pool: FromPool[AnyHeld]) -> Family | None:
    """The family that a Service which prefers two would take beside the one that it has; nothing is refused to it."""
    if service.family_policy == REQUIRE_DUAL_STACK or not held or disqualifying(service.problems) is not None:
        return None
    have = {family_of(one.address) for one in held}
    lacking = [family for family in wanted_families(service) if family not in have]
    if len(lacking) != 1 or leaving(service, held, from_pool):
        return None
    return lacking[0] if {one.address for one in held}.issuperset(service.requested_addresses) else None


def satisfied(service: ServiceObserved, held: Sequence[AnyHeld], from_pool: FromPool[AnyHeld]) -> bool:
    """Whether nothing is left to decide: every wanted family has an address, as requested, and no other family has one.

    A Service that prefers two families and has one is not satisfied: it gets the other as soon as there is one.
    """
    if disqualifying(service.problems) is not None:
        return False
    wanted = wanted_families(service)
    addresses = {one.address for one in held}
    if {family_of(address) for address in addresses} != set(wanted):
        return False
    if not addresses.issuperset(service.requested_addresses):
        return False
    plain = not service.requested_addresses and not service.requested_pool
    return (plain and len(held) == len(wanted)) or not leaving(service, held, from_pool)
