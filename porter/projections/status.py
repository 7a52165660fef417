"""What the objects' statuses should say: plain trees of JSON values.

A condition carries no time of its last transition: whoever writes it knows what stood there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from porter.events.observed import PeerObserved
from porter.model.address import FAMILIES, IPV4, address_from_number, family_of
from porter.model.reasons import Problem, Reason
from porter.policy.pool_choice import Pool
from porter.policy.problems import disqualifying
from porter.projections.adj_rib_out import refused
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation
from porter.projections.sessions import PeerSession, Sessions

POOL_LABEL = "eip.openelb.kubesphere.io/v1alpha2"
DECISION_ANNOTATION = "porter.io/decision"
DECISION_HASH_DIGITS = 12
MAX_INT64 = (1 << 63) - 1
MAX_NAMED = 8
"""Most objects that a condition's message names."""
MAX_LABEL_CHARACTERS = 63

Tree = dict[str, Any]


def condition(kind: str, status: bool, reason: str, message: str, generation: int) -> Tree:
    """One entry of `conditions`, without `lastTransitionTime`."""
    return {
        "type": kind,
        "status": "True" if status else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


# ------------------------------------------------------------------------------------------------------------ Services


def service_status(state: ClusterState, uid: str) -> Tree:
    """A Service's status: its ingress addresses, IPv4 first. One that holds nothing has an empty one.

    A Service that waits for an address of ours keeps what another controller gave it, as long as that is nobody else's.
    """
    addresses = [one.address for one in state.pools.of(uid)]
    service = state.inventory.services.get(uid)
    if service is None:
        addresses = []
    elif not addresses:
        addresses = [address for address in service.held if address not in state.pools.by_address]
    addresses.sort(key=lambda address: (family_of(address) != IPV4, address))
    ingress = [{"ip": address, "ipMode": "VIP"} for address in addresses]
    return {"loadBalancer": {"ingress": ingress} if ingress else {}}


def service_labels(state: ClusterState, uid: str) -> Mapping[str, str | None]:
    """The label that OpenELB kept, with the pool's name; None takes it off."""
    pools = {state.pools.pool_of(one): None for one in _held(state, uid)}
    name = next((pool for pool in pools if 0 < len(pool) <= MAX_LABEL_CHARACTERS), None)
    return {POOL_LABEL: name}


def service_annotations(state: ClusterState, uid: str) -> Mapping[str, str | None]:
    """The position and hash of the newest decision that gave the Service an address; None takes it off."""
    newest = max(_held(state, uid), key=lambda one: (one.position, one.address), default=None)
    return {DECISION_ANNOTATION: None if newest is None else f"{newest.position}:{decision_hash(state, newest)}"}


def decision_hash(state: ClusterState, allocation: Allocation) -> str:
    """Digest a decision (SHA-256, the first 12 hex digits) so that it can be told from one of another journal.

    It is derived from what the journal says, so that every leader writes the same.
    """
    said = (state.ledger.genesis, allocation.position, allocation.uid, allocation.address)
    return sha256("|".join(map(str, said)).encode()).hexdigest()[:DECISION_HASH_DIGITS]


def _held(state: ClusterState, uid: str) -> tuple[Any, ...]:
    return state.pools.of(uid) if uid in state.inventory.services else ()


# --------------------------------------------------------------------------------------------------------------- pools


def pool_status(state: ClusterState, name: str) -> Tree:
    """An Eip's status: OpenELB's fields with true values, and what is new; empty for a pool that is not there."""
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return {}
    counted = state.pools.counted_for(name)
    inside = tuple(address for address in counted if pool.holds(address))
    outside = tuple(address for address in counted if not pool.holds(address))
    size = sum(one.size for one in pool.ranges)
    tree: Tree = {
        "occupied": len(inside) >= size,
        "usage": len(inside),
        "poolSize": min(size, MAX_INT64),
        "available": min(size - len(inside), MAX_INT64),
        "used": {address: _users(state, address) for address in inside},
        "firstIP": "",
        "lastIP": "",
        "v4": bool(pool.ranges_of(IPV4)),
        "ready": pool.problem is None,
        "observedGeneration": pool.fact.generation,
        "conditions": _pool_conditions(state, pool, inside, outside),
    }
    if pool.ranges:
        first, last = pool.ranges[0], pool.ranges[-1]
        tree["firstIP"] = address_from_number(first.first, first.family)
        tree["lastIP"] = address_from_number(last.last, last.family)
    return tree


def _users(state: ClusterState, address: Any) -> str:
    return ";".join(sorted(one.service for one in state.pools.by_address.get(address, ())))


def _pool_conditions(state: ClusterState, pool: Pool, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> list[Tree]:
    generation = pool.fact.generation
    accepted = _accepted(pool.problem, pool.fact.problems, generation, "every field is understood")
    if pool.problem is not None:
        ready = condition("Ready", False, pool.problem.reason, _sentence(pool.problem), generation)
    elif pool.fact.disabled:
        message = "the pool gives no new address; what it gave stays; set spec.disable to false to use it again"
        ready = condition("Ready", False, Reason.POOL_DISABLED, message, generation)
    elif all(state.pools.lowest_free(pool, family) is None for family in FAMILIES):
        message = f"all {len(inside)} addresses are in use; add addresses or release a Service"
        ready = condition("Ready", False, Reason.POOL_EXHAUSTED, message, generation)
    else:
        ready = condition("Ready", True, "Available", "the pool gives addresses", generation)
    if outside:
        message = f"these Services keep addresses that the pool does not hold any more: {_named(state, outside)}"
        degraded = condition("Degraded", True, Reason.ADDRESS_OUTSIDE_POOLS, message, generation)
    elif pool.second_default is not None:
        degraded = condition("Degraded", True, pool.second_default.reason, _sentence(pool.second_default), generation)
    else:
        degraded = condition("Degraded", False, "AsExpected", "every address in use lies in the pool", generation)
    return [accepted, ready, degraded]


def _named(state: ClusterState, addresses: tuple[Any, ...]) -> str:
    names = [f"{_users(state, address)} ({address})" for address in addresses[:MAX_NAMED]]
    more = len(addresses) - len(names)
    return (
        ", ".join(names) + (f" and {more} more" if more else "") + "; give the pool these addresses back or move them"
    )


# --------------------------------------------------------------------------------------------------- peers and the conf


def peer_status(state: ClusterState, sessions: Sessions, name: str) -> Tree:
    """A BgpPeer's status, by speaker; empty for a peer that is not there."""
    peer = state.inventory.peers.get(name)
    if peer is None:
        return {}
    told = list(sessions.of_peer(name))
    return {
        "nodesPeerStatus": {speaker: _peer_of_speaker(state, peer, session) for speaker, session in told},
        "observedGeneration": peer.generation,
        "conditions": _peer_conditions(state, peer, told),
    }


def _peer_of_speaker(state: ClusterState, peer: PeerObserved, session: PeerSession) -> Tree:
    conf = state.inventory.confs.get("default")
    return {
        "peerState": {
            "neighborAddress": peer.address,
            "peerAs": peer.peer_as,
            "localAs": peer.local_as or (conf.as_number if conf is not None else 0),
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
    accepted = _accepted(problem, peer.problems, generation, "every field is honoured")
    return [accepted, _peer_ready(problem, told, generation), *_add_path(peer, told, generation)]


def _peer_ready(problem: Problem | None, told: list[tuple[str, PeerSession]], generation: int) -> Tree:
    up = [speaker for speaker, session in told if session.established]
    down = [(speaker, session) for speaker, session in told if not session.established]
    if problem is not None and not up:
        return condition("Ready", False, problem.reason, _sentence(problem), generation)
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
    accepted = _accepted(problem, conf.problems, conf.generation, "every field is honoured")
    ready = condition("Ready", True, "Used", "speakers use these settings", conf.generation)
    if problem is not None:
        ready = condition("Ready", False, problem.reason, _sentence(problem), conf.generation)
    nodes = {
        speaker: {"routerId": conf.router_id or sessions.speakers[speaker].local_address, "as": conf.as_number}
        for speaker in sorted(sessions.speakers)
    }
    conditions = [accepted, ready, _held_nodes(state, conf.generation)]
    return {"nodesConfStatus": nodes, "observedGeneration": conf.generation, "conditions": conditions}


def _held_nodes(state: ClusterState, generation: int) -> Tree:
    """Whether fail static keeps nodes that are not Ready as next hops."""
    held = sorted(state.inventory.readiness.held)
    if not held:
        return condition("Degraded", False, "AsExpected", "only Ready nodes are next hops", generation)
    more = f" and {len(held) - MAX_NAMED} more" if len(held) > MAX_NAMED else ""
    message = (
        f"most nodes turned NotReady at once, and these are kept as next hops: {', '.join(held[:MAX_NAMED])}{more}; "
        "see whether their kubelets reach the API server, or delete the nodes that are dead"
    )
    return condition("Degraded", True, Reason.HELD, message, generation)


def _accepted(problem: Problem | None, problems: Iterable[Problem], generation: int, fine: str) -> Tree:
    if problem is not None:
        return condition("Accepted", False, problem.reason, _sentence(problem), generation)
    unsupported = list(problems)
    if unsupported:
        message = "; ".join(_sentence(one) for one in unsupported[:MAX_NAMED])
        return condition("Accepted", True, unsupported[0].reason, message, generation)
    return condition("Accepted", True, "Accepted", fine, generation)


def _sentence(problem: Problem) -> str:
    return problem.message if problem.field in problem.message else f"{problem.field}: {problem.message}"
