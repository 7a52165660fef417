"""ADD-PATH identifiers (RFC 7911, section 3) for nodes whose IPv4 address cannot serve as one."""

from __future__ import annotations

from porter.events.decided import PathIdentifierAssigned
from porter.model.address import IPV4
from porter.policy.next_hops import FIRST_UNICAST_NUMBER, first_address
from porter.projections.cluster import ClusterState


def assign(state: ClusterState) -> tuple[PathIdentifierAssigned, ...]:
    """Identifiers for the nodes that need one and have none, in the order of their names.

    Numbers stay below 2^24, so that none equals a unicast IPv4 address, and rise, so that none is used again soon.
    """
    taken = state.ledger.path_identifiers
    waiting = sorted(
        name for name, node in state.inventory.nodes.items() if name not in taken and first_address(node, IPV4) is None
    )
    if not waiting:
        return ()
    used = set(taken.values())
    number = state.ledger.highest_path_identifier
    assigned = []
    for name in waiting:
        number = _next_free(number, used)
        used.add(number)
        assigned.append(PathIdentifierAssigned(name, number))
    return tuple(assigned)


def _next_free(number: int, used: set[int]) -> int:
    # 0 means that a session has no ADD-PATH; after the last number the lowest that is free comes again.
    number = number % (FIRST_UNICAST_NUMBER - 1) + 1
    while number in used:
        number = number % (FIRST_UNICAST_NUMBER - 1) + 1
    return number
