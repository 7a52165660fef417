"""What people are told about a decision, in one sentence: conditions, Events and answers say it in the same words."""

from __future__ import annotations

from datetime import UTC, datetime

from porter.model.reasons import Reason
from porter.projections.pools import Allocation

_FROM: dict[str, str] = {
    Reason.REQUESTED_ADDRESS: "from Eip {pool}, as requested",
    Reason.REQUESTED_POOL: "from Eip {pool}, as requested",
    Reason.BOUND_POOL: "from Eip {pool}, which is bound to its namespace or labels",
    Reason.DEFAULT_POOL: "from the default Eip {pool}",
    Reason.AUTO_ASSIGNED: "from Eip {pool}, which is assigned automatically",
    Reason.ADOPTED_FROM_STATUS: "of Eip {pool}, which it held already by its status",
    Reason.ADOPTED_FROM_SPEAKER: "of Eip {pool}, which a speaker still announced for it",
    Reason.SHARED_ADDRESS: "of Eip {pool}, shared by its sharing key",
    Reason.RESERVED_ADDRESS: "from Eip {pool}, where it is reserved for this Service",
}

_RELEASED: dict[str, str] = {
    Reason.SERVICE_DELETED: "the Service is gone",
    Reason.SERVICE_NOT_CLAIMED: "the Service is Porter's no more",
    Reason.REQUEST_CHANGED: "it is not what the Service asks for any more",
    Reason.FAMILY_DROPPED: "the Service has no cluster address of this family any more",
    Reason.SUPERSEDED_IN_RECOVERY: "another Service had it when the journal was recovered",
}


_WOULD_HAVE: dict[str, str] = {
    Reason.NO_PEER: "would have lost the last peer that they go to",
    Reason.NOT_ADVERTISED: "would no longer go to any peer by a BgpAdvertisement",
}


def would_have(cause: str) -> str:
    """What was about to happen to the prefixes of a hold."""
    return _WOULD_HAVE.get(cause, "would have lost their last next hops within a minute")


def clock_time(time_ms: int) -> str:
    """A time as people read it in a sentence."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M UTC")


def source_of(pool: str, reason: str) -> str:
    """Where an address comes from, and why from there."""
    if not pool:
        return "of no Eip, which it held already"
    return _FROM.get(reason, "from Eip {pool} ({reason})").format(pool=pool, reason=reason)


def given(one: Allocation) -> str:
    """What a Service holds, since when, and by which decision."""
    since = f"since {clock_time(one.since_ms)} (#{one.position})"
    return f"{one.address} {source_of(one.pool, one.reason)}, {since}"


def release_cause(reason: str) -> str:
    """Why an address was taken back, as a clause."""
    return _RELEASED.get(reason, reason)
