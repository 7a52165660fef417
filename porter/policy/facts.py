"""When two facts about one object are the same fact, and what says that an object is gone."""

from __future__ import annotations

from porter.events.catalogue import Event
from porter.events.observed import (
    AdvertisementGone,
    AdvertisementObserved,
    ConfGone,
    ConfObserved,
    EndpointsObserved,
    NamespaceGone,
    NamespaceObserved,
    NodeGone,
    NodeObserved,
    PeerGone,
    PeerObserved,
    PoolGone,
    PoolObserved,
    ServiceGone,
    ServiceObserved,
    ServiceRangeGone,
    ServiceRangeObserved,
)
from porter.model.address import Address

_VERSIONED = NodeObserved | PoolObserved | ConfObserved | PeerObserved | AdvertisementObserved


def same_fact(before: Event, now: Event, allocated: frozenset[Address], recovering: bool) -> bool:
    """Whether an observation says nothing that the journal does not know.

    A resource version never counts. A generation counts for pools, peers and the conf, whose status repeats it
    as `observedGeneration`, and not for Services. What a Service holds by its status counts only where it is
    evidence: an address that was not `allocated` to it, or anything at all while `recovering`.
    """
    if type(before) is not type(now):
        return False
    if isinstance(before, ServiceObserved) and isinstance(now, ServiceObserved):
        return _same_service(before, now, allocated, recovering)
    if isinstance(before, _VERSIONED) and isinstance(now, _VERSIONED):
        aligned: Event = now._replace(resource_version=before.resource_version)
        return before == aligned
    return before == now


def _same_service(
    before: ServiceObserved, now: ServiceObserved, allocated: frozenset[Address], recovering: bool
) -> bool:
    held_counts = recovering or not allocated.issuperset(now.held)
    aligned = now._replace(resource_version=before.resource_version, generation=before.generation)
    if not recovering:
        aligned = aligned._replace(held_decision=before.held_decision)
    if not held_counts:
        aligned = aligned._replace(held=before.held)
    return before == aligned


def gone(fact: Event, reason: str) -> Event:
    """The event that says that the object of a fact is no more; endpoints become nobody.

    Raises:
        TypeError: the event is no fact about an object.
    """
    event: Event
    match fact:
        case ServiceObserved():
            event = ServiceGone(fact.uid, fact.namespace, fact.name, reason)
        case EndpointsObserved():
            event = EndpointsObserved(fact.namespace, fact.name)
        case NodeObserved():
            event = NodeGone(fact.name)
        case NamespaceObserved():
            event = NamespaceGone(fact.name)
        case PoolObserved():
            event = PoolGone(fact.name, fact.uid)
        case ConfObserved():
            event = ConfGone(fact.name)
        case PeerObserved():
            event = PeerGone(fact.name)
        case AdvertisementObserved():
            event = AdvertisementGone(fact.name)
        case ServiceRangeObserved():
            event = ServiceRangeGone(fact.name)
        case _:
            raise TypeError(f"{type(fact).__name__} is no fact about an object")
    return event
