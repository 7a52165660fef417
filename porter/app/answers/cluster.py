"""Answers about the cluster's state, as pure functions of the folds: the HTTP API and the commands share them.

Each answer is JSON by a published schema (docs/reference/schemas). It names the journal's position that it holds at.
"""

from __future__ import annotations

from porter.app.answer_json import Json, as_json, time_json
from porter.app.answers.operated import (
    drained_nodes,
    drained_services,
    drained_speakers,
    holds,
    operated_problems,
    speaker_problem,
)
from porter.app.answers.routes import bfd_problems, map_problems, peer_answers, route_counts, session_problems
from porter.app.read_model import ReadModel
from porter.events.decided import AllocationRefused
from porter.events.envelope import Head
from porter.events.observed import PoolObserved, ServiceObserved
from porter.model.address import AddressRange, address_number, family_of
from porter.policy.pool_order import NO_LIMIT
from porter.projections import pool_report
from porter.projections.cluster import ClusterState
from porter.projections.pool_report import Capacity, CoolingAddress
from porter.projections.pools import Allocation
from porter.projections.status.conditions import sentence
from porter.projections.status.services import degraded_message

COOLING_TOLD_MAX = 100
"""Most addresses of a pool that are named while they cool down, the next to be free first; all are counted."""

NOTHING = Capacity(0, 0, 0, 0, 0)

REASONS_TOLD_MAX = 5
"""Most Services that wait are named among the problems of the status; the services answer names all."""


def status(model: ReadModel, cluster: str, head: Head | None = None) -> Json:
    """Everything at a glance: the journal, the leader, pools, peers, counts, and what is not as it should be."""
    state = model.state
    ledger = state.ledger
    services = _service_counts(state)
    return {
        "cluster": cluster,
        "genesis": ledger.genesis,
        "position": ledger.position,
        "epoch": ledger.epoch,
        "hash": head.hash.hex() if head is not None and head.position == ledger.position else "",
        "time": time_json(ledger.time_ms),
        "leader": {"holder": ledger.holder, "epoch": ledger.epoch, "since": ledger.epoch_started},
        "synced": ledger.synced,
        "recovering": ledger.recovering,
        "lost": [{"first": first, "last": last} for first, last in ledger.lost],
        "drained": drained_speakers(state),
        "drainedNodes": drained_nodes(state),
        "drainedServices": drained_services(state),
        "holds": holds(state),
        "services": services,
        "pools": _pools(state),
        "peers": peer_answers(model),
        "routes": route_counts(model),
        "problems": [
            *_journal_problems(state),
            *operated_problems(state),
            *map_problems(state),
            *pool_problems(state),
            *session_problems(model),
            *bfd_problems(model),
            *_waiting_services(state),
        ],
    }


def pools(model: ReadModel) -> Json:
    """Every pool with what is used of it."""
    return {"position": model.state.ledger.position, "pools": _pools(model.state)}


def services(model: ReadModel) -> Json:
    """Every Service of ours, with its allocations or the reason why it has none."""
    state = model.state
    found = sorted(state.inventory.services.values(), key=lambda service: (service.namespace, service.name))
    return {
        "position": state.ledger.position,
        "services": [service_json(state, service) for service in found],
    }


def allocation_json(allocation: Allocation) -> Json:
    """One allocation."""
    return {
        "address": allocation.address,
        "pool": allocation.pool,
        "service": {"namespace": allocation.namespace, "name": allocation.name, "uid": allocation.uid},
        "since": time_json(allocation.since_ms),
        "position": allocation.position,
        "reason": allocation.reason,
        "sharingKey": allocation.sharing_key,
    }


def service_json(state: ClusterState, service: ServiceObserved) -> Json:
    """One Service of ours."""
    refusal = state.pools.refusal(service.uid)
    return {
        "service": {"namespace": service.namespace, "name": service.name, "uid": service.uid},
        "position": state.inventory.position_of(service.uid),
        "trafficPolicy": service.traffic_policy,
        "families": list(service.families),
        "ports": [{"protocol": protocol, "port": port} for protocol, port in service.ports],
        "familyPolicy": service.family_policy,
        "requested": {
            "pool": service.requested_pool,
            "addresses": list(service.requested_addresses),
            "sharingKey": service.sharing_key,
        },
        "allocations": [allocation_json(allocation) for allocation in state.pools.of(service.uid)],
        "refusal": None if refusal is None else _refusal(refusal),
        "degraded": degraded_message(state, service.uid),
        "problems": as_json(service.problems),
    }


def _refusal(refusal: AllocationRefused) -> Json:
    return {"reason": refusal.reason, "message": refusal.message, "candidates": as_json(refusal.candidates)}


def _service_counts(state: ClusterState) -> Json:
    uids = state.inventory.services
    served = sum(1 for uid in uids if state.pools.of(uid))
    return {"total": len(uids), "served": served, "waiting": len(uids) - served}


def _pools(state: ClusterState) -> list[Json]:
    return [
        _pool(state, pool.fact, state.inventory.position_of_object("Pool", name))
        for name, pool in state.pools.table.by_name.items()
    ]


def _pool(state: ClusterState, pool: PoolObserved, position: int) -> Json:
    ranges = [
        AddressRange(family_of(first), address_number(first), address_number(last)) for first, last in pool.ranges
    ]
    numbers = pool_report.capacity(state, pool.name) or NOTHING
    problem = state.pools.table.by_name[pool.name].problem
    return {
        "name": pool.name,
        "ranges": [str(each) for each in ranges],
        "protocol": pool.protocol,
        "disabled": pool.disabled,
        "default": pool.default,
        "priority": pool.priority,
        "autoAssign": pool.auto_assign,
        "size": numbers.size,
        "used": state.pools.usage(pool.name),
        "available": numbers.available,
        "reserved": numbers.reserved,
        "cooling": numbers.cooling,
        "excludes": [first if first == last else f"{first}-{last}" for first, last in pool.excludes],
        "avoidBuggyIPs": pool.avoid_buggy,
        "reservations": as_json(pool.reservations),
        "releaseDelayMs": pool.release_delay_ms,
        "quota": {
            "perNamespace": None if pool.quota_per_namespace == NO_LIMIT else pool.quota_per_namespace,
            "overrides": dict(pool.quota_overrides),
            "over": as_json(pool_report.over_quota(state, pool.name)),
        },
        "sharingNamespaces": list(pool.sharing_namespaces),
        "coolingDown": [_cooling(one) for one in pool_report.cooling(state, pool.name)[:COOLING_TOLD_MAX]],
        "warnings": as_json(pool_report.warnings(state, pool.name)),
        "position": position,
        "unusable": sentence(problem) if problem is not None else "",
        "problems": as_json(pool.problems),
    }


def pool_problems(state: ClusterState) -> list[str]:
    """Every pool that gives nothing because it cannot be used, each as a sentence."""
    return [
        f"Eip {name} cannot be used: {sentence(pool.problem)}"
        for name, pool in state.pools.table.by_name.items()
        if pool.problem is not None
    ]


def _cooling(one: CoolingAddress) -> Json:
    released = one.released
    return {
        "address": one.address,
        "service": {"namespace": released.namespace, "name": released.name, "uid": released.uid},
        "until": time_json(one.until_ms),
        "position": released.position,
    }


def _journal_problems(state: ClusterState) -> list[str]:
    ledger = state.ledger
    problems = []
    if ledger.recovering:
        problems.append("the journal is recovering: nothing is allocated, released or withdrawn until it is done")
    elif not ledger.synced:
        problems.append("the cluster's objects were never listed completely: nothing is decided yet")
    for told in drained_speakers(state):
        name = told["speaker"]
        problems.append(f"speaker {name} {speaker_problem(told)}; `porter uncordon speaker {name}` ends it")
    return problems


def _waiting_services(state: ClusterState) -> list[str]:
    waiting = [
        f"{service.namespace}/{service.name} has no address: {refusal.message}"
        for service in state.inventory.services.values()
        if not state.pools.of(service.uid) and (refusal := state.pools.refusal(service.uid)) is not None
    ]
    more = len(waiting) - REASONS_TOLD_MAX
    return [*waiting[:REASONS_TOLD_MAX], *([f"{more} more Services have no address"] if more > 0 else [])]
