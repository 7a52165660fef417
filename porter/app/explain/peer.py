"""Why a peer is up or down, and what it gets: its sessions, the advertisements about it, and what it is not given."""

from __future__ import annotations

from collections import Counter

from porter.app.answer_json import Json, time_json
from porter.app.answers.routes import known_speakers, negotiated_of, not_known, peer_answer
from porter.app.explain.counts import Paths, paths_of, shapes_of
from porter.app.explain.question import KNOWN_SHOWN, Unknown
from porter.app.explain.sessions import number_of, place_json, standing_of
from porter.app.explain.verdicts import changed
from porter.app.read_model import ReadModel
from porter.events.observed import PeerObserved
from porter.model.bgp import IN_SERVICE, LEAVING, node_of
from porter.model.reasons import Reason
from porter.policy.advertisements import about_peer
from porter.policy.problems import disqualifying
from porter.policy.topology import selects, topology_of
from porter.projections.adj_rib_out import announced_by_bgp, refused, sessions_of
from porter.projections.cluster import ClusterState
from porter.projections.inventory import DEFAULT_CONF
from porter.projections.sessions import ESTABLISHED, PeerSession
from porter.projections.status import bfd_gap

UP, PARTLY, DOWN, REFUSED, NO_SPEAKER = "up", "partly", "down", "refused", "noSpeaker"
WITHHELD_MAX = 100
"""Most prefixes that are named as not given; all are counted."""


def tell_peer(model: ReadModel, name: str) -> Json:
    """The explanation of a peer; `causes` are positions yet.

    Raises:
        Unknown: no BgpPeer has this name.
    """
    state = model.state
    fact = state.inventory.peers.get(name)
    if fact is None:
        raise Unknown(not_known("BgpPeer", name, sorted(state.inventory.peers)[:KNOWN_SHOWN]))
    conf = state.inventory.good_conf(DEFAULT_CONF)
    shapes = shapes_of(model, name)
    told = {
        speaker: (session, paths_of(model, name, speaker, negotiated_of(session, fact), shapes))
        for speaker, session in sessions_of(state, model.sessions, name)
    }
    sessions = [_session(model, name, speaker, session, paths.paths) for speaker, (session, paths) in told.items()]
    had = frozenset[int]().union(*(paths.shapes for _, paths in told.values()))
    prefixes = sum(shapes[index].prefixes for index in had)
    total = sum(paths.paths for _, paths in told.values())
    withheld = _withheld(model, name)
    kind, message = _standing(model, name, sessions)
    up = [one for one in sessions_of(state, model.sessions, name) if one[1].established]
    gap = bfd_gap(fact, model.sessions, up)
    unwatched = [gap.message] if gap is not None else []
    return {
        "peer": peer_answer(model, name),
        "state": kind,
        "message": message,
        "resourceVersion": fact.resource_version,
        "topology": topology_of(fact, conf),
        "families": list(fact.families),
        "maxNextHops": fact.max_next_hops,
        "sessions": sessions,
        "prefixes": prefixes,
        "paths": total,
        "nextHops": _next_hops([paths for _, paths in told.values()]),
        "advertisements": _advertisements(model, fact),
        "withheld": withheld[:WITHHELD_MAX],
        "withheldCount": len(withheld),
        "selectedNodes": sorted(node.name for node in state.inventory.nodes.values() if selects(fact, node)),
        "causes": changed(model, ("Peer", name), *([("Conf", DEFAULT_CONF)] if kind == REFUSED else [])),
        "summary": [
            f"{message}.",
            *(f"{one['message']}." for one in sessions if one["state"] == ESTABLISHED),
            f"{name} is to have {number_of(prefixes, 'prefix', 'prefixes')} by {number_of(total, 'path')}.",
            *_withheld_sentence(withheld),
            *(f"BFD: {one}." for one in unwatched),
        ],
        "wrong": [*([message] if kind != UP and not fact.admin_down else []), *unwatched],
    }


def _session(model: ReadModel, peer: str, speaker: str, session: PeerSession, paths: int) -> Json:
    standing = model.state.ledger.maintenance.speaker_standing(speaker)
    return {
        "speaker": speaker,
        "node": node_of(speaker),
        "state": session.state,
        "since": time_json(session.since_ms),
        "cause": place_json(speaker, session),
        "reason": session.rejected or session.reason,
        "lastError": session.last_error,
        "flaps": session.flaps,
        "drained": standing != IN_SERVICE,
        "leaving": standing == LEAVING,
        "families": list(session.families),
        "addPath": list(session.add_path),
        "holdTimeS": session.hold_time_s,
        "synced": session.synced,
        "paths": paths,
        "confirmed": min(paths, session.routes) if session.established else 0,
        "message": _session_sentence(peer, speaker, session) + _drain_clause(model.state, speaker),
    }


def _session_sentence(peer: str, speaker: str, session: PeerSession) -> str:
    if not session.established:
        return standing_of(speaker, session)
    without = sorted(set(session.families) - set(session.add_path))
    one = f", and takes one path of each {' and '.join(without)} prefix: ADD-PATH was not negotiated" if without else ""
    flaps = f"; it went down {number_of(session.flaps, 'time')} before" if session.flaps else ""
    return f"{speaker} is Established with {peer} since {time_json(session.since_ms)}{one}{flaps}"


def _drain_clause(state: ClusterState, speaker: str) -> str:
    drain = state.ledger.maintenance.speakers.get(speaker)
    if drain is None:
        return ""
    step = (
        "announces nothing"
        if drain.elapsed
        else f"leaves service: its paths carry GRACEFUL_SHUTDOWN until {time_json(drain.until_ms)}, and then go"
    )
    return f"; {drain.by} drained it (#{drain.position}), and it {step}; `porter uncordon speaker {speaker}` ends that"


def _standing(model: ReadModel, name: str, sessions: list[Json]) -> tuple[str, str]:
    problem = refused(model.state, name)
    if problem is not None:
        return REFUSED, f"BgpPeer {name} has no session: {problem.message}"
    if not sessions:
        speakers = ", ".join(sorted(known_speakers(model)))
        seen = f"the speakers that are known are {speakers}" if speakers else "no speaker is known; see that one runs"
        return NO_SPEAKER, f"BgpPeer {name} has no session: no speaker of its topology told of one; {seen}"
    up = sum(1 for one in sessions if one["state"] == ESTABLISHED)
    down = "; ".join(one["message"] for one in sessions if one["state"] != ESTABLISHED)
    if up == len(sessions):
        return UP, f"BgpPeer {name} is up: {up} of {len(sessions)} sessions are Established"
    return (PARTLY if up else DOWN), f"{up} of {len(sessions)} sessions with BgpPeer {name} are Established; {down}"


def _withheld_sentence(withheld: list[Json]) -> list[str]:
    if not withheld:
        return []
    counted = Counter(one["reason"] for one in withheld)
    reasons = ", ".join(f"{count} by {reason}" for reason, count in sorted(counted.items()))
    return [f"Not given to it: {number_of(len(withheld), 'announced address', 'announced addresses')}, {reasons}."]


def _next_hops(told: list[Paths]) -> list[Json]:
    counted = sum((paths.next_hops for paths in told), Counter[str]())
    return [{"nextHop": address, "paths": count} for address, count in sorted(counted.items())]


def _advertisements(model: ReadModel, fact: PeerObserved) -> list[Json]:
    """Every advertisement, and whether it is about the peer."""
    counting = {one.name for one in model.state.exports.advertisements}
    good = {one.name: one for one in model.state.exports.advertisements}
    told = []
    for name, one in sorted(model.state.inventory.advertisements.items()):
        about = name in counting and about_peer(good[name], fact)
        problem = disqualifying(one.problems)
        said = "is about this peer" if about else "is about other peers (spec.peers, spec.peerSelector)"
        if problem is not None:
            counts = "counts as it was before" if name in counting else "does not count"
            said = f"is malformed and {counts}: {problem.message}"
        position = model.state.inventory.position_of_object("Advertisement", name)
        told.append({"advertisement": name, "about": about, "message": said, "position": position})
    return told


def _withheld(model: ReadModel, name: str) -> list[Json]:
    """The routes that the peer is not given by rule, whatever its sessions are like."""
    state = model.state
    policy, fact = state.exports.policy(name), state.inventory.good_peer(name)
    if policy is None or fact is None or policy.plain:
        return []
    found = []
    for prefix in sorted(state.loc_rib.routes):
        if not announced_by_bgp(state, prefix):
            continue
        given = state.exports.reached(policy, prefix)
        if given is None:
            found.append({"prefix": prefix, "reason": Reason.NOT_ADVERTISED})
        elif not given.next_hops:
            found.append({"prefix": prefix, "reason": Reason.NODE_NOT_SELECTED})
    return found
