"""Answers about sessions and routes, as pure functions of the folds: the HTTP API and the commands share them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import NamedTuple

from porter.app.answer_json import Json, as_json, time_json
from porter.app.history.reading import BadQuestion
from porter.app.read_model import ReadModel
from porter.events.observed import PeerObserved
from porter.kube.facts.gobgp_config import MAP_NAME
from porter.model.address import FAMILIES, InvalidAddress, Prefix, is_aggregate, parse_prefix
from porter.model.bgp import Negotiated, PathAttributes, RouteKey
from porter.projections.adj_rib_out import (
    adj_rib_out,
    concerned,
    peer_problems,
    refused,
    serves,
    sessions_of,
    source_of,
)
from porter.projections.cluster import ClusterState
from porter.projections.sessions import PeerSession
from porter.projections.status import bfd_gap

DESIRED, SENT, CONFIRMED = "desired", "sent", "confirmed"
"""What became of a route: its session is down; it was handed to the session; the session wrote it."""

NO_SESSION = PeerSession()

Routes = Mapping[RouteKey, PathAttributes]


class Sent(NamedTuple):
    """One route of one Adj-RIB-Out, and what became of it."""

    speaker: str
    peer: str
    key: RouteKey
    attributes: PathAttributes
    became: str


class RouteFilter(NamedTuple):
    """Which routes: of one peer, of one speaker, inside of a prefix; "" wants all."""

    peer: str = ""
    speaker: str = ""
    prefix: Prefix = Prefix("")

    @staticmethod
    def from_query(query: Mapping[str, str]) -> RouteFilter:
        """Read `peer`, `speaker` and `prefix` (an address is its host prefix).

        Raises:
            BadQuestion: the prefix is none.
        """
        text = query.get("prefix", "")
        try:
            prefix = parse_prefix(text) if text else Prefix("")
        except InvalidAddress as error:
            raise BadQuestion(f"prefix={text}: {error}") from error
        return RouteFilter(query.get("peer", ""), query.get("speaker", ""), prefix)

    def holds(self, prefix: Prefix) -> bool:
        """Whether a prefix lies inside of the wanted one."""
        if not self.prefix:
            return True
        wanted, network = ip_network(self.prefix), ip_network(prefix)
        return wanted.version == network.version and (
            wanted.network_address <= network.network_address and network.broadcast_address <= wanted.broadcast_address  # type: ignore[operator]
        )


EVERY_ROUTE = RouteFilter()


def routes(model: ReadModel, wanted: RouteFilter = EVERY_ROUTE) -> Json:
    """Every wanted route, by speaker, peer, prefix and path identifier; and what is asked for and not known."""
    found = [_route(model, sent) for sent in _adj_ribs_out(model, wanted)]
    return {"position": model.state.ledger.position, "routes": found, "problems": _unknown(model, wanted)}


def known_speakers(model: ReadModel) -> frozenset[str]:
    """Every speaker that there is word of: by its own stream, by a drain, or by a head that a leader witnessed."""
    ledger = model.state.ledger
    return frozenset(model.sessions.speakers) | frozenset(ledger.maintenance.speakers) | frozenset(ledger.witnessed)


def not_known(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that nobody has."""
    return f"no {kind} {name!r} is known; known: {', '.join(sorted(known)) or 'none yet'}"


def _unknown(model: ReadModel, wanted: RouteFilter) -> list[str]:
    asked = (
        ("BgpPeer", wanted.peer, frozenset(model.state.inventory.peers)),
        ("speaker", wanted.speaker, known_speakers(model)),
    )
    return [not_known(kind, name, known) for kind, name, known in asked if name and name not in known]


def route_counts(model: ReadModel) -> Json:
    """How many routes there are in each state."""
    counts = dict.fromkeys((DESIRED, SENT, CONFIRMED), 0)
    for _, peer, session, rib in _ribs(model, EVERY_ROUTE):
        if not session.established:
            counts[DESIRED] += len(rib)
            continue
        for key, attributes in rib.items():
            counts[_became(model, peer, session, key, attributes)] += 1
    return {"total": sum(counts.values()), **counts}


def peers(model: ReadModel) -> Json:
    """Every peer with its sessions."""
    return {"position": model.state.ledger.position, "peers": peer_answers(model)}


def peer_answers(model: ReadModel) -> list[Json]:
    """One entry for each BgpPeer, by name."""
    return [_peer(model, peer) for _, peer in sorted(model.state.inventory.peers.items())]


def peer_answer(model: ReadModel, name: str) -> Json:
    """The entry for one BgpPeer that is there."""
    return _peer(model, model.state.inventory.peers[name])


def map_problems(state: ClusterState) -> list[str]:
    """What of the ConfigMap `bgp-cfg` is not honoured, each as a sentence: no object's status could tell it."""
    inventory = state.inventory
    told = [fact.problems for fact in inventory.confs.values()]
    told += [peer.problems for _, peer in sorted(inventory.peers.items())]
    found = (problem for problems in told for problem in problems if problem.field.startswith(f"{MAP_NAME}["))
    return [f"ConfigMap/{MAP_NAME}: {problem.message}" for problem in found]


def session_problems(model: ReadModel) -> list[str]:
    """Every session that is wanted and not up, and every peer that cannot be used, each as a sentence."""
    problems = []
    for name, peer in sorted(model.state.inventory.peers.items()):
        problem = refused(model.state, name)
        if problem is not None:
            if not peer.admin_down:
                problems.append(f"BgpPeer {name}: {problem.message}")
            continue
        sessions = list(sessions_of(model.state, model.sessions, name))
        if not sessions:
            problems.append(f"BgpPeer {name} has no session: no speaker told of one")
        for speaker, session in sessions:
            if session.rejected:
                problems.append(f"BgpPeer {name} at speaker {speaker}: {session.rejected_field}: {session.rejected}")
            elif not session.established:
                reason = session.reason or session.last_error or "no reason was told"
                problems.append(f"the session of speaker {speaker} with {name} is {session.state}: {reason}")
    return problems


def bfd_problems(model: ReadModel) -> list[str]:
    """Every peer that asks for BFD and whose session is up without it, each as a sentence."""
    problems = []
    for name, peer in sorted(model.state.inventory.peers.items()):
        up = [one for one in sessions_of(model.state, model.sessions, name) if one[1].established]
        gap = bfd_gap(peer, model.sessions, up)
        if gap is not None:
            problems.append(f"BgpPeer {name}: {gap.message}")
    return problems


def readiness(parts: Mapping[str, str], model: ReadModel, *, all_sessions: bool) -> Json:
    """Whether every part is ok, and with `all_sessions` also every session that there is to be."""
    ready = all(state == "ok" or state.startswith("ok,") for state in parts.values())
    if all_sessions:
        ready = ready and not session_problems(model)
    return {"ready": ready, "parts": dict(parts), "peers": peer_answers(model)}


def _peer(model: ReadModel, peer: PeerObserved) -> Json:
    problem = refused(model.state, peer.name)
    return {
        "peer": peer.name,
        "address": peer.address,
        "peerAs": peer.peer_as,
        "wanted": problem is None,
        "refused": "" if problem is None else problem.message,
        "sessions": [
            _session(speaker, session) for speaker, session in sessions_of(model.state, model.sessions, peer.name)
        ],
        "position": model.state.inventory.position_of_object("Peer", peer.name),
        "problems": as_json((*peer.problems, *peer_problems(model.state, peer.name))),
    }


def _session(speaker: str, session: PeerSession) -> Json:
    return {
        "speaker": speaker,
        "state": session.state,
        "reason": session.rejected or session.reason,
        "since": time_json(session.since_ms),
        "families": list(session.families),
        "addPath": list(session.add_path),
        "holdTimeS": session.hold_time_s,
        "synced": session.synced,
        "flaps": session.flaps,
        "confirmed": session.routes,
        "bfd": session.bfd,
    }


def _adj_ribs_out(model: ReadModel, wanted: RouteFilter) -> Iterator[Sent]:
    """The routes of each session that there is to be, with what became of each."""
    for speaker, peer, session, rib in _ribs(model, wanted):
        for key in sorted(rib):
            yield Sent(speaker, peer, key, rib[key], _became(model, peer, session, key, rib[key]))


def _ribs(model: ReadModel, wanted: RouteFilter) -> Iterator[tuple[str, str, PeerSession, Routes]]:
    """The Adj-RIB-Out of each session that there is to be: speaker, peer, session, routes."""
    state = model.state
    if wanted.prefix and not is_aggregate(wanted.prefix):
        # Nothing but itself lies inside of a host prefix.
        prefixes = frozenset({wanted.prefix} if state.loc_rib.find(wanted.prefix) is not None else ())
    else:
        prefixes = frozenset(filter(wanted.holds, state.loc_rib.routes))
    for speaker, told in sorted(model.sessions.speakers.items()):
        if wanted.speaker not in ("", speaker):
            continue
        for name, peer in sorted(state.inventory.peers.items()):
            if wanted.peer not in ("", name) or refused(state, name) is not None:
                continue
            if not serves(state, name, speaker):
                continue
            session = told.peers.get(name, NO_SESSION)
            touched = concerned(state, name, prefixes)
            yield speaker, name, session, adj_rib_out(state, name, speaker, negotiated_of(session, peer), touched)


def negotiated_of(session: PeerSession, peer: PeerObserved) -> Negotiated:
    """What the session negotiated last; before the first time, what the peer's settings ask for."""
    families = frozenset(family for family in FAMILIES if family in (session.families or peer.families))
    add_path = frozenset(family for family in families if not session.families or family in session.add_path)
    extended = session.extended_next_hop if session.families else peer.extended_next_hop
    return Negotiated(families, add_path, session.hold_time_s, extended)


def _became(model: ReadModel, peer: str, session: PeerSession, key: RouteKey, attributes: PathAttributes) -> str:
    if not session.established:
        return DESIRED
    told = session.confirmed.get(key)
    if told is not None:
        return CONFIRMED if told.next_hop == attributes.next_hop else SENT
    # A SYNC confirms all routes up to its position by one event, without naming them.
    route = source_of(model.state, peer, key.prefix)
    return CONFIRMED if session.synced and route is not None and route.position <= session.position else SENT


def _route(model: ReadModel, sent: Sent) -> Json:
    route = source_of(model.state, sent.peer, sent.key.prefix)
    assert route is not None, "every route of an Adj-RIB-Out stands for one of the Loc-RIB"
    attributes = as_json(sent.attributes)
    return {
        "prefix": sent.key.prefix,
        "nextHop": attributes.pop("nextHop"),
        "pathId": sent.key.path_id,
        "peer": sent.peer,
        "speaker": sent.speaker,
        "attributes": attributes,
        "state": sent.became,
        "since": time_json(route.since_ms),
        "cause": route.position,
    }
