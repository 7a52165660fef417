"""The status of a BgpPeer: each speaker's session with it, and what its settings came to."""

from __future__ import annotations

import datetime as dt

from porter.events.observed import PeerObserved
from porter.model.address import IPV4
from porter.model.bgp import BFD_DOWN, BFD_UP, node_of
from porter.model.reasons import Problem, Reason
from porter.policy.next_hops import first_address
from porter.policy.racks import local_as
from porter.projections.adj_rib_out import peer_problems, refused, sessions_of
from porter.projections.cluster import ClusterState
from porter.projections.sessions import PeerSession, Sessions
from porter.projections.status.conditions import (
    MAX_NAMED,
    Tree,
    accepted_condition,
    condition,
    listed,
    sentence,
    titled,
)


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
        "conditions": [*_peer_conditions(state, peer, told), *_bfd(peer, sessions, told)],
    }


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
        "timersState": _timers(peer, session),
        "prefixesAnnounced": session.routes,
        "flaps": session.flaps,
        "lastError": session.last_error,
        "synced": session.synced,
        **({"bfdState": session.bfd} if peer.bfd_receive_ms else {}),
    }


def _timers(peer: PeerObserved, session: PeerSession) -> Tree:
    """The timers as far as they are known. The engines send a keepalive each third of the hold time (RFC 4271, 10)."""
    hold_time_s = session.hold_time_s if session.established else peer.hold_time_s
    timers = {"holdTime": str(peer.hold_time_s), "keepaliveInterval": str(hold_time_s // 3)}
    if session.established:
        timers["negotiatedHoldTime"] = str(hold_time_s)
    if session.since_ms:
        since = dt.datetime.fromtimestamp(session.since_ms // 1000, dt.UTC)
        timers["uptime" if session.established else "downtime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    return timers


def _peer_conditions(state: ClusterState, peer: PeerObserved, told: list[tuple[str, PeerSession]]) -> list[Tree]:
    generation = peer.generation
    rejected = next((session for _, session in told if session.rejected), None)
    problem = refused(state, peer.name)
    if problem is None and rejected is not None:
        problem = Problem(Reason.FIELD_UNSUPPORTED, rejected.rejected_field, rejected.rejected)
    of_engines = dict.fromkeys(one for _, session in told for one in session.unsupported)
    problems = (*peer.problems, *peer_problems(state, peer.name), *of_engines)
    accepted = accepted_condition(problem, problems, generation, "every field is honoured")
    ready = _peer_ready(peer, problem, told)
    return [
        accepted,
        ready,
        *_add_path(peer, told, generation),
        *_extended_next_hop(state, peer, told),
        *_flood(peer, told),
    ]


def _peer_ready(peer: PeerObserved, problem: Problem | None, told: list[tuple[str, PeerSession]]) -> Tree:
    generation = peer.generation
    up = [speaker for speaker, session in told if session.established]
    down = [(speaker, session) for speaker, session in told if not session.established]
    if problem is not None and not up:
        return condition("Ready", False, problem.reason, sentence(problem), generation)
    if not told:
        message = "no speaker has told of this peer yet; see that a speaker runs and follows the journal"
        return condition("Ready", False, Reason.SESSION_DOWN, message, generation)
    if down:
        speaker, session = down[0]
        why = session.reason or session.last_error or f"the router at {peer.address} has not answered yet"
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


def _extended_next_hop(state: ClusterState, peer: PeerObserved, told: list[tuple[str, PeerSession]]) -> list[Tree]:
    """Whether IPv4 routes have IPv6 next hops there, of a peer that is to have them."""
    reason, generation = Reason.NO_EXTENDED_NEXT_HOP, peer.generation
    established = [(speaker, session) for speaker, session in told if session.established]
    if not (peer.extended_next_hop and established):
        return []
    without = [speaker for speaker, session in established if not session.extended_next_hop]
    if not without:
        message = "IPv4 routes have the nodes' IPv6 addresses as next hops"
        return [condition(reason, False, "ExtendedNextHop", message, generation)]
    nodes = sorted(node.name for node in state.inventory.nodes.values() if first_address(node, IPV4) is None)
    left_out = f", and {listed(nodes)}, without an IPv4 address, left out" if nodes else ""
    message = (
        f"the router at {peer.address} did not agree to IPv6 next hops of IPv4 routes with {listed(without)}, so that "
        f"these have IPv4 next hops there{left_out}; enable extended next hops (RFC 8950) for IPv4 unicast there"
    )
    return [condition(reason, True, reason, message, generation)]


def bfd_gap(peer: PeerObserved, sessions: Sessions, told: list[tuple[str, PeerSession]]) -> Problem | None:
    """Why BFD does not watch each session with a peer that asks for it; None where it does, or nobody can say yet."""
    for speaker, session in told if peer.bfd_receive_ms else ():
        if session.bfd == BFD_DOWN:
            why = session.bfd_reason or "BFD has no answer"
            message = (
                f"the router at {peer.address} does not answer the BFD of speaker {speaker} ({why}); see that it runs "
                "BFD with this peer, and that nothing drops UDP port 3784 (multihop: 4784)"
            )
            return Problem(Reason.BFD_DOWN, "spec.bfd", message)
        if not session.bfd:
            left_out = next((problem.message for problem in session.unsupported if problem.field == "spec.bfd"), "")
            of_daemon = sessions.speakers[speaker].bfd_reason
            why = session.bfd_reason or of_daemon or left_out or "nothing was told of it yet"
            message = f"nothing watches the path from speaker {speaker} to the router: {why}"
            return Problem(Reason.BFD_UNAVAILABLE, "spec.bfd", message)
    return None


def _bfd(peer: PeerObserved, sessions: Sessions, told: list[tuple[str, PeerSession]]) -> list[Tree]:
    if not peer.bfd_receive_ms or not told:
        return []
    gap = bfd_gap(peer, sessions, told)
    if gap is not None:
        message = f"{gap.message}; a session that is up stands without BFD"
        return [condition("BfdUp", False, gap.reason, message, peer.generation)]
    return [condition("BfdUp", True, BFD_UP, "BFD watches the path of every session", peer.generation)]


def _flood(peer: PeerObserved, told: list[tuple[str, PeerSession]]) -> list[Tree]:
    """That the router announces much to us, of which nothing is taken."""
    sent = [(speaker, one.refused_updates) for speaker, one in told if one.established and one.refused_updates]
    if not sent:
        return []
    counted = ", ".join(f"{updates} UPDATEs to {speaker}" for speaker, updates in sent[:MAX_NAMED])
    message = (
        f"the router at {peer.address} announces routes to us ({counted}), none of which is taken; have it export "
        "nothing to Porter's speakers, by a filter on these sessions"
    )
    return [condition(Reason.IMPORTS_REFUSED, True, Reason.IMPORTS_REFUSED, message, peer.generation)]
