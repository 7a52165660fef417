"""Two thousand random changes, and every part killed among them: what routers had then is what is told of then."""

import os
from itertools import pairwise

import pytest

from tests.lab.lab import Lab
from tests.lab.time_travel import check, differences, live, world_in

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("PORTER_LIFE_SEED", "20261125"))
CHANGES = 2_000
MOMENTS = 20
PREFIXES_MIN = 20


def test_what_is_told_of_a_moment_is_what_the_routers_had(lab: Lab) -> None:
    with world_in(lab) as world:
        moments = live(world, SEED, CHANGES, MOMENTS)
        assert check(world, moments, lab.run.folder) == 0
    # It was a life: moments are not like the ones before them, and the routers had many routes.
    changed = [bool(differences(before, after.told)) for before, after in pairwise(moments)]
    assert sum(changed) >= len(changed) * 3 // 4, changed
    assert max(len(table) for moment in moments for table in moment.kernels.values()) >= PREFIXES_MIN
