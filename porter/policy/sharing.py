"""When two Services may have one address."""

from __future__ import annotations

from porter.events.observed import ServiceObserved
from porter.model.address import Address
from porter.policy.next_hops import LOCAL


def why_not_shared(newcomer: ServiceObserved, holder: ServiceObserved, address: Address) -> str:
    """Why a newcomer may not share a holder's address: a clause, or "" if it may.

    Services of one namespace share an address that both request explicitly, or that both hold under one sharing
    key, if their ports are disjoint. A route has one set of next hops, so that Local next hops are shared only by
    Services with the same pods.
    """
    if newcomer.namespace != holder.namespace:
        return "Services of two namespaces do not share an address"
    both_ask = address in newcomer.requested_addresses and address in holder.requested_addresses
    if newcomer.sharing_key != holder.sharing_key or not (both_ask or newcomer.sharing_key):
        return "both must request it explicitly, or carry the same porter.io/sharing-key"
    common = sorted(set(newcomer.ports) & set(holder.ports))
    if common:
        protocol, port = common[0]
        return f"both use {protocol} port {port}"
    local = LOCAL in {newcomer.traffic_policy, holder.traffic_policy}
    if local and (newcomer.traffic_policy != holder.traffic_policy or newcomer.selector != holder.selector):
        return "with externalTrafficPolicy Local they must select the same pods"
    return ""
