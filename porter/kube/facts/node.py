"""Nodes, which are next hops, and Namespaces, which pools select."""

from __future__ import annotations

from porter.events.observed import NamespaceObserved, NodeObserved
from porter.kube.facts import FactSettings
from porter.kube.facts.fields import pairs
from porter.kube.objects import Namespace, Node
from porter.model.address import Address, InvalidAddress, parse_address

EXCLUSION_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
"""KEP-1143; the label's presence counts, whatever its value."""

MAX_NODE_ADDRESSES = 16
NO_SETTINGS = FactSettings()


def node_fact(node: Node, settings: FactSettings = NO_SETTINGS) -> NodeObserved:
    """Convert a Node: its InternalIPs in the API's order, canonical, each once."""
    metadata = node.metadata
    return NodeObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        addresses=_internal_addresses(node),
        ready=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ()),
        excluded=EXCLUSION_LABEL in (metadata.labels or {}),
        labels=pairs(metadata.labels),
        cordoned=settings.drain_cordoned and node.spec.unschedulable,
    )


def _internal_addresses(node: Node) -> tuple[Address, ...]:
    addresses: dict[Address, None] = {}
    for entry in node.status.addresses or ():
        if entry.type != "InternalIP":
            continue
        try:
            addresses[parse_address(entry.address)] = None
        except InvalidAddress:
            continue
    return tuple(addresses)[:MAX_NODE_ADDRESSES]


def namespace_fact(namespace: Namespace) -> NamespaceObserved:
    """Convert a Namespace: its labels."""
    return NamespaceObserved(namespace.metadata.name, pairs(namespace.metadata.labels))
