"""The status of the BgpConf: what its settings came to at each speaker."""

from __future__ import annotations

from porter.events.observed import ConfObserved
from porter.model.bgp import DEFAULT_BGP_PORT, node_of
from porter.model.reasons import Problem, Reason
from porter.policy.problems import disqualifying
from porter.policy.racks import rack_of_node
from porter.policy.transport import DO_NOT_LISTEN
from porter.projections.adj_rib_out import agent_router_id
from porter.projections.cluster import ClusterState
from porter.projections.maintenance import routes_on_last_resort
from porter.projections.sentences import would_have
from porter.projections.sessions import Sessions
from porter.projections.status.conditions import (
    MAX_NAMED,
    Tree,
    accepted_condition,
    condition,
    listed,
    sentence,
    titled,
)


def conf_status(state: ClusterState, sessions: Sessions, name: str) -> Tree:
    """A BgpConf's status, by speaker; empty for one that is not there."""
    conf = state.inventory.confs.get(name)
    if conf is None:
        return {}
    problem = disqualifying(conf.problems)
    problems = (*conf.problems, *conf_problems(state, sessions, conf))
    accepted = accepted_condition(problem, problems, conf.generation, "every field is honoured")
    ready = condition("Ready", True, "Used", "speakers use these settings", conf.generation)
    if problem is not None:
        ready = condition("Ready", False, problem.reason, sentence(problem), conf.generation)
    nodes = {titled(speaker): _conf_of_speaker(state, sessions, conf, speaker) for speaker in sorted(sessions.speakers)}
    conditions = [accepted, ready, _degraded(state, conf.generation)]
    return {"nodesConfStatus": nodes, "observedGeneration": conf.generation, "conditions": conditions}


def _conf_of_speaker(state: ClusterState, sessions: Sessions, conf: ConfObserved, speaker: str) -> Tree:
    own = sessions.speakers[speaker].local_address
    node = state.inventory.nodes.get(node_of(speaker))
    if not node_of(speaker):
        return {"routerId": conf.router_id or own, "as": conf.as_number}
    rack = "" if node is None else rack_of_node(node.labels)
    router_id = own if node is None else agent_router_id(state, node, own)
    return {"routerId": router_id, "as": dict(conf.as_per_rack).get(rack, conf.as_number)}


def conf_problems(state: ClusterState, sessions: Sessions, conf: ConfObserved) -> tuple[Problem, ...]:
    """What the BgpConf says that does not hold for all the speakers there are."""
    found = []
    up = [
        name for name, one in sorted(sessions.speakers.items()) if any(each.established for each in one.peers.values())
    ]
    agents = [name for name in up if node_of(name)]
    central = [name for name in up if not node_of(name)]
    if conf.router_id and agents:
        message = (
            f"spec.routerId holds for a single speaker: {conf.router_id} is not used by the agents, each of which "
            "takes its node's IPv4 address; leave it out"
        )
        found.append(Problem(Reason.FIELD_UNSUPPORTED, "spec.routerId", message))
    if conf.router_id and len(central) > 1:
        message = (
            f"spec.routerId holds for a single speaker, but {listed(central)} all use {conf.router_id}, and a router "
            "may take them for one; leave it out, and each takes its own address"
        )
        found.append(Problem(Reason.FIELD_UNSUPPORTED, "spec.routerId", message))
    peers = state.inventory.peers.values()
    if conf.listen_port not in (DEFAULT_BGP_PORT, DO_NOT_LISTEN) and not any(peer.passive for peer in peers):
        message = (
            "spec.listenPort has no effect while no BgpPeer has transport.passiveMode: Porter connects to all of "
            "them; set that, or leave the port out"
        )
        found.append(Problem(Reason.FIELD_UNSUPPORTED, "spec.listenPort", message))
    return tuple(found)


def _degraded(state: ClusterState, generation: int) -> Tree:
    """Whether next hops stay that the facts alone would take away: by fail static, by holds, or as the last ones."""
    told = []
    if held := sorted(state.inventory.readiness.held):
        told.append(
            f"most nodes turned NotReady at once, and these are kept as next hops: {listed(held)}; "
            "see whether their kubelets reach the API server, or delete the nodes that are dead"
        )
    for number, hold in sorted(state.ledger.holds.open.items()):
        told.append(
            f"hold {number} keeps routes, because {hold.lost} of {hold.total} prefixes {would_have(hold.cause)} "
            f"({hold.cause}); find out why, or let it happen by `porter approve {number}`"
        )
    reason = Reason.HELD if told else Reason.DRAINED
    last = routes_on_last_resort(state.ledger.maintenance, state.loc_rib.routes)
    for node, routes in sorted(last.items()):
        told.append(f"node {node} is drained but still the last next hop of {routes} routes, which stay")
    if not told:
        return condition("Degraded", False, "AsExpected", "only Ready nodes are next hops", generation)
    return condition("Degraded", True, reason, "; ".join(told[:MAX_NAMED]), generation)
