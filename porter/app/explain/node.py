"""Why a node is, or is not, a next hop: by itself for each address family, and of which Services by which rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from porter.app.answer_json import Json, time_json
from porter.app.answers.routes import not_known
from porter.app.explain.question import KNOWN_SHOWN, Unknown
from porter.app.explain.sessions import number_of
from porter.app.read_model import ReadModel
from porter.events.observed import NodeObserved, ServiceObserved
from porter.model.address import FAMILIES, Family, family_of, host_prefix
from porter.model.bgp import IN_SERVICE, LAST_RESORT, LEAVING, NextHop
from porter.model.reasons import Reason
from porter.policy.next_hops import LOCAL, first_address, nodes_of, path_identifier, serving_nodes
from porter.policy.topology import selects
from porter.projections.cluster import ClusterState
from porter.projections.loc_rib import NEVER, Stamp
from porter.projections.pools import Allocation

SERVICES_MAX = 500
"""Most Services that are told of one by one; all are counted by rule."""

IN, NOT_IN = "nextHop", "none"
STANDINGS = {IN_SERVICE: "inService", LEAVING: "leaving", LAST_RESORT: "lastResort"}

CLUSTER_RULE = "externalTrafficPolicy Cluster: every eligible node, as long as an endpoint is ready anywhere"
READY_RULE = "externalTrafficPolicy Local: an endpoint on this node is ready"
TERMINATING_RULE = "externalTrafficPolicy Local: an endpoint on this node serves while it terminates, and none is ready"
HELD_RULE = "the Service lost its last next hops together with many others, and a hold keeps what it had"

OF_SERVICE = frozenset({Reason.NO_READY_ENDPOINT, Reason.NO_ENDPOINT_ON_NODE})
"""Refusals that have nothing to do with what the node itself is like."""


class Judged(NamedTuple):
    """Whether the node is a next hop of one address, by which rule or why not, and the event that it hangs on."""

    is_hop: bool
    rule: str
    reason: str
    stamp: Stamp


def tell_node(model: ReadModel, name: str) -> Json:
    """The explanation of a node; `causes` are positions yet.

    Raises:
        Unknown: no node has this name.
    """
    state = model.state
    node = state.inventory.nodes.get(name)
    if node is None:
        raise Unknown(not_known("node", name, sorted(state.inventory.nodes)[:KNOWN_SHOWN]))
    families = [_family(state, node, family) for family in FAMILIES]
    told, counted = _services(state, node)
    hops = sum(count for (is_hop, _, _), count in counted.items() if is_hop)
    total = counted.total()
    usable = [one for one in families if one["eligible"]]
    return {
        "node": name,
        "position": state.inventory.position_of_object("Node", name),
        "resourceVersion": node.resource_version,
        "ready": node.ready,
        "excluded": node.excluded,
        "held": name in state.inventory.readiness.held,
        "addresses": list(node.addresses),
        "labels": dict(node.labels),
        "drain": _drain(state, name),
        "families": families,
        "rules": [
            {"nextHop": is_hop, "rule": rule, "reason": reason, "services": count}
            for (is_hop, rule, reason), count in sorted(counted.items(), key=lambda item: -item[1])
        ],
        "nextHopOf": hops,
        "services": told,
        "left": total - len(told),
        "peers": [
            {"peer": peer, "selected": selects(fact, node)} for peer, fact in sorted(state.inventory.peers.items())
        ],
        "causes": max((one["cause"] for one in families), default=0),
        "summary": _summary(state, node, families, hops, total),
        "wrong": [] if usable else [families[0]["message"]],
    }


def _summary(state: ClusterState, node: NodeObserved, families: list[Json], hops: int, total: int) -> list[str]:
    sentences = [f"Node {node.name} is a next hop of {hops} of {number_of(total, 'address', 'addresses')} in use."]
    messages = dict.fromkeys(one["message"] for one in families)
    sentences += [f"{message}." for message in messages]
    drain = state.ledger.maintenance.nodes.get(node.name)
    if drain is not None:
        why = f": {drain.why}" if drain.why else ""
        sentences.append(
            f"{drain.by} drained it (#{drain.position}){why}; `porter uncordon node {node.name}` ends that."
        )
    return sentences


def _drain(state: ClusterState, name: str) -> Json:
    drain = state.ledger.maintenance.nodes.get(name)
    if drain is None:
        return None
    return {
        "by": drain.by,
        "why": drain.why,
        "since": time_json(drain.since_ms),
        "position": drain.position,
        "elapsed": drain.elapsed,
        "force": drain.force,
    }


# --------------------------------------------------------------------------------------------------------- by itself


def _family(state: ClusterState, node: NodeObserved, family: Family) -> Json:
    """Whether a node may be a next hop of a family at all."""
    hop = state.loc_rib.eligible[family].get(node.name)
    position, since_ms = _node_stamp(state, node.name, family)
    reason, message = _not_eligible(state, node, family) if hop is None else ("", _eligible(state, node, hop, family))
    return {
        "family": family,
        "eligible": hop is not None,
        "address": hop.address if hop is not None else first_address(node, family) or "",
        "pathId": path_identifier(node, state.ledger.path_identifiers) or 0,
        "standing": STANDINGS[hop.standing] if hop is not None else "",
        "reason": reason,
        "message": message,
        "since": time_json(since_ms),
        "cause": position,
    }


def _node_stamp(state: ClusterState, name: str, family: Family) -> Stamp:
    """When its eligibility changed last; for one that was never eligible, its newest fact."""
    stamp = state.loc_rib.node_stamps[family].get(name, NEVER)
    return stamp if stamp != NEVER else (state.inventory.position_of_object("Node", name), 0)


def _eligible(state: ClusterState, node: NodeObserved, hop: NextHop, family: Family) -> str:
    if hop.standing == LEAVING:
        return f"{hop.address} leaves service: its paths carry GRACEFUL_SHUTDOWN until the drain's delay is over"
    if hop.standing == LAST_RESORT:
        return f"{hop.address} is drained, and stays only where a Service has no other next hop"
    if not node.ready and node.name in state.inventory.readiness.held:
        return (
            f"{hop.address} stays a next hop although the node is not Ready: most nodes turned NotReady within a "
            "minute, or none would remain; see whether the kubelets reach the API server"
        )
    where = "" if family_of(hop.address) == family else f" of {family} routes, where a peer agreed to it (RFC 8950)"
    return f"{hop.address} may be a next hop{where}: the node is Ready and not excluded"


def _not_eligible(state: ClusterState, node: NodeObserved, family: Family) -> tuple[str, str]:
    drain = state.ledger.maintenance.nodes.get(node.name)
    if node.excluded:
        label = "node.kubernetes.io/exclude-from-external-load-balancers"
        return Reason.NODE_EXCLUDED, f"{node.name} is no next hop: it has the label {label}; take it off"
    if not node.ready:
        return Reason.NODE_NOT_READY, f"{node.name} is no next hop: it is not Ready; see its kubelet"
    if drain is not None and drain.elapsed and drain.force:
        message = f"{node.name} is no next hop: it is drained by force; `porter uncordon node {node.name}` ends that"
        return Reason.DRAINED, message
    if first_address(node, family) is None:
        message = f"{node.name} is no next hop of {family}: it has no InternalIP of the family"
        return Reason.NODE_WITHOUT_ADDRESS, message
    return Reason.NODE_WITHOUT_ADDRESS, f"{node.name} is no next hop yet: it waits for its path identifier"


# ------------------------------------------------------------------------------------------------------- of a Service


def _services(state: ClusterState, node: NodeObserved) -> tuple[list[Json], Counter[tuple[bool, str, str]]]:
    """What it is to each address in use: by name, at most `SERVICES_MAX`, and all counted by rule."""
    counted: Counter[tuple[bool, str, str]] = Counter()
    judged = []
    # Most routes share their next hops: each tuple is searched once, by its identity.
    searched: dict[int, bool] = {}
    for service, one in _holdings(state):
        found = _judge(state, node, service, one, searched)
        counted[found.is_hop, found.rule, found.reason] += 1
        judged.append((one.service, one, found))
    judged.sort(key=lambda each: each[0])
    return [_service(name, one, found) for name, one, found in judged[:SERVICES_MAX]], counted


def _service(name: str, one: Allocation, found: Judged) -> Json:
    position, since_ms = found.stamp
    return {
        "service": name,
        "address": one.address,
        "nextHop": found.is_hop,
        "rule": found.rule,
        "reason": found.reason,
        "since": time_json(since_ms),
        "cause": position,
    }


def _holdings(state: ClusterState) -> Iterator[tuple[ServiceObserved, Allocation]]:
    for holders in state.pools.by_address.values():
        for one in holders:
            service = state.inventory.services.get(one.uid)
            if service is not None:
                yield service, one


def _judge(
    state: ClusterState, node: NodeObserved, service: ServiceObserved, one: Allocation, searched: dict[int, bool]
) -> Judged:
    """The rules of `porter.policy.next_hops`, asked of one node; the route itself says what came of them."""
    family, key = family_of(one.address), one.service
    route = state.loc_rib.routes.get(host_prefix(one.address))
    is_hop = False
    if route is not None:
        known = searched.get(id(route.next_hops))
        is_hop = any(hop.node == node.name for hop in route.next_hops) if known is None else known
        searched[id(route.next_hops)] = is_hop
    endpoints = state.inventory.endpoints.get(key)
    serving = serving_nodes(endpoints, family)
    of_service = max((one.position, one.since_ms), state.loc_rib.service_stamps.get(key, NEVER))
    of_node = _node_stamp(state, node.name, family)
    if is_hop:
        rule = _rule(service, serving, node.name, endpoints, family)
        return Judged(True, rule, "", max(of_service, of_node))
    reason = _refusal(state, node, service, serving, family)
    return Judged(False, "", reason, of_service if reason in OF_SERVICE else of_node)


def _rule(service: ServiceObserved, serving: tuple[str, ...], name: str, endpoints: object, family: Family) -> str:
    if not serving:
        return HELD_RULE
    if service.traffic_policy != LOCAL:
        return CLUSTER_RULE
    if name in nodes_of(getattr(endpoints, "ready", ()), family):
        return READY_RULE
    return TERMINATING_RULE if name in serving else HELD_RULE


def _refusal(
    state: ClusterState, node: NodeObserved, service: ServiceObserved, serving: tuple[str, ...], family: Family
) -> str:
    drain = state.ledger.maintenance.services.get(service.uid)
    if drain is not None and drain.elapsed:
        return Reason.DRAINED
    if not serving:
        return Reason.NO_READY_ENDPOINT
    if service.traffic_policy == LOCAL and node.name not in serving:
        return Reason.NO_ENDPOINT_ON_NODE
    if node.name in state.loc_rib.eligible[family]:
        # It may be one, and is none: only a drain that is over does that.
        return Reason.DRAINED
    return _not_eligible(state, node, family)[0]
