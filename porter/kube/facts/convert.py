"""Which conversion belongs to which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from porter.events.catalogue import Event
from porter.events.observed import ServiceObserved
from porter.kube.facts import FactSettings
from porter.kube.facts.advertisement import advertisement_fact, malformed_advertisement_fact
from porter.kube.facts.bgp import conf_fact, malformed_conf_fact, malformed_peer_fact, peer_fact
from porter.kube.facts.fields import malformed_problem
from porter.kube.facts.node import namespace_fact, node_fact
from porter.kube.facts.pool import malformed_pool_fact, pool_fact
from porter.kube.facts.service import malformed_service_fact, service_fact
from porter.kube.facts.service_range import service_range_fact
from porter.kube.objects import Custom, Kind, KubeObject, Malformed, Namespace, Node, Service, ServiceCIDR
from porter.ports import FactKind

FACT_KINDS: Mapping[Kind, FactKind] = {
    "Service": "Service",
    "Node": "Node",
    "Namespace": "Namespace",
    "Eip": "Pool",
    "BgpConf": "Conf",
    "BgpPeer": "Peer",
    "BgpAdvertisement": "Advertisement",
    "ServiceCIDR": "ServiceRange",
}
"""The kind of fact that one object of a kind makes; EndpointSlices and ConfigMaps make facts together."""

_CONVERSIONS: Mapping[Kind, Callable[[Custom], Event | None]] = {
    "Eip": pool_fact,
    "BgpConf": conf_fact,
    "BgpPeer": peer_fact,
    "BgpAdvertisement": advertisement_fact,
}
_MALFORMED: Mapping[Kind, Callable[[Malformed], Event | None]] = {
    "Eip": malformed_pool_fact,
    "BgpConf": malformed_conf_fact,
    "BgpPeer": malformed_peer_fact,
    "BgpAdvertisement": malformed_advertisement_fact,
}


def fact_of(kind: Kind, item: KubeObject, settings: FactSettings) -> Event | None:
    """Convert an object; None where it does not concern Porter, or makes no fact by itself."""
    match item:
        case Service():
            return service_fact(item, settings)
        case Node():
            return node_fact(item, settings)
        case Namespace():
            return namespace_fact(item)
        case ServiceCIDR():
            return service_range_fact(item)
        case Custom():
            return _CONVERSIONS[kind](item)
    return None


def malformed_fact_of(error: Malformed, settings: FactSettings, before: Event | None) -> Event | None:
    """Convert what identifies a malformed object.

    A Service keeps what it had, with the problem. What has no condition of ours keeps its last good fact, `before`.
    """
    if error.kind in _MALFORMED:
        return _MALFORMED[error.kind](error)
    if error.kind != "Service":
        return before
    if isinstance(before, ServiceObserved):
        return before._replace(problems=(malformed_problem(error),))
    return malformed_service_fact(error, settings)
