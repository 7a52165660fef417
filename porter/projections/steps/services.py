"""The steps for Services and their endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import observed
from porter.model.reasons import Reason
from porter.projections.cluster import ClusterState


def _service_observed(state: ClusterState, event: observed.ServiceObserved, position: int, time_ms: int) -> None:
    inventory = state.inventory
    uid = event.uid
    before = inventory.services.get(uid)
    inventory.services[uid] = event
    inventory.changed[uid] = position
    if before is None:
        key = f"{event.namespace}/{event.name}"
        former = inventory.service_uids.get(key)
        if former is not None:
            _service_left(state, former, key, Reason.SERVICE_DELETED, position)
        inventory.service_uids[key] = uid
    else:
        if before.traffic_policy != event.traffic_policy:
            state.loc_rib.policy_changed(f"{event.namespace}/{event.name}", uid, (position, time_ms))
        if inventory.advertisements and (before.labels, before.traffic_policy) != (event.labels, event.traffic_policy):
            # Which advertisements select it, and whether an aggregate may stand for it.
            state.loc_rib.retell(one.address for one in state.pools.of(uid))
    state.pools.service_observed(uid)


def _service_gone(state: ClusterState, event: observed.ServiceGone, position: int, _time_ms: int) -> None:
    if event.uid in state.inventory.services:
        _service_left(state, event.uid, f"{event.namespace}/{event.name}", event.reason, position)


def _service_left(state: ClusterState, uid: str, key: str, reason: str, position: int) -> None:
    inventory = state.inventory
    del inventory.services[uid], inventory.changed[uid]
    if inventory.service_uids.get(key) == uid:
        del inventory.service_uids[key]
    state.pools.service_gone(uid, reason, position)
    state.ledger.maintenance.services.pop(uid, None)
    state.loc_rib.service_gone(key, uid)


def _endpoints_observed(state: ClusterState, event: observed.EndpointsObserved, position: int, time_ms: int) -> None:
    inventory = state.inventory
    key = f"{event.namespace}/{event.name}"
    before = inventory.endpoints.get(key)
    now: observed.EndpointsObserved | None = event
    if event.ready or event.terminating:
        inventory.endpoints[key] = event
        inventory.changed[key] = position
    else:
        now = None
        inventory.endpoints.pop(key, None)
        inventory.changed.pop(key, None)
    uid = inventory.service_uids.get(key)
    if uid is not None:
        state.loc_rib.endpoints_changed(inventory.services[uid], before, now, (position, time_ms))


SERVICE_STEPS: dict[type, Callable[[ClusterState, Any, int, int], None]] = {
    observed.ServiceObserved: _service_observed,
    observed.ServiceGone: _service_gone,
    observed.EndpointsObserved: _endpoints_observed,
}
