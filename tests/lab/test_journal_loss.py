"""The journal is emptied, set back or cut while fifty Services are up: noticed, recovered, and no route is lost."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from porter.events.decided import PositionsLost, RecoveryCompleted
from tests.lab import scenario
from tests.lab.evidence import JournalReader, PartLog, cut_inside_last_commit, log_of, speaker_stream
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.scenario import Fleet, Load
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

NOTICED = ("journal",)
RECOVERED_WITHIN_S = 15.0
IDLE_LOOKS = 10


@dataclass
class Served:
    """One ``porter up`` with fifty Services."""

    lab: Lab
    porter: Porter
    fleet: Fleet
    journal: JournalReader

    @property
    def routers(self) -> set[str]:
        """The names of both peers."""
        return {router.name for router in self.lab.routers}

    def logs(self) -> list[PartLog]:
        """What both parts that follow the journal write from now on."""
        return [log_of(self.porter, part) for part in ("controller", "speaker")]

    def wait_recovered(self, lost_from: int, lost_to: int) -> None:
        """Wait for the end of recovery; it must have declared exactly these positions lost."""
        self.journal.wait_event(RecoveryCompleted, lost_from, RECOVERED_WITHIN_S)
        declared = self.journal.events(PositionsLost, lost_from)
        assert [(lost.first, lost.last) for lost in declared] == [(lost_from, lost_to)], declared
        assert declared[0].reason


@pytest.fixture(scope="module")
def served(lab: Lab) -> Iterator[Served]:
    """Porter with fifty Services up."""
    scenario.configure(lab)
    porter = lab.porter().start()
    scenario.wait_sessions(lab, porter)
    yield Served(lab, porter, scenario.launch_fleet(lab), JournalReader(lab.redis))
    lab.reset()


def wait_noticed(logs: list[PartLog], since_s: float) -> None:
    """Both parts say within the bound that the journal is not what it was."""
    for log in logs:
        line = log.wait(NOTICED, max(0.001, since_s + scenario.NOTICED_WITHIN_S - time.monotonic()))
        print(f"{log.path.stem} noticed after {time.monotonic() - since_s:.2f} s: {line['event']}")


def test_emptied_while_idle(served: Served) -> None:
    with served.fleet.undisturbed():
        wait_idle(served)
        last, logs = served.journal.position(), served.logs()
        served.lab.redis.flush()
        wait_noticed(logs, time.monotonic())
        served.wait_recovered(1, last)
        scenario.serve(served.lab, "after-emptied", within_s=scenario.ROUTED_WITHIN_S)
    scenario.check_exact(served.lab)


def wait_idle(served: Served) -> None:
    """Wait until nothing was journaled for a while, so that the last position is known."""
    positions: list[int] = []

    def idle() -> bool:
        positions.append(served.journal.position())
        return len(positions) > IDLE_LOOKS and len(set(positions[-IDLE_LOOKS:])) == 1

    eventually(idle, "the journal is idle", scenario.SETTLED_WITHIN_S)


def test_emptied_under_load(served: Served) -> None:
    with served.fleet.undisturbed():
        with Load(served.lab, "load") as load:
            eventually(lambda: load.created > 10, "the load runs", scenario.SETTLED_WITHIN_S)
            known, logs = served.journal.position(), served.logs()
            served.lab.redis.flush()
            wait_noticed(logs, time.monotonic())
            served.journal.wait_event(RecoveryCompleted, 0, RECOVERED_WITHIN_S)
            after = load.created
            eventually(lambda: load.created > after + 10, "the load goes on", scenario.SETTLED_WITHIN_S)
        [lost] = served.journal.events(PositionsLost)
        assert lost.first == 1
        assert lost.last >= known
        scenario.serve(served.lab, "after-load", within_s=scenario.ROUTED_WITHIN_S)
        for service in served.lab.client.list("Service", "default"):
            if service["spec"]["type"] == "LoadBalancer":
                served.lab.cluster.wait_ingress(service["metadata"]["name"], len(service["spec"]["ipFamilies"]))
        scenario.check_exact(served.lab)


def test_set_back_to_an_older_copy(served: Served) -> None:
    redis = served.lab.redis
    with served.fleet.undisturbed():
        redis.stop()
        copy = redis.copy("older")
        redis.start()
        older = served.journal.position()
        newer = {name: scenario.serve(served.lab, name) for name in ("newer-1", "newer-2", "newer-3")}
        wait_idle(served)
        last = served.journal.position()
        assert last > older
        redis.stop()
        redis.put_back(copy)
        logs = served.logs()
        redis.start()
        wait_noticed(logs, time.monotonic())
        served.wait_recovered(older + 1, last)
        scenario.serve(served.lab, "after-older", within_s=scenario.ROUTED_WITHIN_S)
        for name, addresses in newer.items():
            assert served.lab.cluster.wait_ingress(name) == addresses
    scenario.check_exact(served.lab)


def test_cut_inside_the_last_commit(served: Served) -> None:
    redis = served.lab.redis
    with served.fleet.undisturbed():
        addresses = scenario.serve(served.lab, "last-commit")
        wait_idle(served)
        commits = served.journal.commits()
        redis.kill()
        cut_inside_last_commit(redis)
        logs = served.logs()
        redis.start()
        wait_noticed(logs, time.monotonic())
        served.wait_recovered(commits[-1].first_position, commits[-1].last_position)
        scenario.serve(served.lab, "after-cut", within_s=scenario.ROUTED_WITHIN_S)
        assert served.lab.cluster.wait_ingress("last-commit") == addresses
    scenario.check_exact(served.lab)


@pytest.mark.parametrize("leader", ["leader-at-work", "leader-away"])
def test_emptied_and_speaker_and_exabgp_killed(served: Served, leader: str) -> None:
    lab, porter = served.lab, served.porter
    outcomes = JournalReader(lab.redis, speaker_stream(porter.name))
    with served.fleet.undisturbed():
        wait_idle(served)
        last = served.journal.position()
        controller = porter.pids()["controller"]
        logs = served.logs()[:1]
        if leader == "leader-away":
            os.kill(controller, signal.SIGSTOP)
        try:
            lab.redis.flush()
            emptied_s = time.monotonic()
            killed = {part: porter.kill(part) for part in ("speaker", "exabgp")}
            if leader == "leader-away":
                for part, pid in killed.items():
                    porter.wait_restarted(part, pid)
                scenario.wait_sessions(lab, porter)
                assert served.journal.position() == 0
                emptied_s = time.monotonic()
        finally:
            os.kill(controller, signal.SIGCONT)
        wait_noticed(logs, emptied_s)
        served.wait_recovered(1, last)
        for part, pid in killed.items():
            porter.wait_restarted(part, pid)
        scenario.wait_sessions(lab, porter)
        # What the routers kept as stale goes with End-of-RIB at the latest: the proof must last until then.
        outcomes.wait_end_of_rib(served.routers)
        scenario.serve(lab, f"after-{leader}", within_s=scenario.ROUTED_WITHIN_S)
    scenario.check_exact(lab)
