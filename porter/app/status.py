"""What the leader wants the objects' statuses to say, and when: Services at once, pools and peers gathered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from porter.events.catalogue import Event
from porter.events.decided import AddressAdopted, AddressAllocated, AddressReleased, AllocationRefused
from porter.events.observed import (
    ConfObserved,
    PeerObserved,
    PoolGone,
    PoolObserved,
    ServiceGone,
    ServiceObserved,
)
from porter.ports import ObjectStatus, StatusWriter
from porter.projections.cluster import ClusterState
from porter.projections.sessions import Sessions
from porter.projections.status import conf_status, peer_status, pool_status, service_annotations, service_labels
from porter.projections.status import service_status as service_tree

GATHER_INTERVAL_S = 0.5
"""Pools, peers and the BgpConf change with every Service or session: their statuses are written at most this often."""

_ServicePayload = (
    ServiceObserved | ServiceGone | AddressAllocated | AddressAdopted | AddressReleased | AllocationRefused
)


class StatusDesk:
    """Turns durable events into wanted statuses. Nothing is wanted before the event behind it is durable."""

    def __init__(self, writer: StatusWriter, sessions: Callable[[], Sessions]) -> None:
        self._writer = writer
        self._sessions = sessions
        self._services: dict[str, tuple[str, str]] = {}
        self._pools: set[str] = set()
        self._rest = False
        self._state: ClusterState | None = None

    def touched(self, payload: Event) -> None:
        """Remember what an event concerns, until it is durable."""
        if isinstance(payload, _ServicePayload):
            self._services[payload.uid] = (payload.namespace, payload.name)
        if isinstance(payload, PoolObserved | PoolGone):
            self._pools.add(payload.name)
        elif isinstance(payload, AddressAllocated | AddressAdopted | AddressReleased):
            self._pools.add(payload.pool)
        elif isinstance(payload, PeerObserved | ConfObserved):
            self._rest = True

    def durable(self, state: ClusterState) -> None:
        """What was touched so far is durable: Services' statuses are wanted now, the others with the next gathering."""
        self._state = state
        for uid, (namespace, name) in self._services.items():
            if not state.pools.is_unsettled(uid):
                self._writer.want(service_status(state, uid, namespace, name))
        self._services.clear()

    def everything(self, state: ClusterState) -> None:
        """A new leader: every status is wanted; the writer leaves alone what already says so."""
        self._state = state
        self._services.clear()
        for uid, service in state.inventory.services.items():
            self._writer.want(service_status(state, uid, service.namespace, service.name))
        self._pools.update(state.inventory.pools)
        self._rest = True

    def sessions_changed(self) -> None:
        """Speakers told something new."""
        self._rest = True

    def drop(self) -> None:
        """This process leads no more: forget what waits."""
        self._services.clear()
        self._pools.clear()
        self._rest = False
        self._state = None
        self._writer.drop()

    async def run(self) -> None:
        """Gather the pools, peers and the BgpConf until cancelled."""
        while True:
            await asyncio.sleep(GATHER_INTERVAL_S)
            if self._state is None:
                continue
            pools, self._pools = self._pools, set()
            self._want_pools(self._state, sorted(pools))
            if self._rest:
                self._rest = False
                self._want_rest(self._state)

    def _want_pools(self, state: ClusterState, names: Iterable[str]) -> None:
        for name in names:
            pool = state.inventory.pools.get(name)
            if pool is not None:
                self._writer.want(ObjectStatus("Eip", "", name, pool.uid, pool_status(state, name)))

    def _want_rest(self, state: ClusterState) -> None:
        sessions = self._sessions()
        for name, peer in state.inventory.peers.items():
            self._writer.want(ObjectStatus("BgpPeer", "", name, peer.uid, peer_status(state, sessions, name)))
        for name, conf in state.inventory.confs.items():
            self._writer.want(ObjectStatus("BgpConf", "", name, conf.uid, conf_status(state, sessions, name)))


def service_status(state: ClusterState, uid: str, namespace: str, name: str) -> ObjectStatus:
    """The wanted status of one Service; one that holds nothing, or is ours no more, loses ingress and annotations."""
    return ObjectStatus(
        "Service",
        namespace,
        name,
        uid,
        service_tree(state, uid),
        service_labels(state, uid),
        service_annotations(state, uid),
    )
