"""What faults are tried on: two controllers, one speaker, two routers, many Services; and what must hold after each."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import manifests, plan, scenario
from tests.lab.client import ApiError
from tests.lab.evidence import JournalReader
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.routers import Router
from tests.lab.scenario import Fleet
from tests.lab.waiting import NotInTime, eventually

FLEET_SIZE = 200
USERS = ("porter", "porter-controller")
TAKEOVER_S = 8.0
"""A leader leads by then, once everything that it needs is there again."""
CONSISTENT_WITHIN_S = 5.0
"""Of a leader leading. Both hold on a machine that has its processors for itself."""
COMES_WITHIN_S = 20.0
OWN_LOAD = 3.0
"""The lab's own share of the load average: what is beyond it is other people's work, and stretches the bound."""
MAX_STRETCH = 4.0
"""Beyond this a machine is no place to measure on, and the test fails."""
ASKED_WITHIN_S = 10.0
REPORTED_MAX = 5
ADDED_PEER = "frr-again"
ADDED_FROM = plan.porter(1).v6
"""The speaker's own address of the session that ``add_peer`` makes."""

Table = dict[str, frozenset[str]]


@dataclass
class Consistency:
    """How long it took until everything agreed again, in seconds behind the moment at which the leader was seen."""

    leader_s: float = 0.0
    router_s: dict[str, float] = field(default_factory=dict)


@dataclass
class World:
    """``porter up`` with the one speaker, a second controller, and the Services that nothing is done to."""

    lab: Lab
    up: Porter
    standby: Porter
    fleet: Fleet
    journal: JournalReader
    canaries: int = 0
    up_leads: bool = False

    def note_leader(self) -> None:
        """See whose controller claimed the newest epoch, while Redis is there to be asked: ``up_leads`` tells it."""
        self.up_leads = self.journal.leader() == self.up.name

    def signal_part(self, part: str, number: int) -> int:
        """Send a signal to a part of ``porter up`` that may just be starting again; the pid that had it."""

        def sent() -> int:
            pid = self.up.pids().get(part, 0)
            if pid:
                os.kill(pid, number)
            return pid

        return eventually(sent, f"{part} runs", ASKED_WITHIN_S, ignore=(ProcessLookupError,))

    def create(self, name: str) -> bool:
        """Create one more Service."""
        scenario.create_web(self.lab, name)
        return True

    def add_peer(self) -> None:
        """Announce to FRR by a second session, over IPv6."""
        frr = self.lab.frr
        self.lab.client.create(manifests.bgp_peer(ADDED_PEER, frr.addresses.v6, frr.as_number))

    def remove_peer(self) -> None:
        """Take that session away."""
        self.lab.client.delete("BgpPeer", ADDED_PEER)

    # What must hold

    def wait_consistent(self) -> Consistency:
        """Desired, ExaBGP's RIB, each router's RIB and its kernel are the same. Raises NotInTime with what differs.

        A new Service shows when a leader leads: its address is the leader's decision. The time runs from there.
        """
        began_s = time.monotonic()
        self.canaries += 1
        name = f"canary-{self.canaries}"
        refused = (OSError, ApiError)
        eventually(lambda: self.create(name), f"{name} is created", TAKEOVER_S, ignore=refused)
        [address] = self.lab.cluster.wait_ingress(name, timeout_s=stretched(TAKEOVER_S, "the takeover"))
        found = Consistency(leader_s=time.monotonic() - began_s)
        leads_s = time.monotonic()
        waiting = {router.name: router for router in self.lab.routers}
        differing: dict[str, object] = {}

        def consistent() -> bool:
            wanted, engine = self.desired(), self._engine()
            for name, router in list(waiting.items()):
                differing[name] = differences(wanted, engine.get(name, {}), router)
                if not differing[name]:
                    found.router_s[name] = time.monotonic() - leads_s
                    del waiting[name]
            return not waiting

        try:
            eventually(consistent, "desired = ExaBGP = router = kernel", COMES_WITHIN_S)
        except NotInTime as error:
            raise NotInTime(f"{error}: {differing}") from error
        finally:
            scenario.delete_service(self.lab, name)
        # The next fault finds all at rest.
        scenario.wait_routed(self.lab, {scenario.host_prefix(address): ()}, COMES_WITHIN_S)
        return found

    def desired(self) -> Table:
        """Each address that a Service holds, and the next hops that it should have."""
        held = [each for service in self.lab.client.list("Service", "default") for each in scenario.ingress_of(service)]
        assert len(held) == len(set(held)), f"an address has two owners: {sorted(held)}"
        return {prefix: frozenset(hops) for prefix, hops in scenario.expected_hops(self.lab, held).items()}

    def _engine(self) -> dict[str, Table]:
        """What ExaBGP holds for each peer, by its own word; nothing while the speaker or ExaBGP is not there."""
        told = self.up.state_dir / "engine-rib.json"
        told.unlink(missing_ok=True)
        pid = self.up.pids().get("speaker", 0)
        if not listens(pid, signal.SIGUSR1):
            return {}
        os.kill(pid, signal.SIGUSR1)
        try:
            eventually(told.exists, "ExaBGP's RIB is written", 1.0)
        except NotInTime:
            return {}
        ribs: dict[str, Table] = {}
        for peer, routes in json.loads(told.read_text()).items():
            table: dict[str, set[str]] = {}
            for prefix, _, next_hop in routes:
                table.setdefault(prefix, set()).add(next_hop)
            ribs[peer] = {prefix: frozenset(hops) for prefix, hops in table.items()}
        return ribs


def stretched(bound_s: float, what: str) -> float:
    """A bound of time on a machine with other work: longer by as much as it is overloaded, and said to be.

    Only waiting is stretched. What counts as a lost route never is.
    """
    load = os.getloadavg()[0]
    factor = min(max(1.0, load / OWN_LOAD), MAX_STRETCH)
    if factor > 1.0:
        print(f"bound of {what}: {bound_s * factor:.1f} s in place of {bound_s:.1f} s, at a load of {load:.1f}")
    return bound_s * factor


def check_in_time(consistency: Consistency) -> None:
    """Everything agreed in time."""
    bound_s = stretched(CONSISTENT_WITHIN_S, "consistency")
    longest_s = max(consistency.router_s.values())
    assert longest_s <= bound_s, f"consistent only after {longest_s:.2f} s, wanted: {bound_s:.2f} s"


def differences(wanted: Table, engine: Table, router: Router) -> dict[str, list[object]]:
    """Where a router, its kernel or ExaBGP differs from what is desired; empty if nowhere."""
    kernel = router.kernel.look()
    tables = {
        "ExaBGP": engine,
        "router": router.table(),
        "kernel": {prefix: kernel[prefix] for prefix in router.bgp_prefixes() if prefix in kernel},
    }
    return {
        place: [
            (prefix, sorted(table.get(prefix, ())), "instead of", sorted(wanted.get(prefix, ())))
            for prefix in sorted({prefix for prefix, _ in table.items() ^ wanted.items()})
        ][:REPORTED_MAX]
        for place, table in tables.items()
        if table != wanted
    }


def listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt); one that just starts would be killed by it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


@contextmanager
def world_in(lab: Lab, size: int = FLEET_SIZE, options: Sequence[str] = (), **peer: object) -> Iterator[World]:
    """Bring up what faults are tried on, in a lab that is up; afterwards the lab is as it was.

    ``options`` are for ``porter up``, ``peer`` is for the specs of both BgpPeers.
    """
    try:
        scenario.grant(lab, *USERS)
        scenario.configure(lab, **peer)
        journal = JournalReader(lab.redis)
        standby = lab.porter(2, command="controller", user=USERS[1]).start(wait=False)
        journal.wait_leader(standby.name, scenario.SETTLED_WITHIN_S)
        up = lab.porter(1, user=USERS[0], options=options).start()
        scenario.wait_sessions(lab, up)
        yield World(lab, up, standby, scenario.launch_fleet(lab, size), journal)
    finally:
        lab.reset()
