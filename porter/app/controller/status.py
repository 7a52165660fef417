"""What the leader wants the objects' statuses to say, and when: Services at once, pools and peers gathered.

A pool's status names every address in use: written anew with every few Services of a burst, it costs the API server
more than the Services do. So what keeps changing is written seldom, and its end soon after it came to rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from porter.app.controller.object_events import DECISIONS, HOLDS, hold_event, object_event, standing_holds
from porter.events.catalogue import Event
from porter.events.decided import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AllocationRefused,
    CoolDownElapsed,
    HoldEnded,
    HoldExpired,
    NodeDrained,
    NodeDrainElapsed,
    NodeUndrained,
    ServiceDrained,
    ServiceDrainElapsed,
    ServiceUndrained,
    WithdrawalApproved,
    WithdrawalHeld,
)
from porter.events.envelope import Envelope
from porter.events.observed import (
    AdvertisementGone,
    AdvertisementObserved,
    ConfObserved,
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
from porter.ports import EventRecorder, ObjectStatus, StatusWriter
from porter.projections.cluster import ClusterState
from porter.projections.sessions import Sessions
from porter.projections.status import (
    advertisement_statuses,
    conf_status,
    peer_status,
    pool_status,
    service_annotations,
    service_conditions,
    service_labels,
)
from porter.projections.status import service_status as service_tree

GATHER_INTERVAL_S = 0.5
"""Pools, peers and the BgpConf change with every Service or session: their statuses are written at most this often."""

UNSETTLED_INTERVALS = 8
"""What changes in every interval is written only once in so many of them."""

EVERY_POOL = ""
"""Stands for all pools: an edit of one may end or begin what another one is refused for, or what counts for it."""

REST = "peers, advertisements and the BgpConf"
"""They are few, and gathered together: each speaker's session is told of in several of them."""

SERVICES_PER_TURN = 128
"""How many Services of an edited pool are looked at before others may go on."""

_ServicePayload = (
    ServiceObserved
    | ServiceGone
    | AddressAllocated
    | AddressAdopted
    | AddressReleased
    | AllocationRefused
    | ServiceDrained
    | ServiceDrainElapsed
    | ServiceUndrained
)
_RestPayload = (
    PeerObserved
    | PeerGone
    | ConfObserved
    | AdvertisementObserved
    | AdvertisementGone
    | NodeDrained
    | NodeDrainElapsed
    | NodeUndrained
    | WithdrawalHeld
    | WithdrawalApproved
    | HoldExpired
    | HoldEnded
)


class Gathering:
    """Names of what changed, until it is due: at rest for an interval, or not written for `UNSETTLED_INTERVALS`."""

    def __init__(self) -> None:
        self._fresh: set[str] = set()
        self._waiting: set[str] = set()
        self._intervals = UNSETTLED_INTERVALS

    def add(self, names: Iterable[str]) -> None:
        """Note what changed in the present interval."""
        self._fresh.update(names)

    def due(self) -> set[str]:
        """End an interval: return and forget what is to be written now."""
        at_rest = not self._fresh
        self._waiting |= self._fresh
        self._fresh = set()
        self._intervals += 1
        if not self._waiting or not (at_rest or self._intervals >= UNSETTLED_INTERVALS):
            return set()
        due, self._waiting, self._intervals = self._waiting, set(), 0
        return due

    def clear(self) -> None:
        """Forget everything."""
        self._fresh, self._waiting = set(), set()
        self._intervals = UNSETTLED_INTERVALS


class StatusDesk:
    """Turns durable events into wanted statuses and Events. Nothing is told before the event behind it is durable."""

    def __init__(self, writer: StatusWriter, recorder: EventRecorder, sessions: Callable[[], Sessions]) -> None:
        self._writer = writer
        self._recorder = recorder
        self._sessions = sessions
        self._services: dict[str, tuple[str, str]] = {}
        self._freed: set[Address] = set()
        self._decisions: list[Envelope] = []
        self._holds: list[Envelope] = []
        self._edited_pools: set[str] = set()
        self._node_addresses: dict[str, tuple[Address, ...]] = {}
        self._pools = Gathering()
        self._rest = Gathering()
        self._state: ClusterState | None = None

    def touched(self, envelope: Envelope) -> None:
        """Remember what an event concerns, until it is durable."""
        payload = envelope.payload
        if isinstance(payload, _ServicePayload):
            self._services[payload.uid] = (payload.namespace, payload.name)
            if isinstance(payload, DECISIONS):
                self._decisions.append(envelope)
        if isinstance(payload, AddressAllocated | AddressAdopted | AddressReleased | CoolDownElapsed):
            self._pools.add((payload.pool,))
            if isinstance(payload, AddressReleased):
                self._freed.add(payload.address)
        elif isinstance(payload, PoolObserved | PoolGone):
            self._pools.add((EVERY_POOL,))
            self._edited_pools.add(payload.name)
            self._rest.add((REST,))
        elif isinstance(payload, _RestPayload):
            self._rest.add((REST,))
            if isinstance(payload, HOLDS):
                self._holds.append(envelope)
        elif isinstance(payload, NodeObserved | NodeGone | ServiceRangeObserved | ServiceRangeGone):
            self._compare_networks(payload)

    def durable(self, state: ClusterState) -> None:
        """What was touched so far is durable: Services' statuses are wanted now, the others with the next gathering."""
        self._state = state
        for uid, (namespace, name) in self._with_sharers(state).items():
            if not state.pools.is_unsettled(uid):
                self._writer.want(service_status(state, uid, namespace, name))
        for envelope in self._decisions:
            self._recorder.record(object_event(state, envelope))
        for envelope in self._holds:
            if (told := hold_event(state, envelope)) is not None:
                self._recorder.record(told)
        self._forget_touched()

    def everything(self, state: ClusterState) -> None:
        """A new leader: every status is wanted; the writer leaves alone what already says so."""
        self._state = state
        for told in standing_holds(state):
            self._recorder.record(told)
        self._forget_touched()
        for uid, service in state.inventory.services.items():
            self._writer.want(service_status(state, uid, service.namespace, service.name))
        self._node_addresses = {name: node.addresses for name, node in state.inventory.nodes.items()}
        self._pools.add((EVERY_POOL,))
        self._rest.add((REST,))

    def sessions_changed(self) -> None:
        """Speakers told something new."""
        self._rest.add((REST,))

    def drop(self) -> None:
        """This process leads no more: forget what waits."""
        self._forget_touched()
        self._edited_pools.clear()
        self._pools.clear()
        self._rest.clear()
        self._state = None
        self._writer.drop()
        self._recorder.drop()

    async def run(self) -> None:
        """Gather the pools, peers, advertisements and the BgpConf until cancelled."""
        while True:
            await asyncio.sleep(GATHER_INTERVAL_S)
            if self._state is None:
                continue
            self._want_pools(self._state, self._pools.due())
            if self._rest.due():
                self._want_rest(self._state)
            edited, self._edited_pools = self._edited_pools, set()
            await self._want_services_of(edited)

    def _forget_touched(self) -> None:
        self._services.clear()
        self._freed.clear()
        self._decisions.clear()
        self._holds.clear()

    def _with_sharers(self, state: ClusterState) -> dict[str, tuple[str, str]]:
        """The touched Services, and those that share an address with them, or did so: what one may do depends on the
        others."""
        concerned = dict(self._services)
        addresses = {one.address for uid in self._services for one in state.pools.of(uid)} | self._freed
        for address in addresses:
            holders = state.pools.by_address.get(address, ())
            if len(holders) > 1 or address in self._freed:
                concerned.update((one.uid, (one.namespace, one.name)) for one in holders)
        return concerned

    def _compare_networks(self, payload: Event) -> None:
        """Pools warn of node addresses and Service ranges in them; a Node changes otherwise many times a day."""
        if isinstance(payload, NodeObserved | NodeGone):
            addresses = payload.addresses if isinstance(payload, NodeObserved) else ()
            if self._node_addresses.get(payload.name, ()) == addresses:
                return
            self._node_addresses[payload.name] = addresses
            if not addresses:
                del self._node_addresses[payload.name]
        self._pools.add((EVERY_POOL,))

    def _want_pools(self, state: ClusterState, names: Collection[str]) -> None:
        for name in sorted(state.inventory.pools if EVERY_POOL in names else names):
            pool = state.inventory.pools.get(name)
            if pool is not None:
                self._writer.want(ObjectStatus("Eip", "", name, pool.uid, pool_status(state, name)))

    async def _want_services_of(self, pools: Iterable[str]) -> None:
        """Want the statuses of the Services whose addresses an edited pool gave or holds: they may be outside now."""
        concerned: set[Address] = set()
        for name in pools:
            if self._state is not None:
                concerned.update(self._state.pools.counted_for(name), self._state.pools.addresses_from(name))
        for number, address in enumerate(concerned):
            if number % SERVICES_PER_TURN == 0:
                await asyncio.sleep(0)
            # Another process may have taken over meanwhile.
            state = self._state
            if state is None:
                return
            for one in state.pools.by_address.get(address, ()):
                if not state.pools.is_unsettled(one.uid):
                    self._writer.want(service_status(state, one.uid, one.namespace, one.name))

    def _want_rest(self, state: ClusterState) -> None:
        sessions = self._sessions()
        for name, peer in state.inventory.peers.items():
            self._writer.want(ObjectStatus("BgpPeer", "", name, peer.uid, peer_status(state, sessions, name)))
        for name, conf in state.inventory.confs.items():
            self._writer.want(ObjectStatus("BgpConf", "", name, conf.uid, conf_status(state, sessions, name)))
        for name, tree in advertisement_statuses(state).items():
            uid = state.inventory.advertisements[name].uid
            self._writer.want(ObjectStatus("BgpAdvertisement", "", name, uid, tree))


def service_status(state: ClusterState, uid: str, namespace: str, name: str) -> ObjectStatus:
    """The wanted status of one Service; one that is ours no more loses ingress, annotations and our conditions."""
    return ObjectStatus(
        "Service",
        namespace,
        name,
        uid,
        service_tree(state, uid) | {"conditions": service_conditions(state, uid)},
        service_labels(state, uid),
        service_annotations(state, uid),
    )
