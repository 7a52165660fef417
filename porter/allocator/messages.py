"""What a refusal says: one sentence with who, since when, which position, and the mend."""

from __future__ import annotations

from datetime import UTC, datetime

from porter.model.address import Address, Family
from porter.model.reasons import Candidate, Reason
from porter.projections.pools import Allocation

POOL_ANNOTATION = "eip.openelb.kubesphere.io/v1alpha2"


def clock_time(time_ms: int) -> str:
    """A time as people read it in a sentence."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M UTC")


def held_by(holder: Allocation, clause: str = "") -> str:
    """An address is somebody else's; `clause` says why it cannot be shared."""
    since = f"since {clock_time(holder.since_ms)} (#{holder.position})"
    sharing = f" and cannot be shared, because {clause}" if clause else ""
    return f"{holder.address} is held by {holder.service} {since}{sharing}; request another address or release that one"


def outside_pools(address: Address) -> str:
    """No pool holds a requested address."""
    return f"no Eip holds {address}; add it to an Eip or request another address"


def outside_pool(address: Address, pool: str) -> str:
    """The requested pool does not hold the requested address."""
    return f"Eip {pool} does not hold {address}; request one of its addresses or another Eip"


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
