"""Which nodes a Service's traffic may be sent to: pure rules of eligibility.

1. A node is eligible if it is Ready (or held by fail static), not excluded by the standard label, and has an
   InternalIP of the address family: the first one is the next hop. Where some BgpPeer wants extended next hops
   (RFC 8950), an IPv6 InternalIP does for IPv4, too: at the sessions that agreed to it.
2. externalTrafficPolicy Local: of these, the nodes with a ready endpoint, and the nodes that have none but one
   that is serving while terminating, as kube-proxy does it (KEP-1669).
3. externalTrafficPolicy Cluster: all of these, as long as an endpoint of the family is ready anywhere; or, if none
   is, as long as one is serving while terminating.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.events.observed import EndpointsObserved, NodeObserved
from porter.model.address import FAMILIES, IPV4, IPV6, Address, Family, Prefix, address_number, family_of
from porter.model.bgp import LAST_RESORT, LEAVING, NextHop
from porter.model.reasons import Reason

LOCAL = "Local"
FIRST_UNICAST_NUMBER = 1 << 24
"""1.0.0.0 as a number: path identifiers below it never collide with a node's IPv4 address."""


def first_address(node: NodeObserved, family: Family) -> Address | None:
    """A node's first InternalIP of a family."""
    return next((address for address in node.addresses if family_of(address) == family), None)


def path_identifier(node: NodeObserved, assigned: Mapping[str, int]) -> int | None:
    """The ADD-PATH identifier of a node's paths: its IPv4 InternalIP as a number, else the journaled number."""
    address = first_address(node, IPV4)
    return address_number(address) if address is not None else assigned.get(node.name)


def node_next_hops(
    node: NodeObserved, held: bool, assigned: Mapping[str, int], *, extended: bool = False
) -> dict[Family, NextHop]:
    """The next hop that a node is for each family; none where it is not eligible.

    A node that waits for its identifier is not eligible yet: its path could not be told from others. `extended` says
    that some BgpPeer wants IPv6 next hops of IPv4 routes.
    """
    identifier = path_identifier(node, assigned)
    if node.excluded or identifier is None or not (node.ready or held):
        return {}
    addresses = ((family, first_address(node, family)) for family in FAMILIES)
    hops = {family: NextHop(node.name, address, identifier) for family, address in addresses if address is not None}
    if extended and IPV6 in hops:
        address = hops[IPV6].address
        hops[IPV4] = hops.get(IPV4, hops[IPV6])._replace(extended=address)
    return hops


def carried(prefix: Prefix, hops: tuple[NextHop, ...], *, extended: bool) -> tuple[NextHop, ...]:
    """The next hops of a route as one session carries them, which agreed to extended next hops or did not."""
    if not any(hop.extended for hop in hops):
        return hops
    if extended:
        return tuple(hop._replace(address=hop.extended or hop.address) for hop in hops)
    family = family_of(prefix)
    return tuple(hop for hop in hops if family_of(hop.address) == family)


def nodes_of(pairs: tuple[tuple[str, tuple[str, ...]], ...], family: Family) -> tuple[str, ...]:
    """The nodes that one half of an `EndpointsObserved` names for a family."""
    for name, nodes in pairs:
        if name == family:
            return nodes
    return ()


def serving_nodes(endpoints: EndpointsObserved | None, family: Family) -> tuple[str, ...]:
    """The nodes with an endpoint that takes new connections of a family; "" for an endpoint without a node."""
    if endpoints is None:
        return ()
    ready = nodes_of(endpoints.ready, family)
    terminating = nodes_of(endpoints.terminating, family)
    return tuple(sorted({*ready, *terminating})) if terminating else ready


def next_hops(
    traffic_policy: str, serving: tuple[str, ...], eligible: Mapping[str, NextHop], everyone: tuple[NextHop, ...]
) -> tuple[NextHop, ...]:
    """The next hops of a Service for one family, sorted by node.

    Args:
        traffic_policy: its externalTrafficPolicy.
        serving: `serving_nodes` of its endpoints.
        eligible: the eligible nodes of the family, by name.
        everyone: the values of `eligible`, sorted by node.
    """
    if not serving:
        return ()
    if traffic_policy != LOCAL:
        return everyone
    return tuple(eligible[node] for node in serving if node in eligible)


def in_service(hops: tuple[NextHop, ...]) -> tuple[NextHop, ...]:
    """Leave out the next hops whose drain is over; where no other is left, they stay: nobody else would serve."""
    left = tuple(hop for hop in hops if hop.standing != LAST_RESORT)
    return left or hops


def leaving(hops: tuple[NextHop, ...]) -> tuple[NextHop, ...]:
    """The same next hops for a Service whose drain has begun."""
    return tuple(hop._replace(standing=max(hop.standing, LEAVING)) for hop in hops)


def united(hops: tuple[NextHop, ...], more: tuple[NextHop, ...]) -> tuple[NextHop, ...]:
    """The next hops of Services that share an address; a node that one of them is not leaving is not left."""
    best = {hop.node: hop for hop in hops}
    for hop in more:
        other = best.get(hop.node)
        if other is None or hop.standing < other.standing:
            best[hop.node] = hop
    return tuple(sorted(best.values()))


def absence(serving: tuple[str, ...]) -> Reason:
    """Why a Service without next hops has none."""
    return Reason.NO_ELIGIBLE_NODE if serving else Reason.NO_READY_ENDPOINT


def inputs_differ(traffic_policy: str, before: EndpointsObserved | None, now: EndpointsObserved | None) -> bool:
    """Whether a change of endpoints matters to next hops: Cluster asks only whether there is one at all."""
    if before is None or now is None:
        return before is not now
    old, new = before.ready, now.ready
    if not before.terminating and not now.terminating:
        if old == new:
            return False
        if traffic_policy != LOCAL and len(old) == len(new) == 1 and old[0][0] == new[0][0] and old[0][1] and new[0][1]:
            # By far most events of a journal are of this kind, and a replay asks about each.
            return False
    return any(_serving_differs(traffic_policy, before, now, family) for family in FAMILIES)


def _serving_differs(traffic_policy: str, before: EndpointsObserved, now: EndpointsObserved, family: Family) -> bool:
    old, new = serving_nodes(before, family), serving_nodes(now, family)
    return old != new and (traffic_policy == LOCAL or bool(old) != bool(new))
