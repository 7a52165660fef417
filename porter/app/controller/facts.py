"""Comparing what is watched with what is journaled: the events that make the journal say what is so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from porter.events.catalogue import Event
from porter.events.observed import EndpointsObserved, ServiceObserved
from porter.model.reasons import Reason
from porter.policy.facts import gone, same_fact
from porter.ports import FactKey, FactKind, Source
from porter.projections.cluster import ClusterState

_ORDERED = (
    "Namespace", "Node", "ServiceRange", "Pool", "Conf", "Peer", "Advertisement", "Service", "Endpoints"
)  # fmt: skip
_ORDER = {kind: rank for rank, kind in enumerate(_ORDERED)}


def in_order(keys: Iterable[FactKey]) -> list[FactKey]:
    """Sort keys so that what a decision depends on comes before what is decided: pools before Services."""
    return sorted(keys, key=lambda key: (_ORDER[key.kind], key.name))


def differences(state: ClusterState, source: Source, key: FactKey) -> Iterator[Event]:
    """Yield the events by which the journal lags behind one watched object: none, one, or two for a re-created Service.

    Nothing is said to be gone before all of its kind is listed. A Service's endpoints concern us only while the
    Service does; `endpoints_key` names what must be compared again when a Service appears.
    """
    now = source.facts.get(key)
    before = state.inventory.get(key.kind, key.name)
    if key.kind == "Endpoints" and state.inventory.get("Service", key.name) is None:
        now = None
    if now is None:
        if before is not None and source.listed(key.kind):
            yield gone(before, Reason.SERVICE_DELETED)
        return
    if isinstance(now, ServiceObserved) and isinstance(before, ServiceObserved) and now.uid != before.uid:
        yield gone(before, Reason.SERVICE_DELETED)
        before = None
    if before is None:
        if isinstance(now, EndpointsObserved) and not (now.ready or now.terminating):
            return
        yield now
        return
    allocated = state.pools.addresses_of(now.uid) if isinstance(now, ServiceObserved) else frozenset()
    if not same_fact(before, now, allocated, state.ledger.recovering):
        yield now


def unconfirmed(state: ClusterState, source: Source) -> frozenset[FactKind]:
    """The kinds of which the journal may know more than what is watched.

    A watch may be behind what a former leader saw. So nothing that it lacks, or has in an older version, is journaled
    before it was listed anew; nor what it has and the journal does not: that may have been told to be gone. What has
    no version of its own, such as endpoints, is in doubt wherever it differs.
    """
    return frozenset(key.kind for key in all_keys(state, source) if _may_be_older(state, source, key))


def _may_be_older(state: ClusterState, source: Source, key: FactKey) -> bool:
    now, before = source.facts.get(key), state.inventory.get(key.kind, key.name)
    if now is not None and before is not None:
        watched, journaled = _version(now), _version(before)
        if watched is not None and journaled is not None:
            return watched < journaled
    elif before is None and not state.ledger.synced:
        return False
    return any(differences(state, source, key))


def _version(fact: Event) -> int | None:
    """A resourceVersion as a number: they rise with every write of a kind (KEP-5504); None where there is none."""
    version = str(getattr(fact, "resource_version", ""))
    return int(version) if version.isdecimal() else None


def endpoints_key(key: FactKey) -> FactKey:
    """The key of the endpoints that belong to a Service's key."""
    return FactKey("Endpoints", key.name)


def all_keys(state: ClusterState, source: Source) -> frozenset[FactKey]:
    """Every key that either side knows: what a new leader compares."""
    return frozenset(source.facts) | {
        FactKey(cast(FactKind, kind), name)
        for kind, name in state.inventory.keys()  # noqa: SIM118 - it is no mapping
    }
