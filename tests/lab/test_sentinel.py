"""Sentinel puts a replica in the place of a dead master: no route is lost, no address changes, a lost tail is told."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab import scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.scenario import Fleet
from tests.lab.sentinels import Sentinels
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET = 20
WORKS_AGAIN_S = 30.0
"""From a master's death: noticed by the sentinels, another one chosen, and joined by its replica."""


@dataclass
class Served:
    """Porter over three sentinels, with Services up."""

    lab: Lab
    porter: Porter
    fleet: Fleet
    sentinels: Sentinels

    def lost(self) -> list[dict[str, int]]:
        """The ranges of positions that the journal says it lost."""
        found: list[dict[str, int]] = self.porter.json("/v1/status")["lost"]  # type: ignore[index, call-overload]
        return found

    def works(self) -> bool:
        """Whether the controller is ready, by its own word."""
        return self.porter.http("/readyz")[0] == 200


@pytest.fixture
def served(lab: Lab) -> Iterator[Served]:
    """Porter with Services up, whose journal is at three servers."""
    namespace = lab.redis.namespace
    with Sentinels(lab.run, namespace) as sentinels:
        try:
            scenario.configure(lab)
            porter = lab.porter(redis=sentinels.url).start()
            scenario.wait_sessions(lab, porter)
            yield Served(lab, porter, scenario.launch_fleet(lab, FLEET), sentinels)
        finally:
            lab.reset()


def serve_again(served: Served, name: str) -> None:
    """A new Service is routed once the journal takes writes."""
    began_s = time.monotonic()
    eventually(served.works, "the controller works again", WORKS_AGAIN_S, ignore=(OSError,))
    scenario.serve(served.lab, name, within_s=WORKS_AGAIN_S)
    print(f"{name} was routed {time.monotonic() - began_s:.1f} s after the promotion")


def test_a_failover_costs_no_route_and_no_address(served: Served) -> None:
    with served.fleet.undisturbed():
        dead = served.sentinels.kill_master()
        served.sentinels.wait_promoted(dead)
        serve_again(served, "after-failover")
    scenario.check_exact(served.lab)
    assert served.lost() == []


def test_a_lost_tail_is_told_and_what_was_decided_in_it_stays(served: Served) -> None:
    with served.fleet.undisturbed():
        served.sentinels.part_replicas()
        late = scenario.serve(served.lab, "in-the-tail")
        served.fleet.addresses["in-the-tail"] = late
        dead = served.sentinels.kill_master()
        served.sentinels.wait_promoted(dead)
        serve_again(served, "after-loss")
        [lost] = served.lost()
        assert lost["first"] <= lost["last"]
    # The address was given in the part that is lost: by its Service and by what is announced it is still held.
    scenario.check_exact(served.lab)
    told = served.porter.command("timeline", "--state-dir", str(served.porter.state_dir), "-o", "json")
    assert "TailLost" in told
    metrics = served.porter.http("/metrics")[1]
    assert f"porter_journal_positions_lost {float(lost['last'] - lost['first'] + 1)}" in metrics
