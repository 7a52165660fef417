"""What the leader's decisions are told as Kubernetes Events: one per change, in one sentence with its position."""

from __future__ import annotations

from collections.abc import Iterator

from porter.events.decided import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AllocationRefused,
    HoldEnded,
    HoldExpired,
    WithdrawalApproved,
    WithdrawalHeld,
)
from porter.events.envelope import Envelope
from porter.model.object_event import ObjectEvent
from porter.model.reasons import Reason
from porter.projections.cluster import ClusterState
from porter.projections.inventory import DEFAULT_CONF
from porter.projections.sentences import release_cause, source_of, would_have

DECISIONS = (AddressAllocated, AddressAdopted, AddressReleased, AllocationRefused)
"""The events that are told; a pool's or a peer's changes show in its conditions."""

HOLDS = (WithdrawalHeld, WithdrawalApproved, HoldExpired, HoldEnded)
"""The events of the blast-radius guard: they are told of the BgpConf, which all routes have to do with."""

TRACE_ID = slice(3, 35)
"""Where the trace id stands in a traceparent (W3C Trace Context, section 3.2)."""


def object_event(state: ClusterState, envelope: Envelope) -> ObjectEvent:
    """One decision about a Service as an Event of that Service.

    Raises:
        TypeError: the event is no decision that is told.
    """
    decision = envelope.payload
    match decision:
        case AddressAllocated():
            sentence = f"{decision.address} is allocated {source_of(decision.pool, decision.reason)}"
        case AddressAdopted():
            sentence = f"{decision.address} is adopted {source_of(decision.pool, decision.reason)}"
        case AddressReleased():
            sentence = f"{decision.address} is released: {release_cause(decision.reason)}"
        case AllocationRefused():
            sentence = decision.message
        case _:
            raise TypeError(f"{envelope.type} is no decision about a Service")
    service = state.inventory.services.get(decision.uid)
    warns = isinstance(decision, AllocationRefused) or decision.reason == Reason.SUPERSEDED_IN_RECOVERY
    return ObjectEvent(
        kind="Service",
        namespace=decision.namespace,
        name=decision.name,
        uid=decision.uid,
        resource_version=service.resource_version if service is not None else "",
        action=envelope.type,
        reason=decision.reason,
        message=_placed(sentence, envelope),
        warning=warns,
        position=envelope.position,
        time_ms=envelope.time_ms,
    )


def hold_event(state: ClusterState, envelope: Envelope) -> ObjectEvent | None:
    """One step of a hold as an Event of the BgpConf; None where there is none, and for more prefixes of one hold.

    Raises:
        TypeError: the event is no step of a hold.
    """
    conf, step = state.inventory.confs.get(DEFAULT_CONF), envelope.payload
    match step:
        case WithdrawalHeld():
            reason, sentence = Reason.WITHDRAWAL_HELD, _held(step)
        case WithdrawalApproved():
            why = f": {step.why}" if step.why else ""
            reason = Reason.WITHDRAWAL_APPROVED
            sentence = f"{step.by} approved hold {step.hold}{why}; what it kept is withdrawn"
        case HoldExpired():
            reason = Reason.HOLD_EXPIRED
            sentence = f"hold {step.hold} is over after its longest time; what it kept is withdrawn"
        case HoldEnded():
            reason = Reason.HOLD_ENDED
            sentence = f"hold {step.hold} ended with its cause: no prefix of it needs it any more"
        case _:
            raise TypeError(f"{envelope.type} is no step of a hold")
    if conf is None or (isinstance(step, WithdrawalHeld) and step.hold != envelope.position):
        return None
    return ObjectEvent(
        kind="BgpConf",
        namespace="",
        name=conf.name,
        uid=conf.uid,
        resource_version=conf.resource_version,
        action=envelope.type,
        reason=reason,
        message=_placed(sentence, envelope),
        warning=isinstance(step, WithdrawalHeld | HoldExpired),
        position=envelope.position,
        time_ms=envelope.time_ms,
    )


def standing_holds(state: ClusterState) -> Iterator[ObjectEvent]:
    """The beginning of each hold that stands, for a leader whose predecessor may have died before it told of it.

    It has the same position and time, so that what was told already is not told twice.
    """
    for number, hold in sorted(state.ledger.holds.open.items()):
        step = WithdrawalHeld(
            number, hold.cause, (), hold.lost, hold.total, hold.share_percent, hold.minimum, hold.bound_ms
        )
        envelope = Envelope(number, state.ledger.epoch, hold.since_ms, 0, "", "", step)
        if (told := hold_event(state, envelope)) is not None:
            yield told


def _held(step: WithdrawalHeld) -> str:
    return (
        f"{step.lost} of {step.total} prefixes {would_have(step.cause)} ({step.cause}), and stay as they are for "
        f"{step.bound_ms // 1000} s at most; mend the cause, or let it happen by `porter approve {step.hold}`"
    )


def _placed(sentence: str, envelope: Envelope) -> str:
    """A sentence with the position, and the trace where there is one."""
    trace = envelope.traceparent[TRACE_ID]
    return f"{sentence} (#{envelope.position}{f', trace {trace}' if trace else ''})"
