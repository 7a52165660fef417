"""Which routes no other speaker announces: what the drain of a speaker would take from every router."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from porter.app.read_model import ReadModel
from porter.model.address import Prefix, family_of
from porter.model.bgp import node_of
from porter.projections.adj_rib_out import sessions_of
from porter.projections.cluster import ClusterState


class _Giving(NamedTuple):
    """An established session; `node` is that of an agent, which announces no other."""

    peer: str
    node: str
    families: tuple[str, ...]


def announced_by_it_alone(model: ReadModel, speaker: str) -> int:
    """How many prefixes go to a router by this speaker, and by no session of another one that is in service."""
    state = model.state
    maintenance = state.ledger.maintenance
    own: list[_Giving] = []
    central: list[_Giving] = []
    of_nodes: defaultdict[str, list[_Giving]] = defaultdict(list)
    for peer in state.inventory.peers:
        for name, session in sessions_of(state, model.sessions, peer):
            # One that is leaving is not counted on, either: it will have gone. It announces until then itself.
            gone = name in maintenance.withdrawn_speakers if name == speaker else name in maintenance.speakers
            if not session.established or gone:
                continue
            one = _Giving(peer, node_of(name), session.families)
            if name == speaker:
                own.append(one)
            elif one.node:
                of_nodes[one.node].append(one)
            else:
                central.append(one)
    alone = 0
    for prefix, route in state.loc_rib.routes.items():
        if any(_gives(state, one, prefix) for one in own):
            agents = (one for hop in route.next_hops for one in of_nodes.get(hop.node, ()))
            alone += not any(_gives(state, one, prefix) for one in (*central, *agents))
    return alone


def _gives(state: ClusterState, one: _Giving, prefix: Prefix) -> bool:
    policy = state.exports.policy(one.peer, one.node)
    if policy is None or family_of(prefix) not in one.families:
        return False
    given = state.exports.reached(policy, prefix)
    if given is None:
        return False
    return any(not one.node or hop.node == one.node for hop in given.next_hops)
