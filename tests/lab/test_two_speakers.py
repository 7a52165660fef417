"""Two central speakers announce the same to both routers: the end of one removes no next hop, however long it lasts."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.processes import end_pids
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 20
RESTART_TIME_S = 4
"""Short, so that the routers forget the dead speaker's routes within the test: those of the other must carry all."""
FORGOTTEN_WITHIN_S = 20.0
BACK_WITHIN_S = 30.0
DELAY_S = 2
FAILOVER_S = 2 * scenario.LEASE_S + scenario.ROUTED_WITHIN_S

Pair = dict[str, Porter]


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Iterator[Pair]:
    """Two times ``porter up`` on one cluster: the first leads, both speak."""
    scenario.configure(lab, gracefulRestart={"enabled": True, "restartTime": RESTART_TIME_S})
    first = lab.porter(1).start()
    second = lab.porter(2).start(wait=False)
    scenario.wait_sessions(lab, first, second, timeout_s=BACK_WITHIN_S)
    yield {"leader": first, "standby": second}
    lab.reset()


@pytest.fixture(scope="module")
def fleet(lab: Lab, pair: Pair) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


def wait_both(lab: Lab, pair: Pair, fleet: Fleet) -> None:
    """Wait until each router has every path from both speakers."""
    prefixes = [next(iter(fleet.expected)), list(fleet.expected)[-1]]
    for router in lab.routers:
        for prefix in prefixes:
            wanted = sorted((porter.address, hop) for porter in pair.values() for hop in fleet.expected[prefix])
            eventually(
                lambda router=router, prefix=prefix, wanted=wanted: router.rib(prefix) == wanted,  # type: ignore[misc]
                f"{router.name} has {prefix} from both speakers",
                BACK_WITHIN_S,
            )


def test_a_drained_speaker_is_told_first_and_then_gone_and_no_next_hop_with_it(
    lab: Lab, pair: Pair, fleet: Fleet
) -> None:
    wait_both(lab, pair, fleet)
    leader, drained = pair["leader"], pair["standby"].name
    prefix = next(iter(fleet.expected))
    both = sorted((porter.address, hop) for porter in pair.values() for hop in lab.next_hops())
    of_drained = [path for path in both if path[0] == pair["standby"].address]
    of_other = [path for path in both if path[0] == leader.address]

    def wait(rib: list[tuple[str, str]], marked: list[tuple[str, str]], what: str) -> None:
        for router in lab.routers:
            eventually(
                lambda router=router: (router.rib(prefix), router.marked(prefix)) == (rib, marked),  # type: ignore[misc]
                f"{router.name}: {what}",
                BACK_WITHIN_S,
            )

    with fleet.undisturbed():
        leader.command("drain", "speaker", drained, "--delay", "1h", "--why", "new memory")
        wait(both, of_drained, "it is told, and nothing is withdrawn")
        leader.command("uncordon", "speaker", drained)
        wait(both, [], "the drain is undone before its delay is over")
        leader.command("drain", "speaker", drained, "--delay", "1h")
        wait(both, of_drained, "it is told again")
        leader.command("drain", "speaker", drained, "--delay", f"{DELAY_S}s")
        wait(of_other, [], "the delay is over")
        scenario.wait_sessions(lab, *pair.values(), timeout_s=BACK_WITHIN_S)
        leader.command("uncordon", "speaker", drained)
        wait(both, [], "the drain is undone")
    steps = [event["payload"] for event in events(leader, "SpeakerDrainElapsed")]
    assert steps == [{"speaker": drained}]
    scenario.check_exact(lab)


def events(porter: Porter, kind: str) -> list[dict[str, Any]]:
    """The journal's events of a type."""
    answer: dict[str, list[dict[str, Any]]] = porter.json(f"/v1/events?type={kind}&limit=10000")  # type: ignore[assignment]
    return answer["events"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["sigterm", "sigkill"])
@pytest.mark.parametrize("who", ["standby", "leader"])
def test_the_end_of_one_speaker_removes_no_next_hop(
    lab: Lab, pair: Pair, fleet: Fleet, who: str, how: signal.Signals
) -> None:
    wait_both(lab, pair, fleet)
    ended = pair[who]
    [left] = [porter for name, porter in pair.items() if name != who]
    prefix = next(iter(fleet.expected))
    with fleet.undisturbed():
        if how == signal.SIGTERM:
            ended.process.stop()
        else:
            ended.process.kill()
            end_pids(ended.namespace.pids())
        wanted = sorted((left.address, hop) for hop in lab.next_hops())
        for router in lab.routers:
            eventually(
                lambda router=router: router.rib(prefix) == wanted,  # type: ignore[misc]
                f"{router.name} has forgotten the speaker that ended",
                FORGOTTEN_WITHIN_S,
            )
        name = f"after-the-{who}s-{how.name.lower()}"
        scenario.serve(lab, name, within_s=FAILOVER_S)
        scenario.delete_service(lab, name)
        began_s = time.monotonic()
        ended.start(wait=False)
        scenario.wait_sessions(lab, *pair.values(), timeout_s=BACK_WITHIN_S)
        wait_both(lab, pair, fleet)
        print(f"both speakers announce everything {time.monotonic() - began_s:.1f} s after the start")
    if who == "leader":
        # The one that was left leads now.
        pair["leader"], pair["standby"] = left, ended
    scenario.check_exact(lab)
