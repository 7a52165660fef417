"""Two thousand random operations over sixty prefixes at each router: no ghost, no missing route, no wrong next hop.

`PORTER_CHURN_SEEDS=20` has it run with so many seeds.
"""

from __future__ import annotations

import os
import time

import pytest

from porter.events.routed import DriftFound, PeerUnsynced
from tests.integration.bgp.churn import FIRST_SEED, OPERATIONS, WITHOUT_ADD_PATH, Differences, published
from tests.integration.bgp.lab import ADDRESS

SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("PORTER_CHURN_SEEDS", "3")))

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("seed", SEEDS)
async def test_churn_leaves_no_ghost(started, seed):
    routers = {
        "bird": started.bird("bird", ADDRESS(2)),
        WITHOUT_ADD_PATH: started.bird(WITHOUT_ADD_PATH, ADDRESS(3), add_path=False),
        "frr": started.frr("frr", ADDRESS(4)),
        "gobgp": started.gobgp("gobgp", ADDRESS(5)),
    }
    speaker = started.speaker
    started_s = time.monotonic()
    found = await published(seed, speaker, routers)
    print(f"seed {seed}: {len(routers)} x {OPERATIONS} operations in {time.monotonic() - started_s:.2f} s")
    assert found == dict.fromkeys(routers, Differences(0, 0, 0))
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced | DriftFound)]
