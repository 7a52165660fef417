"""Another process, with another hash seed: folds the rest of a journal onto a decoded baseline.

Reads pickled (baseline, envelopes) with a length before each, and answers likewise with (baseline, routes, decisions).
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

from porter.allocator.decide import decide
from porter.projections import baseline
from porter.projections.cluster import ClusterState, fold

LENGTH_BYTES = 8


def summary(state: ClusterState) -> tuple[Any, ...]:
    """All that must not depend on the process: the encoded state, its routes in order, and what would be decided."""
    routes = sorted(state.loc_rib.routes.items())
    absent = sorted(state.loc_rib.absent.items())
    decisions = [decide(state, uid) for uid in sorted({*state.inventory.services, *state.pools.by_uid})]
    return baseline.digest(baseline.encode(state)), routes, absent, decisions


def main() -> None:
    """Answer until the input ends."""
    while head := sys.stdin.buffer.read(LENGTH_BYTES):
        encoded, envelopes = pickle.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        answer = pickle.dumps(summary(fold(baseline.decode(encoded), envelopes)))
        sys.stdout.buffer.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
