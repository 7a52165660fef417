"""What the leader wants the objects' statuses to say, and when: Services at once, pools and peers gathered.

A pool's status names every address in use: written anew with every few Services of a burst, it costs the API server
more than the Services do. So what keeps changing is written seldom, and its end soon after it came to rest.
"""

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

UNSETTLED_INTERVALS = 8
"""What changes in every interval is written only once in so many of them."""

REST = "peers and the BgpConf"
"""They are gathered together: each speaker's session is told of in both."""

_ServicePayload = (
    ServiceObserved | ServiceGone | AddressAllocated | AddressAdopted | AddressReleased | AllocationRefused
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
    """Turns durable events into wanted statuses. Nothing is wanted before the event behind it is durable."""

    def __init__(self, writer: StatusWriter, sessions: Callable[[], Sessions]) -> None:
        self._writer = writer
        self._sessions = sessions
        self._services: dict[str, tuple[str, str]] = {}
        self._pools = Gathering()
        self._rest = Gathering()
        self._state: ClusterState | None = None

    def touched(self, payload: Event) -> None:
        """Remember what an event concerns, until it is durable."""
        if isinstance(payload, _ServicePayload):
            self._services[payload.uid] = (payload.namespace, payload.name)
        if isinstance(payload, PoolObserved | PoolGone):
            self._pools.add((payload.name,))
        elif isinstance(payload, AddressAllocated | AddressAdopted | AddressReleased):
            self._pools.add((payload.pool,))
        elif isinstance(payload, PeerObserved | ConfObserved):
            self._rest.add((REST,))

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
        self._pools.add(state.inventory.pools)
        self._rest.add((REST,))

    def sessions_changed(self) -> None:
        """Speakers told something new."""
        self._rest.add((REST,))

    def drop(self) -> None:
        """This process leads no more: forget what waits."""
        self._services.clear()
        self._pools.clear()
        self._rest.clear()
        self._state = None
        self._writer.drop()

    async def run(self) -> None:
        """Gather the pools, peers and the BgpConf until cancelled."""
        while True:
            await asyncio.sleep(GATHER_INTERVAL_S)
            if self._state is None:
                continue
            self._want_pools(self._state, sorted(self._pools.due()))
            if self._rest.due():
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
