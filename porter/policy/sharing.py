"""When two Services may have one address."""

from __future__ import annotations

from porter.events.observed import ServiceObserved
from porter.model.address import Address
from porter.policy.next_hops import LOCAL

EVERY_NAMESPACE = "*"
NEEDS_KEY = "sharing needs the key"


def why_not_shared(
    newcomer: ServiceObserved, holder: ServiceObserved, address: Address, allowed: tuple[str, ...] = ()
) -> str:
    """Why a newcomer may not share a holder's address: a clause, or "" if it may.

    In this order:
    1. Services of two namespaces need one sharing key, and both namespaces on the pool's list (`allowed`).
    2. Services of one namespace need one sharing key, or both request the address explicitly.
    3. Their ports are disjoint, by protocol and number.
    4. A route has one set of next hops, so that Local next hops are shared only by Services with the same pods. Two
       without a selector are not that: somebody else writes the endpoints of each.
    """
    if newcomer.namespace != holder.namespace and not may_cross(newcomer.namespace, holder.namespace, allowed):
        return "Services of two namespaces share one only where spec.sharing.namespaces of its Eip lists both"
    both_ask = (
        newcomer.namespace == holder.namespace
        and address in newcomer.requested_addresses
        and address in holder.requested_addresses
    )
    if newcomer.sharing_key != holder.sharing_key or not (both_ask or newcomer.sharing_key):
        if holder.sharing_key:
            return f"{NEEDS_KEY} '{holder.sharing_key}'"
        return "both must request it explicitly, or carry the same porter.io/sharing-key"
    common = sorted(set(newcomer.ports) & set(holder.ports))
    if common:
        protocol, port = common[0]
        return f"both use {protocol} port {port}"
    return _why_not_local(newcomer, holder) if LOCAL in {newcomer.traffic_policy, holder.traffic_policy} else ""


def _why_not_local(newcomer: ServiceObserved, holder: ServiceObserved) -> str:
    if newcomer.traffic_policy != holder.traffic_policy or newcomer.selector != holder.selector:
        return "with externalTrafficPolicy Local they must select the same pods"
    if not newcomer.selector:
        return "with externalTrafficPolicy Local they must select pods: without a selector each has its own endpoints"
    return ""


def may_cross(namespace: str, other: str, allowed: tuple[str, ...]) -> bool:
    """Whether a pool's list lets Services of two namespaces share an address."""
    return EVERY_NAMESPACE in allowed or (namespace in allowed and other in allowed)
