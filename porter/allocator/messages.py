"""What a refusal says: one sentence with who, since when, which position, and the mend."""

from __future__ import annotations

from datetime import UTC, datetime

from porter.events.observed import Reservation
from porter.model.address import Address, Family, address_number, family_of
from porter.model.reasons import Candidate, Reason
from porter.policy.pool_choice import Pool
from porter.policy.sharing import NEEDS_KEY
from porter.policy.spans import is_buggy
from porter.projections.holdings import Cooling
from porter.projections.pools import Allocation

POOL_ANNOTATION = "eip.openelb.kubesphere.io/v1alpha2"


def clock_time(time_ms: int) -> str:
    """A time as people read it in a sentence."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M UTC")


def held_by(pool: str, holder: Allocation, clause: str, *, sharing: bool) -> Candidate:
    """An address is somebody else's. `clause` says why it cannot be shared, which is told if `sharing` was wanted."""
    text = f"{holder.address} is held by {holder.service} since {clock_time(holder.since_ms)} (#{holder.position})"
    if clause.startswith(NEEDS_KEY):
        text = f"{text}; {clause}"
    else:
        because = f" and cannot be shared, because {clause}" if sharing else ""
        text = f"{text}{because}; request another address or release that one"
    return Candidate(pool, Reason.SHARING_REFUSED if sharing else Reason.ADDRESS_IN_USE, text)


def reserved(reservation: Reservation, pool: str) -> Candidate:
    """An address is kept for another Service."""
    owner = f"{reservation.namespace}/{reservation.name}"
    message = (
        f"{reservation.address} is reserved for {owner} in Eip {pool}; "
        "request another address or take it out of spec.reservations"
    )
    return Candidate(pool, Reason.RESERVED, message)


def cooling_down(address: Address, pool: str, cooling: Cooling, delay_ms: int) -> Candidate:
    """An address was released a short while ago."""
    until = clock_time(cooling.since_ms + delay_ms)
    message = (
        f"{address} stays unused until {until}, because {cooling.namespace}/{cooling.name} released it at "
        f"{clock_time(cooling.since_ms)} (#{cooling.position}); wait or request another address"
    )
    return Candidate(pool, Reason.COOLING_DOWN, message)


def over_quota(pool: str, namespace: str, held: int, limit: int) -> Candidate:
    """A namespace holds as many addresses of a pool as it may."""
    message = (
        f"namespace {namespace} holds {held} of the {limit} addresses that the quota of Eip {pool} allows it; "
        "release one or raise spec.quota"
    )
    return Candidate(pool, Reason.QUOTA_EXCEEDED, message)


def quota_too_low(pool: str, namespace: str, needed: int, limit: int) -> Candidate:
    """A Service needs more addresses of a pool than its whole namespace may hold."""
    what = "the pair that it asks for needs 2" if needed == 2 else f"the Service needs {needed}"
    message = f"the quota of Eip {pool} allows namespace {namespace} {limit}, and {what}; raise spec.quota"
    return Candidate(pool, Reason.QUOTA_EXCEEDED, message)


def quota_leaves_too_few(pool: str, namespace: str, needed: int, limit: int) -> Candidate:
    """A Service needs several addresses of a pool at once, and the namespace may be given fewer.

    How many are held is left out: it changes without another question.
    """
    message = (
        f"the Service needs {needed} of the {limit} addresses that the quota of Eip {pool} allows namespace "
        f"{namespace}, whose other Services hold too many; release one or raise spec.quota"
    )
    return Candidate(pool, Reason.QUOTA_EXCEEDED, message)


def excluded(address: Address, pool: Pool) -> Candidate:
    """A pool holds an address and never hands it out."""
    why = "excluded from Eip {} by spec.excludes"
    if pool.fact.avoid_buggy and is_buggy(family_of(address), address_number(address)):
        why = "avoided by spec.avoidBuggyIPs of Eip {}"
    message = f"{address} is {why.format(pool.name)}; request another address"
    return Candidate(pool.name, Reason.ADDRESS_OUTSIDE_POOLS, message)


def outside_pools(address: Address) -> str:
    """No pool holds a requested address."""
    return f"no Eip holds {address}; add it to an Eip or request another address"


def outside_pool(address: Address, pool: str) -> Candidate:
    """The requested pool does not hold the requested address."""
    message = f"Eip {pool} does not hold {address}; request one of its addresses or another Eip"
    return Candidate(pool, Reason.ADDRESS_OUTSIDE_POOLS, message)


def wrong_family(address: Address, family: Family, wanted: tuple[Family, ...]) -> str:
    """A requested address is of a family that the Service has no cluster address of."""
    has = " and ".join(wanted)
    return f"the Service asks for {address}, which is {family}, but its own family is {has}; set spec.ipFamilies"


def no_such_pool(pool: str) -> str:
    """A requested pool does not exist."""
    return f"there is no Eip {pool}; create it or name another in the annotation {POOL_ANNOTATION}"


def exhausted(pool: str, family: Family) -> Candidate:
    """Every address of a pool is in use."""
    message = f"Eip {pool} has no free {family} address; enlarge it or release a Service"
    return Candidate(pool, Reason.POOL_EXHAUSTED, message)


def lacks_family(pool: str, family: Family) -> Candidate:
    """A pool has no address of a family at all."""
    return Candidate(pool, Reason.FAMILY_UNAVAILABLE, f"Eip {pool} has no {family} addresses; add some to it")


def no_pool(service: str, family: Family, candidates: tuple[Candidate, ...]) -> str:
    """No rule names a pool that could serve a Service."""
    mend = f"mark an Eip as default or name one in the annotation {POOL_ANNOTATION}"
    considered = f" of {len(candidates)} considered" if candidates else ""
    return f"no Eip{considered} gives {service} an {family} address; {mend}"
