"""What the leader journals because time went by: a schedule derived from the state, asked with the time of the clock.

Today these are cool-downs: a freed address may be given again once its pool's present releaseDelay is over, or at
once if the pool is gone or has no delay any more.
"""

from __future__ import annotations

from porter.events.decided import CoolDownElapsed
from porter.projections.cluster import ClusterState


def due(state: ClusterState, now_ms: int, limit: int) -> tuple[CoolDownElapsed, ...]:
    """At most `limit` events that are due, those that were due first in front; none while nothing may be decided."""
    if limit <= 0 or not state.ledger.open or not state.pools.cooling:
        return ()
    found = []
    for pool, ends in state.pools.index.cooling_ends.items():
        delay_ms = _delay_ms(state, pool)
        for since_ms, position, address in ends[:limit]:
            if delay_ms and since_ms + delay_ms > now_ms:
                break
            found.append((since_ms + delay_ms, position, CoolDownElapsed(address, pool)))
    return tuple(event for _, _, event in sorted(found)[:limit])


def next_due_ms(state: ClusterState) -> int | None:
    """When something is due next; None if there is nothing to wait for."""
    if not state.ledger.open or not state.pools.cooling:
        return None
    return min(ends[0][0] + _delay_ms(state, pool) for pool, ends in state.pools.index.cooling_ends.items())


def _delay_ms(state: ClusterState, pool: str) -> int:
    fact = state.inventory.held_pool(pool)
    return 0 if fact is None else fact.release_delay_ms
