"""The statuses of BgpPeers and of the BgpConf: each speaker's session, and what the settings came to."""

from __future__ import annotations

from porter.events.observed import ConfObserved, PeerObserved
from porter.model.bgp import DEFAULT_BGP_PORT, node_of
from porter.model.reasons import Problem, Reason
from porter.policy.problems import disqualifying
from porter.policy.racks import local_as, rack_of_node
from porter.policy.transport import DO_NOT_LISTEN
from porter.projections.adj_rib_out import agent_router_id, peer_problems, refused, sessions_of
from porter.projections.cluster import ClusterState
from porter.projections.sessions import PeerSession, Sessions
from porter.projections.status.conditions import MAX_NAMED, Tree, accepted_condition, condition, listed, sentence


def peer_status(state: ClusterState, sessions: Sessions, name: str) -> Tree:
    """A BgpPeer's status, by speaker; empty for a peer that is not there."""
    peer = state.inventory.peers.get(name)
    if peer is None:
        return {}
    told = list(sessions_of(state, sessions, name))
    return {
        "nodesPeerStatus": {
            titled(speaker): _peer_of_speaker(state, peer, speaker, session) for speaker, session in told
        },
        "observedGeneration": peer.generation,
        "conditions": _peer_conditions(state, peer, told),
    }


def titled(speaker: str) -> str:
    """The key of a speaker in a status: of an agent its node, as OpenELB has it."""
    return node_of(speaker) or speaker


def _peer_of_speaker(state: ClusterState, peer: PeerObserved, speaker: str, session: PeerSession) -> Tree:
    conf, node = state.inventory.confs.get("default"), state.inventory.nodes.get(node_of(speaker))
    return {
        "peerState": {
            "neighborAddress": peer.address,
            "peerAs": peer.peer_as,
            "localAs": peer.local_as if conf is None else local_as(peer, conf, node),
            "description": peer.description,
            "sessionState": session.state.upper(),
            "adminState": "DOWN" if peer.admin_down else "UP",
            "flops": session.flaps,
        },
        "timersState": {"negotiatedHoldTime": str(session.hold_time_s)},
        "prefixesAnnounced": session.routes,
        "flaps": session.flaps,
        "lastError": session.last_error,
        "synced": session.synced,
    }


def _peer_conditions(state: ClusterState, peer: PeerObserved, told: list[tuple[str, PeerSession]]) -> list[Tree]:
    generation = peer.generation
    rejected = next((session for _, session in told if session.rejected), None)
    problem = refused(state, peer.name)
    if problem is None and rejected is not None:
        problem = Problem(Reason.FIELD_UNSUPPORTED, rejected.rejected_field, rejected.rejected)
    problems = (*peer.problems, *peer_problems(state, peer.name))
    accepted = accepted_condition(problem, problems, generation, "every field is honoured")
    return [accepted, _peer_ready(problem, told, generation), *_add_path(peer, told, generation)]


def _peer_ready(problem: Problem | None, told: list[tuple[str, PeerSession]], generation: int) -> Tree:
    up = [speaker for speaker, session in told if session.established]
    down = [(speaker, session) for speaker, session in told if not session.established]
    if problem is not None and not up:
        return condition("Ready", False, problem.reason, sentence(problem), generation)
    if not told:
        message = "no speaker has told of this peer yet; see that a speaker runs and follows the journal"
        return condition("Ready", False, Reason.SESSION_DOWN, message, generation)
    if down:
        speaker, session = down[0]
        why = session.last_error or session.reason or "no reason was given"
        message = f"the session of speaker {speaker} is {session.state}: {why}; look at the router's side of it"
        return condition("Ready", False, Reason.SESSION_DOWN, message, generation)
    return condition("Ready", True, "Established", f"every session is up: {', '.join(up[:MAX_NAMED])}", generation)


def _add_path(peer: PeerObserved, told: list[tuple[str, PeerSession]], generation: int) -> list[Tree]:
    established = [(speaker, session) for speaker, session in told if session.established]
    if not established:
        return []
    without = sorted(
        {family for _, session in established for family in session.families if family not in session.add_path}
    )
    if not without:
        message = "every next hop is announced; each has its own path identifier"
        return [condition(Reason.NO_ADD_PATH, False, "AddPath", message, generation)]
    message = (
        f"the router at {peer.address} did not agree to receive additional paths for {' and '.join(without)}, "
        "so that each speaker announces one next hop; enable ADD-PATH (RFC 7911) there"
    )
    return [condition(Reason.NO_ADD_PATH, True, Reason.NO_ADD_PATH, message, generation)]


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
    conditions = [accepted, ready, _held_nodes(state, conf.generation)]
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


def _held_nodes(state: ClusterState, generation: int) -> Tree:
    """Whether fail static keeps nodes that are not Ready as next hops."""
    held = sorted(state.inventory.readiness.held)
    if not held:
        return condition("Degraded", False, "AsExpected", "only Ready nodes are next hops", generation)
    message = (
        f"most nodes turned NotReady at once, and these are kept as next hops: {listed(held)}; "
        "see whether their kubelets reach the API server, or delete the nodes that are dead"
    )
    return condition("Degraded", True, Reason.HELD, message, generation)
