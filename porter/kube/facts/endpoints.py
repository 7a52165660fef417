"""EndpointSlices: a Service's endpoints may be spread over many slices, one address family in each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from porter.events.observed import EndpointsObserved
from porter.kube.objects import Endpoint, EndpointSlice
from porter.model.address import FAMILIES

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class SliceNodes(NamedTuple):
    """What one slice contributes: `service` is "namespace/name"; nodes are sorted, "" stands for none named."""

    service: str
    family: str
    ready: tuple[str, ...]
    terminating: tuple[str, ...]


def slice_nodes(endpoint_slice: EndpointSlice) -> SliceNodes | None:
    """Reduce a slice to its nodes; None where it belongs to no Service or holds names instead of addresses."""
    metadata = endpoint_slice.metadata
    name = (metadata.labels or {}).get(SERVICE_NAME_LABEL, "")
    if not name or endpoint_slice.address_type not in FAMILIES or metadata.deletion_timestamp:
        return None
    ready: set[str] = set()
    terminating: set[str] = set()
    for endpoint in endpoint_slice.endpoints or ():
        if endpoint.conditions.ready is not False:
            ready.add(endpoint.node_name or "")
        elif _serves_while_terminating(endpoint):
            terminating.add(endpoint.node_name or "")
    service = f"{metadata.namespace}/{name}"
    return SliceNodes(service, endpoint_slice.address_type, tuple(sorted(ready)), tuple(sorted(terminating)))


def _serves_while_terminating(endpoint: Endpoint) -> bool:
    """KEP-1669: such an endpoint still takes traffic where its node has no ready one. An unset serving is as ready."""
    return endpoint.conditions.terminating is True and endpoint.conditions.serving is True


def endpoints_fact(namespace: str, name: str, slices: Iterable[SliceNodes]) -> EndpointsObserved:
    """Unite a Service's slices; a node with a ready endpoint in any of them is not listed as terminating."""
    ready: dict[str, set[str]] = {}
    terminating: dict[str, set[str]] = {}
    for nodes in slices:
        ready.setdefault(nodes.family, set()).update(nodes.ready)
        terminating.setdefault(nodes.family, set()).update(nodes.terminating)
    for family in terminating.keys() & ready.keys():
        terminating[family] -= ready[family]
    return EndpointsObserved(namespace, name, _by_family(ready), _by_family(terminating))


def _by_family(nodes: dict[str, set[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((family, tuple(sorted(names))) for family, names in sorted(nodes.items()) if names)
