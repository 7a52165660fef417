"""What a Service says of its addresses: ingress, label, annotation, and conditions of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from porter.events.observed import ServiceObserved
from porter.model.address import IPV4, family_of
from porter.model.reasons import Problem, Reason
from porter.projections.cluster import BGP_PROTOCOL, ClusterState
from porter.projections.pool_report import service_report
from porter.projections.pools import Allocation
from porter.projections.sentences import given
from porter.projections.status.conditions import Tree, condition, joined

POOL_LABEL = "eip.openelb.kubesphere.io/v1alpha2"
DECISION_ANNOTATION = "porter.io/decision"
DECISION_HASH_DIGITS = 12
MAX_LABEL_CHARACTERS = 63
MAX_MESSAGE_CHARACTERS = 2048
"""A condition's message may be 16 times as long; nobody reads that."""

ADDRESS_ALLOCATED = "porter.io/AddressAllocated"
DEGRADED = "porter.io/Degraded"
"""Conditions of a Service are of many owners: ours begin with `porter.io/`."""

_GIVE_BACK = "give the address to an Eip again, or request another one"


def service_status(state: ClusterState, uid: str) -> Tree:
    """A Service's status: its ingress addresses, IPv4 first. One that holds nothing has an empty one.

    A Service that waits for an address of ours keeps what another controller gave it, as long as that is nobody else's.
    """
    addresses = [one.address for one in state.pools.of(uid)]
    service = state.inventory.services.get(uid)
    if service is None:
        addresses = []
    elif not addresses:
        addresses = [address for address in service.held if address not in state.pools.by_address]
    addresses.sort(key=lambda address: (family_of(address) != IPV4, address))
    ingress = [{"ip": address, "ipMode": "VIP"} for address in addresses]
    return {"loadBalancer": {"ingress": ingress} if ingress else {}}


def service_conditions(state: ClusterState, uid: str) -> list[Tree]:
    """Our conditions of a Service, by type: what it holds or why it holds nothing, and what is not as it should be.

    None of a Service that is ours no more, and none before the first decision about it.
    """
    service = state.inventory.services.get(uid)
    if service is None:
        return []
    held, refusal = state.pools.of(uid), state.pools.refusal(uid)
    conditions = []
    if held:
        message = "; ".join(given(one) for one in held)
        conditions.append(_condition(ADDRESS_ALLOCATED, True, held[-1].reason, message, service))
    elif refusal is not None:
        conditions.append(_condition(ADDRESS_ALLOCATED, False, refusal.reason, refusal.message, service))
    problems = list(_problems(state, service))
    if problems:
        conditions.append(_condition(DEGRADED, True, problems[0].reason, joined(problems), service))
    return conditions


def degraded_message(state: ClusterState, uid: str) -> str:
    """What is not as it should be with a Service that is served, as its condition says it; "" where nothing is."""
    service = state.inventory.services.get(uid)
    return "" if service is None else joined(list(_problems(state, service)))[:MAX_MESSAGE_CHARACTERS]


def _condition(kind: str, status: bool, reason: str, message: str, service: ServiceObserved) -> Tree:
    return condition(kind, status, reason, message[:MAX_MESSAGE_CHARACTERS], service.generation)


def _problems(state: ClusterState, service: ServiceObserved) -> Iterator[Problem]:
    """What is not as it should be with a Service, although it keeps what it holds."""
    report = service_report(state, service.uid)
    for one in report.pool_gone:
        message = f"{one.address} is kept, but no Eip holds it"
        if one.pool:
            message = f"{one.address} is kept, but Eip {one.pool}, which gave it, is gone"
        yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, "", f"{message}; {_GIVE_BACK}")
    for one in report.outside:
        message = f"{one.address} is kept, but Eip {one.pool} does not hold it any more"
        yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, "", f"{message}; {_GIVE_BACK}")
    for one in report.excluded:
        message = f"{one.address} is kept, but Eip {state.pools.pool_of(one)} excludes it now"
        yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, "", f"{message}; {_GIVE_BACK}")
    for one in state.pools.of(service.uid):
        pool = state.pools.pool_of(one)
        protocol = state.pools.protocol(pool)
        if protocol != BGP_PROTOCOL:
            message = (
                f"{one.address} is not announced, because Eip {pool} is of the protocol {protocol} and Porter has no "
                "layer 2 yet; set its spec.protocol to bgp, or request an address of another Eip"
            )
            yield Problem(Reason.FIELD_UNSUPPORTED, "", message)
    for broken in report.broken_sharing:
        message = (
            f"{broken.address} is shared with {broken.other.service}, which is not allowed any more, because "
            f"{broken.clause}; both keep it: undo the change, or request another address"
        )
        yield Problem(Reason.SHARING_REFUSED, "", message)
    if report.unmet is not None:
        kept = ", ".join(one.address for one in state.pools.of(service.uid))
        message = f"the request is not met, and {kept} is kept meanwhile: {report.unmet.message}"
        yield Problem(report.unmet.reason, "", message)
    drain = state.ledger.maintenance.services.get(service.uid)
    if drain is not None:
        step = "its routes are withdrawn" if drain.elapsed else "its routes are about to be withdrawn"
        name = f"{service.namespace}/{service.name}"
        message = f"{drain.by} drained it, and {step}; `porter uncordon service {name}` ends that"
        yield Problem(Reason.DRAINED, "", message)
    for problem in service.problems:
        if problem.reason == Reason.FIELD_UNSUPPORTED:
            yield problem


def service_labels(state: ClusterState, uid: str) -> Mapping[str, str | None]:
    """The label that OpenELB kept, with the pool's name; None takes it off."""
    pools = {state.pools.pool_of(one): None for one in _held(state, uid)}
    name = next((pool for pool in pools if 0 < len(pool) <= MAX_LABEL_CHARACTERS), None)
    return {POOL_LABEL: name}


def service_annotations(state: ClusterState, uid: str) -> Mapping[str, str | None]:
    """The position and hash of the newest decision that gave the Service an address; None takes it off."""
    newest = max(_held(state, uid), key=lambda one: (one.position, one.address), default=None)
    return {DECISION_ANNOTATION: None if newest is None else f"{newest.position}:{decision_hash(state, newest)}"}


def decision_hash(state: ClusterState, allocation: Allocation) -> str:
    """Digest a decision (SHA-256, the first 12 hex digits) so that it can be told from one of another journal.

    It is derived from what the journal says, so that every leader writes the same.
    """
    said = (state.ledger.genesis, allocation.position, allocation.uid, allocation.address)
    return sha256("|".join(map(str, said)).encode()).hexdigest()[:DECISION_HASH_DIGITS]


def _held(state: ClusterState, uid: str) -> tuple[Allocation, ...]:
    return state.pools.of(uid) if uid in state.inventory.services else ()
