"""The checks that the folds answer: the journal about itself, speakers, sessions, pools, Services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from porter import __version__
from porter.app.answers.operated import drained_speakers, operated_problems, speaker_problem
from porter.app.answers.routes import bfd_problems, map_problems, session_problems
from porter.app.doctor import Check, ok, problem, several, warning
from porter.app.read_model import ReadModel
from porter.app.retention.upkeep import BASELINE_INTERVAL_EVENTS
from porter.events.observed import NodeObserved, PeerObserved
from porter.model.address import IPV4, family_of
from porter.model.meanings import meaning_of
from porter.policy.next_hops import first_address
from porter.policy.topology import CENTRAL, topology_of
from porter.projections.adj_rib_out import refused, sessions_of
from porter.projections.cluster import ClusterState
from porter.projections.inventory import DEFAULT_CONF
from porter.projections.status import advertisement_statuses, conf_status, pool_status

TOLD_MAX = 10
"""Most findings of one kind that are told one by one."""
SUBNET_LENGTHS = {4: 24, 6: 64}
"""How long a shared subnet's prefix is taken to be: nothing tells a node's real one."""


def state_checks(model: ReadModel) -> list[Check]:
    """Every check of the folds, in the order of the data's way: journal, objects, addresses, routes, sessions."""
    state = model.state
    return [
        *_journal(state),
        *_objects(model),
        *_pools(state),
        *_services(state),
        *_routes(state),
        *_speakers(model),
        *_sessions(model),
        *_add_path(model),
        *_next_hops(model),
        *_operated(state),
    ]


def _bounded(name: str, where: str, found: list[Check], fine: str) -> list[Check]:
    more = len(found) - TOLD_MAX
    rest = [problem(name, where, f"{more} more of this kind", "mend those above first")] if more > 0 else []
    return several(name, where, found[:TOLD_MAX] + rest, fine)


# --------------------------------------------------------------------------------------------------- the journal itself


def _journal(state: ClusterState) -> Iterator[Check]:
    ledger, where = state.ledger, f"journal #{state.ledger.position}"
    if ledger.recovering:
        message = "the journal is recovering: nothing is allocated, released or withdrawn meanwhile"
        yield problem("journal.state", where, message, "see the leader's log; runbook PorterJournalRecovering")
    elif not ledger.synced:
        message = "the cluster's objects were never listed completely, so that nothing is decided"
        yield problem("journal.state", where, message, "see the controller's log: which kind cannot be listed?")
    else:
        yield ok("journal.state", where, "it is synced, and decisions are made")
    if ledger.lost:
        first, last = ledger.lost[-1]
        message = f"{len(ledger.lost)} stretches of positions were lost, the newest #{first} to #{last}"
        yield warning("journal.losses", where, message, "set appendfsync always on the server, and look at its disk")
    else:
        yield ok("journal.losses", where, "no position was ever lost")
    yield _baseline(state, where)
    if ledger.holder:
        yield ok("leader", ledger.holder, f"it leads epoch {ledger.epoch} since #{ledger.epoch_started}")
    else:
        yield problem("leader", where, "nobody ever led", "see that a controller runs and gets the Lease")


def _baseline(state: ClusterState, where: str) -> Check:
    behind = state.ledger.position - state.ledger.baseline_position
    if behind <= 2 * BASELINE_INTERVAL_EVENTS:
        return ok("journal.baseline", where, f"a start folds {behind} events behind the newest baseline")
    message = f"the newest baseline is {behind} events old; one is due every {BASELINE_INTERVAL_EVENTS}"
    return problem("journal.baseline", where, message, "see the leader's log for why it cannot record one")


# --------------------------------------------------------------------------------------------------------- the objects


def _objects(model: ReadModel) -> list[Check]:
    state = model.state
    statuses = [(f"BgpConf/{name}", conf_status(state, model.sessions, name)) for name in sorted(state.inventory.confs)]
    statuses += [(f"BgpAdvertisement/{name}", tree) for name, tree in sorted(advertisement_statuses(state).items())]
    found = [
        problem("objects", where, one["message"], "correct the object; its conditions say the same")
        for where, tree in statuses
        for one in tree.get("conditions", ())
        if (one["type"], one["status"]) in {("Accepted", "False"), ("Degraded", "True")}
    ]
    found += [problem("objects", "ConfigMap/bgp-cfg", text, "correct the map") for text in map_problems(state)]
    if state.inventory.peers and DEFAULT_CONF not in state.inventory.confs:
        found.append(problem("objects", "BgpConf/default", "there is none", "create it with spec.as"))
    if not state.inventory.peers:
        found.append(warning("objects", "BgpPeer", "there is none: no route goes anywhere", "create one"))
    return _bounded("objects", "cluster", found, "BgpConf, BgpPeers and BgpAdvertisements are in order")


def _pools(state: ClusterState) -> list[Check]:
    if not state.inventory.pools:
        return [warning("pools", "Eip", "there is none: no Service gets an address", "create one")]
    found = []
    for name in sorted(state.inventory.pools):
        for one in pool_status(state, name).get("conditions", ()):
            kind = one["type"], one["status"]
            if kind in {("Accepted", "False"), ("Ready", "False")}:
                found.append(problem("pools", f"Eip/{name}", one["message"], _mend(one["reason"])))
            elif kind == ("Degraded", "True"):
                found.append(warning("pools", f"Eip/{name}", one["message"], _mend(one["reason"])))
    return _bounded("pools", "Eips", found, f"{len(state.inventory.pools)} are in order and have free addresses")


def _mend(reason: str) -> str:
    meaning = meaning_of(reason)
    return (meaning.mend if meaning is not None else "") or "the message says it"


def _services(state: ClusterState) -> list[Check]:
    found = [
        problem("services", f"Service/{one.namespace}/{one.name}", refusal.message, _mend(refusal.reason))
        for one in state.inventory.services.values()
        if not state.pools.of(one.uid) and (refusal := state.pools.refusal(one.uid)) is not None
    ]
    found.sort(key=lambda check: check.where)
    return _bounded("services", "Services", found, f"none of {len(state.inventory.services)} is refused")


def _routes(state: ClusterState) -> list[Check]:
    counted = Counter(str(reason) for reason in state.loc_rib.absent.values())
    found = [
        warning("routes", "Loc-RIB", f"{count} addresses in use are not announced: {reason}", _mend(reason))
        for reason, count in sorted(counted.items())
    ]
    return several("routes", "Loc-RIB", found, f"all {len(state.loc_rib.routes)} addresses in use have next hops")


def _operated(state: ClusterState) -> list[Check]:
    found = [warning("operated", "operators", text, "the message says it") for text in operated_problems(state)]
    found += [
        warning(
            "operated",
            f"speaker {told['speaker']}",
            f"it {speaker_problem(told)}",
            f"`porter uncordon speaker {told['speaker']}`",
        )
        for told in drained_speakers(state)
    ]
    return several("operated", "operators", found[:TOLD_MAX], "nothing is drained or held")


# ------------------------------------------------------------------------------------------------ speakers and sessions


def _speakers(model: ReadModel) -> list[Check]:
    speakers = model.sessions.speakers
    if not speakers:
        return [
            problem("speakers", "journal", "no speaker told of itself", "see that one runs and reaches the journal")
        ]
    found = []
    for name, one in sorted(speakers.items()):
        where = f"speaker {name}"
        if not one.engine_up and not any(session.established for session in one.peers.values()):
            reason = one.engine_reason or "it was not told why"
            found.append(problem("speakers", where, f"its BGP engine is away: {reason}", "see the engine's log"))
        if one.version not in ("", __version__):
            message = f"it runs {one.version}, and this is {__version__}"
            found.append(warning("speakers", where, message, "finish the upgrade, or the rollback"))
        if one.dropped:
            message = f"it dropped {one.dropped} outcomes, because the journal was away for too long"
            found.append(warning("speakers", where, message, "runbook PorterOutcomesDropped"))
        drifts = sum(session.drifts for session in one.peers.values())
        if drifts:
            message = f"its engine's routes differed from ours {drifts} times, and were repaired"
            found.append(warning("speakers", where, message, "runbook PorterRibDrift"))
    return _bounded("speakers", "speakers", found, f"{', '.join(sorted(speakers))}: the engines are there")


def _sessions(model: ReadModel) -> list[Check]:
    mend = "`porter explain peer/NAME` tells since when; look at the router's side"
    found = [problem("sessions", "BGP", text, mend) for text in session_problems(model)]
    found += [warning("sessions", "BFD", text, "runbook PorterBfdDown") for text in bfd_problems(model)]
    return _bounded("sessions", "BGP", found, "every session that is to be there is Established")


def _add_path(model: ReadModel) -> list[Check]:
    state, found = model.state, []
    for name, fact in sorted(state.inventory.peers.items()):
        if topology_of(fact, state.inventory.good_conf(DEFAULT_CONF)) != CENTRAL:
            # An agent announces one node: its prefixes have one path.
            continue
        for speaker, session in sessions_of(state, model.sessions, name):
            without = sorted(set(session.families) - set(session.add_path)) if session.established else []
            if without:
                message = f"ADD-PATH was not negotiated with {speaker} for {' and '.join(without)}"
                effect = "each speaker announces one next hop, so that traffic goes to few nodes"
                mend = "enable ADD-PATH (RFC 7911), receive, at the router"
                found.append(warning("addPath", f"BgpPeer/{name}", f"{message}: {effect}", mend))
    return _bounded("addPath", "BGP", found, "every central session carries several paths of a prefix")


def _next_hops(model: ReadModel) -> list[Check]:
    state, found = model.state, []
    for name, fact in sorted(state.inventory.peers.items()):
        central = topology_of(fact, state.inventory.good_conf(DEFAULT_CONF)) == CENTRAL
        if not central or fact.multihop_ttl > 1 or refused(state, name) is not None:
            continue
        far = sorted(node.name for node in state.inventory.nodes.values() if _is_far(node, fact))
        if far:
            shown = ", ".join(far[:TOLD_MAX]) + (f" and {len(far) - TOLD_MAX} more" if len(far) > TOLD_MAX else "")
            message = f"the router {fact.address} has another subnet than {shown}, which it is given as next hops"
            mend = (
                "put router and nodes into one subnet, or set spec.ebgpMultihop and see that the router resolves the "
                "nodes' addresses; ignore this where the shared subnet is wider than a /24 (or a /64)"
            )
            found.append(warning("nextHops", f"BgpPeer/{name}", message, mend))
    return _bounded("nextHops", "nodes", found, "routers and nodes are in the same subnets, or sessions are multihop")


def _is_far(node: NodeObserved, peer: PeerObserved) -> bool:
    """Whether a node's address of the router's family is outside of what is taken for the router's subnet."""
    address = first_address(node, family_of(peer.address))
    if address is None:
        return False
    length = SUBNET_LENGTHS[4 if family_of(peer.address) == IPV4 else 6]
    return ip_address(address) not in ip_interface(f"{peer.address}/{length}").network
