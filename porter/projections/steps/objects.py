"""The steps for nodes, namespaces, pools and the API server's own address ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import observed
from porter.projections.cluster import BGP_PROTOCOL, ClusterState


def _node_observed(state: ClusterState, event: observed.NodeObserved, position: int, time_ms: int) -> None:
    before = state.inventory.nodes.get(event.name)
    state.ledger.maintenance.node_observed(event)
    names = state.inventory.readiness.observe(event, time_ms)
    state.inventory.changed["Node", event.name] = position
    state.loc_rib.nodes_changed(names, (position, time_ms))
    if before is None or before.labels != event.labels:
        state.exports.forget()
        if before is not None and state.exports.select_nodes:
            state.loc_rib.retell()


def _node_gone(state: ClusterState, event: observed.NodeGone, position: int, time_ms: int) -> None:
    state.ledger.path_identifiers.pop(event.name, None)
    names = state.inventory.readiness.forget(event, time_ms)
    state.inventory.changed.pop(("Node", event.name), None)
    state.loc_rib.nodes_changed(names, (position, time_ms))


def _namespace_observed(state: ClusterState, event: observed.NamespaceObserved, position: int, _time_ms: int) -> None:
    before = state.inventory.namespaces.get(event.name)
    state.inventory.namespaces[event.name] = event
    state.inventory.changed["Namespace", event.name] = position
    if before is None or before.labels != event.labels:
        state.pools.namespace_changed(position)


def _namespace_gone(state: ClusterState, event: observed.NamespaceGone, position: int, _time_ms: int) -> None:
    state.inventory.namespaces.pop(event.name, None)
    state.inventory.changed.pop(("Namespace", event.name), None)
    state.pools.namespace_changed(position)


def _pool_observed(state: ClusterState, event: observed.PoolObserved, position: int, _time_ms: int) -> None:
    state.inventory.put("Pool", event, position)
    _pool_changed(state, event, position)


def _pool_gone(state: ClusterState, event: observed.PoolGone, position: int, _time_ms: int) -> None:
    # What it gave is held and announced as before: by its labels and within its ranges.
    state.inventory.drop("Pool", event.name, remembered=bool(state.pools.addresses_from(event.name)))
    _pool_changed(state, event, position)


def _pool_changed(state: ClusterState, event: observed.PoolObserved | observed.PoolGone, position: int) -> None:
    protocols = set(state.pools.protocols.values())
    state.pools.pool_changed(event, position)
    state.exports.forget()
    if protocols.union(state.pools.protocols.values()) - {BGP_PROTOCOL}:
        # Which addresses are announced by BGP at all depends on their pools' protocols.
        state.loc_rib.retell()


def _service_range_observed(
    state: ClusterState, event: observed.ServiceRangeObserved, position: int, _time_ms: int
) -> None:
    state.inventory.service_ranges[event.name] = event
    state.inventory.changed["ServiceRange", event.name] = position


def _service_range_gone(state: ClusterState, event: observed.ServiceRangeGone, _position: int, _time_ms: int) -> None:
    state.inventory.drop("ServiceRange", event.name)


OBJECT_STEPS: dict[type, Callable[[ClusterState, Any, int, int], None]] = {
    observed.NodeObserved: _node_observed,
    observed.NodeGone: _node_gone,
    observed.NamespaceObserved: _namespace_observed,
    observed.NamespaceGone: _namespace_gone,
    observed.PoolObserved: _pool_observed,
    observed.PoolGone: _pool_gone,
    observed.ServiceRangeObserved: _service_range_observed,
    observed.ServiceRangeGone: _service_range_gone,
}
