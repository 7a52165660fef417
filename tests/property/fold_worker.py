"""Another process, with another hash seed: folds the rest of a journal onto a decoded baseline.

Reads pickled (baseline, envelopes, shuffle) with a length before each, and answers likewise with `summary`. With a
`shuffle` that is not 0 every dictionary of the state is put into another order before it is asked.
"""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any

from porter.allocator.decide import decide, unsettled
from porter.allocator.timers import due, next_due_ms
from porter.projections import baseline, pool_report
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

LENGTH_BYTES = 8
POOL_QUERIES = (
    pool_report.capacity,
    pool_report.outside,
    pool_report.excluded,
    pool_report.over_quota,
    pool_report.contested,
    pool_report.cooling,
    pool_report.warnings,
)


def summary(state: ClusterState) -> tuple[Any, ...]:
    """All that must not depend on the process: the encoded state, its routes in order, and what would be decided."""
    routes = sorted(state.loc_rib.routes.items())
    absent = sorted(state.loc_rib.absent.items())
    afresh = state.fork()
    # Which questions had no answer before is remembered, and no part of the state.
    afresh.pools.ask_again()
    turns = unsettled(afresh, 1000)
    uids = sorted({*state.inventory.services, *state.pools.by_uid})
    decisions = [decide(state, uid) for uid in uids]
    elapsed = due(state, state.ledger.time_ms + 10_000, 2), next_due_ms(state)
    reports = [pool_report.service_report(state, uid) for uid in uids]
    pools = [
        [query(state, name) for query in POOL_QUERIES] + [state.pools.counted_for(name)]
        for name in sorted(state.inventory.pools)
    ]
    digest = baseline.digest(baseline.encode(state))
    return digest, routes, absent, turns, decisions, elapsed, reports, pools


def shuffled(state: ClusterState, seed: int) -> ClusterState:
    """The same state with every dictionary in another order."""
    chance = random.Random(seed)
    inventory, pools = state.inventory, state.pools
    tables = [getattr(inventory, name) for name in inventory.__dataclass_fields__ if name != "readiness"]
    tables += [pools.by_address, pools.by_uid, pools.refusals, pools.departed, pools.cooling, pools.protocols]
    for table in tables:
        pairs = chance.sample(sorted(table.items(), key=repr), len(table))
        table.clear()
        table.update(pairs)
    return state


def main() -> None:
    """Answer until the input ends."""
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        encoded, envelopes, shuffle = pickle.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        state = fold(baseline.decode(encoded), envelopes)
        answer = pickle.dumps(summary(shuffled(state, shuffle) if shuffle else state))
        sys.stdout.buffer.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
