"""An Eip's status: OpenELB's fields with true values, and who holds, keeps or waits for what."""

from __future__ import annotations

from typing import Any

from porter.model.address import FAMILIES, IPV4, address_from_number
from porter.model.reasons import Reason
from porter.policy.pool_choice import Pool
from porter.projections.cluster import ClusterState
from porter.projections.status.conditions import MAX_NAMED, Tree, accepted_condition, condition, sentence

MAX_INT64 = (1 << 63) - 1


def pool_status(state: ClusterState, name: str) -> Tree:
    """An Eip's status: OpenELB's fields with true values, and what is new; empty for a pool that is not there."""
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return {}
    counted = state.pools.counted_for(name)
    inside = tuple(address for address in counted if pool.holds(address))
    outside = tuple(address for address in counted if not pool.holds(address))
    size = sum(one.size for one in pool.ranges)
    tree: Tree = {
        "occupied": len(inside) >= size,
        "usage": len(inside),
        "poolSize": min(size, MAX_INT64),
        "available": min(size - len(inside), MAX_INT64),
        "used": {address: _users(state, address) for address in inside},
        "firstIP": "",
        "lastIP": "",
        "v4": bool(pool.ranges_of(IPV4)),
        "ready": pool.problem is None,
        "observedGeneration": pool.fact.generation,
        "conditions": _pool_conditions(state, pool, inside, outside),
    }
    if pool.ranges:
        first, last = pool.ranges[0], pool.ranges[-1]
        tree["firstIP"] = address_from_number(first.first, first.family)
        tree["lastIP"] = address_from_number(last.last, last.family)
    return tree


def _users(state: ClusterState, address: Any) -> str:
    return ";".join(sorted(one.service for one in state.pools.by_address.get(address, ())))


def _pool_conditions(state: ClusterState, pool: Pool, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> list[Tree]:
    generation = pool.fact.generation
    accepted = accepted_condition(pool.problem, pool.fact.problems, generation, "every field is understood")
    if pool.problem is not None:
        ready = condition("Ready", False, pool.problem.reason, sentence(pool.problem), generation)
    elif pool.fact.disabled:
        message = "the pool gives no new address; what it gave stays; set spec.disable to false to use it again"
        ready = condition("Ready", False, Reason.POOL_DISABLED, message, generation)
    elif all(state.pools.lowest_free(pool, family) is None for family in FAMILIES):
        message = f"all {len(inside)} addresses are in use; add addresses or release a Service"
        ready = condition("Ready", False, Reason.POOL_EXHAUSTED, message, generation)
    else:
        ready = condition("Ready", True, "Available", "the pool gives addresses", generation)
    if outside:
        message = f"these Services keep addresses that the pool does not hold any more: {_named(state, outside)}"
        degraded = condition("Degraded", True, Reason.ADDRESS_OUTSIDE_POOLS, message, generation)
    elif pool.second_default is not None:
        degraded = condition("Degraded", True, pool.second_default.reason, sentence(pool.second_default), generation)
    else:
        degraded = condition("Degraded", False, "AsExpected", "every address in use lies in the pool", generation)
    return [accepted, ready, degraded]


def _named(state: ClusterState, addresses: tuple[Any, ...]) -> str:
    names = [f"{_users(state, address)} ({address})" for address in addresses[:MAX_NAMED]]
    more = len(addresses) - len(names)
    return (
        ", ".join(names) + (f" and {more} more" if more else "") + "; give the pool these addresses back or move them"
    )
