"""The desired Adj-RIB-Out of every peer of one speaker, kept up with the state route by route.

While the state is not certain (not folded up to the head, inventory not synced, journal recovering), what was desired
before is kept beside what the new state says: an uncertain state may add, it never takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from porter.model.address import Prefix
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SpeakerName
from porter.ports import Desired
from porter.projections.adj_rib_out import adj_rib_out, concerned
from porter.projections.cluster import ClusterState

Routes = dict[RouteKey, PathAttributes]


@dataclass(slots=True)
class _PeerRib:
    negotiated: Negotiated
    routes: Routes = field(default_factory=dict)
    by_prefix: dict[Prefix, Routes] = field(default_factory=dict)


class AdjRibsOut:
    """One speaker's Adj-RIBs-Out. `retained` is the state whose routes are kept while the present one is uncertain."""

    def __init__(self, speaker: SpeakerName) -> None:
        self.retained: ClusterState | None = None
        self._speaker = speaker
        self._peers: dict[PeerKey, _PeerRib] = {}

    def negotiated(self, peer: PeerKey, negotiated: Negotiated) -> None:
        """A session came up: from now on the peer's routes are those that this session can carry."""
        self._peers[peer] = _PeerRib(negotiated)

    def knows(self, peer: PeerKey) -> bool:
        """Whether a peer's routes are kept up."""
        return peer in self._peers

    def forget(self, present: Iterable[PeerKey]) -> None:
        """Forget the peers that are configured no more."""
        for peer in set(self._peers) - set(present):
            del self._peers[peer]

    def whole(self, state: ClusterState, *, certain: bool, peers: Iterable[PeerKey] | None = None) -> Iterable[Desired]:
        """Compute everything anew for some peers (None: all that were ever established)."""
        for peer in sorted(self._peers) if peers is None else peers:
            rib = self._peers.get(peer)
            if rib is None or self._gone(state, peer):
                continue
            routes = self._compute(state, peer, rib.negotiated, None)
            rib.by_prefix = {}
            for key, attributes in routes.items():
                rib.by_prefix.setdefault(key.prefix, {})[key] = attributes
            rib.routes = routes
            yield Desired(peer, rib.routes, state.ledger.position, certain)

    def changed(self, state: ClusterState, prefixes: frozenset[Prefix], *, certain: bool) -> Iterable[Desired]:
        """Follow changed prefixes; yields only the peers for which a route really changed."""
        for peer, rib in sorted(self._peers.items()):
            if self._gone(state, peer):
                continue
            touched = self._concerned(state, peer, prefixes)
            fresh: dict[Prefix, Routes] = {prefix: {} for prefix in touched}
            for key, attributes in self._compute(state, peer, rib.negotiated, touched).items():
                fresh[key.prefix][key] = attributes
            keys: set[RouteKey] = set()
            for prefix, routes in fresh.items():
                before = rib.by_prefix.get(prefix, {})
                keys |= {key for key, attributes in routes.items() if before.get(key) != attributes}
                for key in before.keys() - routes.keys():
                    keys.add(key)
                    del rib.routes[key]
                rib.routes.update(routes)
                if routes:
                    rib.by_prefix[prefix] = routes
                else:
                    rib.by_prefix.pop(prefix, None)
            if keys:
                yield Desired(peer, rib.routes, state.ledger.position, certain, frozenset(keys))

    def _gone(self, state: ClusterState, peer: PeerKey) -> bool:
        """Whether there is no such BgpPeer any more. Its session takes its routes along, or goes on by another name."""
        return self.retained is None and peer not in state.inventory.peers

    def _concerned(self, state: ClusterState, peer: PeerKey, prefixes: frozenset[Prefix]) -> frozenset[Prefix]:
        touched = concerned(state, peer, prefixes)
        return touched if self.retained is None else touched | concerned(self.retained, peer, prefixes)

    def _compute(
        self, state: ClusterState, peer: PeerKey, negotiated: Negotiated, prefixes: frozenset[Prefix] | None
    ) -> Routes:
        routes: Mapping[RouteKey, PathAttributes] = adj_rib_out(state, peer, self._speaker, negotiated, prefixes)
        if self.retained is None:
            return dict(routes)
        before = adj_rib_out(self.retained, peer, self._speaker, negotiated, prefixes)
        return {**before, **routes}
