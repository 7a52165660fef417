"""The steps of the cluster's fold for the objects that sessions and exports are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import observed
from porter.projections.cluster import ClusterState


def _conf_observed(state: ClusterState, event: observed.ConfObserved, position: int, _time_ms: int) -> None:
    state.inventory.put("Conf", event, position)
    state.exports.forget()


def _conf_gone(state: ClusterState, event: observed.ConfGone, _position: int, _time_ms: int) -> None:
    state.inventory.drop("Conf", event.name)
    state.exports.forget()


def _peer_observed(state: ClusterState, event: observed.PeerObserved, position: int, time_ms: int) -> None:
    state.inventory.put("Peer", event, position)
    state.exports.forget()
    state.loc_rib.peers_changed((position, time_ms))


def _peer_gone(state: ClusterState, event: observed.PeerGone, position: int, time_ms: int) -> None:
    state.inventory.drop("Peer", event.name)
    state.exports.forget()
    state.loc_rib.peers_changed((position, time_ms))


def _advertisement_observed(
    state: ClusterState, event: observed.AdvertisementObserved, position: int, _time_ms: int
) -> None:
    state.inventory.put("Advertisement", event, position)
    state.exports.forget()
    state.loc_rib.retell()


def _advertisement_gone(state: ClusterState, event: observed.AdvertisementGone, _position: int, _time_ms: int) -> None:
    state.inventory.drop("Advertisement", event.name)
    state.exports.forget()
    state.loc_rib.retell()


BGP_OBJECT_STEPS: dict[type, Callable[[Any, Any, int, int], None]] = {
    observed.ConfObserved: _conf_observed,
    observed.ConfGone: _conf_gone,
    observed.PeerObserved: _peer_observed,
    observed.PeerGone: _peer_gone,
    observed.AdvertisementObserved: _advertisement_observed,
    observed.AdvertisementGone: _advertisement_gone,
}
