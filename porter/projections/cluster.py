"""The state of the cluster as a fold of the journal: `evolve(state, envelope) -> state`.

The hot path of every process: a journal of a million events is folded at start-up. Each event type has one step,
found in a table by type, and a step does only what cannot be derived later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.model.address import Address, host_prefix
from porter.model.reasons import Reason
from porter.projections.bgp_objects import BGP_OBJECT_STEPS
from porter.projections.drains_and_holds import DRAIN_AND_HOLD_STEPS
from porter.projections.exports import Exports
from porter.projections.inventory import Inventory
from porter.projections.journal_steps import JOURNAL_STEPS
from porter.projections.ledger import Ledger
from porter.projections.loc_rib import LocRib
from porter.projections.pools import Pools

BGP_PROTOCOL = "bgp"
INDEX_INTERVAL_EVENTS = 4096
"""How often what waits for the indexes is held against its limit."""


class UnknownEvent(Exception):
    """The journal holds an event that this fold does not know: it stops there, it never skips."""


class OutOfOrder(Exception):
    """An event was applied twice, or after a later one."""


@dataclass(slots=True, eq=False)
class ClusterState:
    """Everything that follows from the journal up to `ledger.position`; `exports` follows from the rest.

    A state is used linearly: `evolve` and `fold` consume the one they are given, and `fork` makes an independent copy.
    """

    ledger: Ledger
    inventory: Inventory
    pools: Pools
    loc_rib: LocRib
    exports: Exports = field(init=False)

    def __post_init__(self) -> None:
        self.exports = Exports(self.inventory, self.pools, self.loc_rib)

    @staticmethod
    def empty() -> ClusterState:
        """The state before the first event."""
        ledger, inventory = Ledger(), Inventory()
        pools = Pools(inventory)
        return ClusterState(ledger, inventory, pools, LocRib(ledger, inventory, pools))

    def fork(self) -> ClusterState:
        """An independent copy, for asking what would be."""
        ledger, inventory = self.ledger.fork(), self.inventory.fork()
        pools = self.pools.fork(inventory)
        return ClusterState(ledger, inventory, pools, self.loc_rib.fork(ledger, inventory, pools))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterState) and self._folded() == other._folded()

    __hash__ = None  # type: ignore[assignment]

    def _folded(self) -> tuple[object, ...]:
        pools, rib = self.pools, self.loc_rib
        return (
            self.ledger,
            self.inventory,
            pools.by_address,
            pools.refusals,
            pools.departed,
            pools.cooling,
            pools.protocols,
            pools.reopened,
            rib.service_stamps,
            rib.cluster_stamps,
            rib.node_stamps,
        )


def evolve(state: ClusterState, envelope: Envelope) -> ClusterState:
    """Apply one event; consumes the state.

    Raises:
        UnknownEvent: the journal's reducer has no step for this type.
        OutOfOrder: the event's position is not beyond the last applied one.
    """
    return fold(state, (envelope,))


def fold(state: ClusterState, envelopes: Iterable[Envelope]) -> ClusterState:
    """Apply events in order; consumes the state.

    Raises:
        UnknownEvent, OutOfOrder: as `evolve`; the state must not be used any more.
    """
    steps = _STEPS
    ledger = state.ledger
    first = last = ledger.position
    epoch, time_ms = ledger.epoch, ledger.time_ms
    for position, epoch, time_ms, _, _, _, payload in envelopes:  # noqa: B007 - the last ones are kept below
        step = steps.get(type(payload))
        if step is None:
            raise UnknownEvent(
                f"#{position} is a {type(payload).__name__}, which does not belong into the cluster's journal or is "
                "newer than this program; upgrade it, or point it at the journal and not at a speaker's stream"
            )
        if position <= last:
            raise OutOfOrder(f"#{position} comes after #{last}; each position is applied once, in order")
        last = position
        step(state, payload, position, time_ms)
    ledger.position, ledger.epoch, ledger.time_ms = last, epoch, time_ms
    if last // INDEX_INTERVAL_EVENTS != first // INDEX_INTERVAL_EVENTS:
        # What nobody asked about yet must not pile up without end.
        state.pools.bound_touched()
        state.loc_rib.bound_dirty()
    return state


# ------------------------------------------------------------------------------------------------------------ Services


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


# ------------------------------------------------------------------------------------------------------ other objects


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


def _path_identifier_assigned(
    state: ClusterState, event: decided.PathIdentifierAssigned, position: int, time_ms: int
) -> None:
    state.ledger.path_identifier_assigned(event)
    state.loc_rib.nodes_changed((event.node,), (position, time_ms))


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


# ---------------------------------------------------------------------------------------------------------- decisions


def _address_given(
    state: ClusterState, event: decided.AddressAllocated | decided.AddressAdopted, position: int, time_ms: int
) -> None:
    state.pools.allocated(event, position, time_ms)
    _holders_changed(state, event.address)


def _address_released(state: ClusterState, event: decided.AddressReleased, position: int, time_ms: int) -> None:
    state.pools.released(event, position, time_ms)
    if event.address not in state.pools.by_address:
        state.ledger.holds.forget(host_prefix(event.address))
    inventory, pool = state.inventory, event.pool
    if ("Pool", pool) in inventory.last_good and pool not in inventory.pools and not state.pools.addresses_from(pool):
        del inventory.last_good["Pool", pool]
    _holders_changed(state, event.address)


def _holders_changed(state: ClusterState, address: Address) -> None:
    state.loc_rib.allocation_changed(address)
    if state.inventory.advertisements:
        # Another holder may be selected by other advertisements, although the next hops are the same.
        state.loc_rib.retell((address,))


def _cool_down_elapsed(state: ClusterState, event: decided.CoolDownElapsed, position: int, _time_ms: int) -> None:
    state.pools.cool_down_elapsed(event, position)


def _allocation_refused(state: ClusterState, event: decided.AllocationRefused, position: int, _time_ms: int) -> None:
    state.pools.refused(event, position)


Step = Callable[[ClusterState, Any, int, int], None]

_STEPS: dict[type, Step] = {
    observed.ServiceObserved: _service_observed,
    observed.ServiceGone: _service_gone,
    observed.EndpointsObserved: _endpoints_observed,
    observed.NodeObserved: _node_observed,
    observed.NodeGone: _node_gone,
    observed.NamespaceObserved: _namespace_observed,
    observed.NamespaceGone: _namespace_gone,
    observed.PoolObserved: _pool_observed,
    observed.PoolGone: _pool_gone,
    observed.ServiceRangeObserved: _service_range_observed,
    observed.ServiceRangeGone: _service_range_gone,
    decided.AddressAllocated: _address_given,
    decided.AddressAdopted: _address_given,
    decided.AddressReleased: _address_released,
    decided.CoolDownElapsed: _cool_down_elapsed,
    decided.AllocationRefused: _allocation_refused,
    decided.PathIdentifierAssigned: _path_identifier_assigned,
    **BGP_OBJECT_STEPS,
    **JOURNAL_STEPS,
    **DRAIN_AND_HOLD_STEPS,
}
