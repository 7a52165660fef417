"""What the leader's decisions are told as Kubernetes Events: one per change, in one sentence with its position."""

from __future__ import annotations

from porter.events.decided import AddressAdopted, AddressAllocated, AddressReleased, AllocationRefused
from porter.events.envelope import Envelope
from porter.model.object_event import ObjectEvent
from porter.model.reasons import Reason
from porter.projections.cluster import ClusterState
from porter.projections.sentences import release_cause, source_of

DECISIONS = (AddressAllocated, AddressAdopted, AddressReleased, AllocationRefused)
"""The events that are told; a pool's or a peer's changes show in its conditions."""

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
    trace = envelope.traceparent[TRACE_ID]
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
        message=f"{sentence} (#{envelope.position}{f', trace {trace}' if trace else ''})",
        warning=warns,
        position=envelope.position,
        time_ms=envelope.time_ms,
    )
