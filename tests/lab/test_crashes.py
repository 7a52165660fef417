"""Crashes: each part is killed in turn while fifty Services are up. No route is lost, and new Services are served."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from porter.events.decided import AddressAllocated
from tests.lab import scenario
from tests.lab.evidence import JournalReader, PartLog, log_of, speaker_stream, writes_of
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

UP_USER = "porter"
STANDBY_USER = "porter-controller"
BURST_SIZE = 12
BURST_CREATORS = 4
STUCK_LOOKS = 5
FAILOVER_S = scenario.LEASE_S + scenario.ROUTED_WITHIN_S
FENCED_WITHIN_S = 5.0


@dataclass
class Pair:
    """``porter up`` with the one speaker, and a second controller; to the API server each is a user of its own."""

    lab: Lab
    up: Porter
    standby: Porter
    fleet: Fleet
    journal: JournalReader

    @property
    def routers(self) -> set[str]:
        """The names of both peers."""
        return {router.name for router in self.lab.routers}

    def leader(self) -> Porter:
        """The one whose controller leads."""
        return self.up if self.journal.leader() == self.up.name else self.standby

    def user_of(self, porter: Porter) -> str:
        """Who a controller is to the API server."""
        return UP_USER if porter is self.up else STANDBY_USER

    def controller_pid(self, porter: Porter) -> int:
        """The process of a controller."""
        return self.up.pids()["controller"] if porter is self.up else self.standby.process.pid

    def controller_log(self, porter: Porter) -> PartLog:
        """What a controller writes from now on."""
        return log_of(porter, "controller") if porter is self.up else PartLog(self.standby.process.log)


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Iterator[Pair]:
    """Two controllers, of which the one without a supervisor leads, one speaker, and fifty Services."""
    scenario.grant(lab, UP_USER, STANDBY_USER)
    scenario.configure(lab)
    journal = JournalReader(lab.redis)
    standby = lab.porter(2, command="controller", user=STANDBY_USER).start(wait=False)
    journal.wait_leader(standby.name, scenario.SETTLED_WITHIN_S)
    up = lab.porter(1, user=UP_USER).start()
    scenario.wait_sessions(lab, up)
    yield Pair(lab, up, standby, scenario.launch_fleet(lab), journal)
    lab.reset()


def test_leader_killed(pair: Pair) -> None:
    assert pair.journal.leader() == pair.standby.name
    with pair.fleet.undisturbed():
        pair.standby.process.kill()
        scenario.serve(pair.lab, "after-leader", within_s=FAILOVER_S)
        assert pair.journal.leader() == pair.up.name
        pair.standby.start()
        scenario.serve(pair.lab, "after-leader-return", within_s=scenario.ROUTED_WITHIN_S)
    assert pair.journal.leader() == pair.up.name


def test_supervised_leader_killed(pair: Pair) -> None:
    assert pair.journal.leader() == pair.up.name
    with pair.fleet.undisturbed():
        killed = pair.up.kill("controller")
        scenario.serve(pair.lab, "after-supervised-leader", within_s=FAILOVER_S)
        pair.up.wait_restarted("controller", killed)


@pytest.mark.parametrize("part", ["speaker", "relay"])
def test_part_killed(pair: Pair, part: str) -> None:
    with pair.fleet.undisturbed():
        killed = pair.up.kill(part)
        scenario.serve(pair.lab, f"after-{part}", within_s=scenario.ROUTED_WITHIN_S)
        pair.up.wait_restarted(part, killed)
        scenario.wait_ready(pair.up)


def test_exabgp_killed(pair: Pair) -> None:
    outcomes = JournalReader(pair.lab.redis, speaker_stream(pair.up.name))
    with pair.fleet.undisturbed():
        before = outcomes.position()
        killed = pair.up.kill("exabgp")
        scenario.serve(pair.lab, "after-exabgp", within_s=scenario.ROUTED_WITHIN_S)
        pair.up.wait_restarted("exabgp", killed)
        # What the routers kept as stale goes with End-of-RIB at the latest: the proof must last until then.
        outcomes.wait_end_of_rib(pair.routers, before)
        scenario.wait_ready(pair.up)


def test_speaker_and_exabgp_killed(pair: Pair) -> None:
    outcomes = JournalReader(pair.lab.redis, speaker_stream(pair.up.name))
    with pair.fleet.undisturbed():
        before = outcomes.position()
        killed = {part: pair.up.kill(part) for part in ("speaker", "exabgp")}
        scenario.serve(pair.lab, "after-both", within_s=scenario.SETTLED_WITHIN_S)
        for part, pid in killed.items():
            pair.up.wait_restarted(part, pid)
        outcomes.wait_end_of_rib(pair.routers, before)


def test_redis_killed(pair: Pair) -> None:
    with pair.fleet.undisturbed():
        pair.lab.redis.kill()
        scenario.create_web(pair.lab, "while-redis-is-away")
        pair.lab.redis.start()
        scenario.serve(pair.lab, "after-redis", within_s=scenario.ROUTED_WITHIN_S)
        [address] = pair.lab.cluster.wait_ingress("while-redis-is-away")
        scenario.wait_routed(pair.lab, scenario.expected_hops(pair.lab, [address]), scenario.ROUTED_WITHIN_S)


def test_nothing_changes_while_redis_is_away(pair: Pair) -> None:
    [leaving] = scenario.serve(pair.lab, "leaves-without-redis")
    prefix = scenario.host_prefix(leaving)
    log = pair.controller_log(pair.leader())
    with pair.fleet.undisturbed() as watch:
        watch.expect(prefix, pair.lab.next_hops())
        pair.lab.redis.kill()
        scenario.delete_service(pair.lab, "leaves-without-redis")
        scenario.create_web(pair.lab, "waits-for-redis")
        log.wait(("unavailable", "out of reach"), scenario.SETTLED_WITHIN_S)
        assert scenario.ingress_of(pair.lab.client.get("Service", "waits-for-redis")) == []
        watch.forget(prefix)
        pair.lab.redis.start()
        [address] = pair.lab.cluster.wait_ingress("waits-for-redis")
        routes = scenario.expected_hops(pair.lab, [address])
        # The freed address may be given at once to the one that waited.
        scenario.wait_routed(pair.lab, {prefix: (), **routes}, scenario.SETTLED_WITHIN_S)


def test_leader_stopped_past_its_lease_is_fenced_and_changes_nothing(pair: Pair) -> None:
    lab, journal = pair.lab, pair.journal
    old = pair.leader()
    new = pair.standby if old is pair.up else pair.up
    old_pid = pair.controller_pid(old)
    log = pair.controller_log(old)
    before = journal.position()
    with pair.fleet.undisturbed():
        stopped = stop_in_the_middle_of_work(pair, old_pid)
        try:
            journal.wait_leader(new.name, FAILOVER_S)
            for service in stopped:
                lab.cluster.wait_ingress(service)
            epoch = journal.commits()[-1].epoch
            resumed_s = time.time()
        finally:
            os.kill(old_pid, signal.SIGCONT)
        # The journal's answer FENCED to an append, and to nothing else, is told in these words.
        fenced = log.wait(("than this writer's",), FENCED_WITHIN_S)
        print(f"the deposed leader says: {fenced}")
        scenario.serve(lab, "after-fencing", within_s=scenario.ROUTED_WITHIN_S)
    changed = [
        (event["verb"], event["objectRef"].get("resource"), event["objectRef"].get("name"))
        for event in writes_of(lab.control_plane.audit_log, pair.user_of(old), resumed_s)
    ]
    assert changed == [], f"the deposed leader changed objects: {changed}"
    later = [commit for commit in journal.commits() if commit.last_position > before and commit.epoch >= epoch]
    assert {commit.writer for commit in later} == {new.name}
    allocated = [event.uid for event in journal.events(AddressAllocated, before)]
    assert len(allocated) == len(set(allocated)), "a Service got two addresses"


def stop_in_the_middle_of_work(pair: Pair, leader_pid: int) -> list[str]:
    """SIGSTOP the leader with an unanswered append, a status behind it and facts in its memory; the Services' names.

    While the journal's server stands still, the first Service's append waits for its answer, and with it the status;
    the facts about the others gather. Not for long: a leader whose journal is away gives up, and is another test.
    """
    lab, journal = pair.lab, pair.journal
    names = [f"waiting-{number:02}" for number in range(BURST_SIZE)]
    before = journal.position()
    server = lab.redis.process
    assert server is not None
    server.pause()
    try:
        scenario.create_web(lab, names[0])
        with ThreadPoolExecutor(BURST_CREATORS) as creators:
            list(creators.map(lambda name: scenario.create_web(lab, name), names[1:]))
        wait_stuck(leader_pid)
        os.kill(leader_pid, signal.SIGSTOP)
    finally:
        server.resume()
    # The append that was on its way is still executed; nobody has written yet what follows from it.
    statuses = eventually(lambda: unwritten(pair, before), "a durable allocation waits for its status", 5.0)
    facts = set(names) - {event.name for event in journal.events(AddressAllocated, before)}
    print(f"stopped with {len(statuses)} statuses and {len(facts)} facts waiting")
    assert facts, "no fact was waiting"
    return names


def wait_stuck(pid: int) -> None:
    """Wait until a process uses no more time of a processor: all that it could do without an answer is done."""
    seen: list[int] = []

    def stuck() -> bool:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seen.append(int(fields[11]) + int(fields[12]))
        return len(seen) > STUCK_LOOKS and seen[-1] == seen[-STUCK_LOOKS]

    eventually(stuck, f"pid {pid} waits for its servers", 1.5)


def unwritten(pair: Pair, after: int) -> set[str]:
    """The Services whose address is durable, but not in their status."""
    services = pair.lab.client.list("Service", "default")
    without = {each["metadata"]["name"] for each in services if not scenario.ingress_of(each)}
    return without & {event.name for event in pair.journal.events(AddressAllocated, after)}
