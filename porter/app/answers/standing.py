"""What an address is at the moment: held, free, kept for somebody, or nobody's to give."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from porter.events.observed import Reservation
from porter.model.address import Address, family_of
from porter.policy.pool_choice import Pool
from porter.policy.pool_order import unusable
from porter.projections.cluster import ClusterState
from porter.projections.holdings import Cooling
from porter.projections.sentences import clock_time, given

HELD, FREE, RESERVED, COOLING_DOWN = "held", "free", "reserved", "coolingDown"
EXCLUDED, DISABLED, OUTSIDE = "excluded", "disabled", "outside"


NO_SPEAKERS: Mapping[str, str] = MappingProxyType({})


class Standing(NamedTuple):
    """An address: its state, the pool that it belongs to ("": none), and a sentence with the mend where there is one.

    `cooling` and `until_ms` tell of its release and of when it may be given again.
    """

    state: str
    pool: str
    message: str
    reservation: Reservation | None = None
    cooling: Cooling | None = None
    until_ms: int = 0


def standing(state: ClusterState, address: Address, speakers: Mapping[str, str] = NO_SPEAKERS) -> Standing:
    """Look an address up; `speakers` are their own addresses by name.

    In this order: who holds it; whether a pool holds it at all; whether that one gives it, or keeps it for somebody,
    or lets it cool down; whether the pool is in use.
    """
    holders = state.pools.by_address.get(address, ())
    if holders:
        told = "; ".join(f"{one.service} holds {given(one)}" for one in holders)
        return Standing(HELD, state.pools.pool_of(holders[0]), told, state.pools.table.reserved.get(address))
    pool = state.pools.table.holding(address)
    if pool is None:
        return _outside(state, address, speakers)
    if not pool.gives(address):
        message = f"{address} is never given: spec.excludes or spec.avoidBuggyIPs of Eip {pool.name} leaves it out"
        return Standing(EXCLUDED, pool.name, message)
    return _unheld(state, pool, address)


def _unheld(state: ClusterState, pool: Pool, address: Address) -> Standing:
    reservation = state.pools.table.reserved.get(address)
    cooling = state.pools.cooling.get(address)
    until_ms = cooling.since_ms + pool.fact.release_delay_ms if cooling is not None else 0
    if reservation is not None:
        owner = f"{reservation.namespace}/{reservation.name}"
        message = f"{address} is free, and Eip {pool.name} keeps it for the Service {owner}"
        return Standing(RESERVED, pool.name, message, reservation, cooling, until_ms)
    if cooling is not None:
        message = (
            f"{address} is free since {clock_time(cooling.since_ms)} (#{cooling.position}), when "
            f"{cooling.namespace}/{cooling.name} released it; Eip {pool.name} lets it cool down until "
            f"{clock_time(until_ms)}"
        )
        return Standing(COOLING_DOWN, pool.name, message, None, cooling, until_ms)
    why = unusable(pool)
    if why is not None:
        return Standing(DISABLED, pool.name, f"{address} is free, but {why.message}")
    following = state.pools.lowest_free(pool, family_of(address)) == address
    message = f"{address} is free, and {'the next that ' if following else ''}Eip {pool.name} {_gives(following)}"
    return Standing(FREE, pool.name, message)


def _gives(following: bool) -> str:
    return "gives" if following else "would give it"


def _outside(state: ClusterState, address: Address, speakers: Mapping[str, str]) -> Standing:
    """An address of no usable pool; perhaps of one that cannot be used."""
    for pool in state.pools.table.by_name.values():
        if pool.problem is not None and pool.holds(address):
            message = f"{address} belongs to Eip {pool.name}, which cannot be used: {pool.problem.message}"
            return Standing(OUTSIDE, pool.name, message)
    owners = _owners(state, address, speakers)
    if owners:
        return Standing(OUTSIDE, "", f"{address} is the address of {' and of '.join(owners)}, and no Service's")
    return Standing(OUTSIDE, "", f"no Eip holds {address}, and nobody has it; add it to an Eip to have it given")


def _owners(state: ClusterState, address: Address, speakers: Mapping[str, str]) -> list[str]:
    """Whose own an address is: a router's, a node's or a speaker's."""
    inventory = state.inventory
    owners = [f"BgpPeer {name}" for name, peer in sorted(inventory.peers.items()) if peer.address == address]
    owners += [f"node {name}" for name, node in sorted(inventory.nodes.items()) if address in node.addresses]
    return owners + [f"speaker {name}" for name, own in sorted(speakers.items()) if own == address]
