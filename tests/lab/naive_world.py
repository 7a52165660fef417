"""The faults tried on ExaBGP driven naively, for the comparison in docs/reference/faults.md.

ExaBGP has graceful restart and ADD-PATH with both routers, its other settings are its own defaults, and a shell loop
starts it again after a second, as systemd would. ``naive_controller`` is its API process. In its favour there is
nothing to decide and nothing to store: Services get their addresses from the test.
"""

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import plan, scenario
from tests.lab.control_plane import ADMIN, token
from tests.lab.fault_world import ADDED_FROM, COMES_WITHIN_S, FLEET_SIZE, Consistency, World, differences
from tests.lab.faults import ROLLING, Fault, Spell
from tests.lab.lab import Lab
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process, end_pids, start_ticks
from tests.lab.scenario import Fleet
from tests.lab.waiting import NotInTime, eventually

CONTROLLER = Path(__file__).parent / "naive_controller.py"
PARTS = {"exabgp": b"exabgp\0server", "speaker": b"naive_controller.py"}
"""What the faults call its parts, and by which words in their command line they are found."""
RESTARTED_AFTER_S = 1
RESTARTED_WITHIN_S = 30.0
NEVER_S = float("inf")
HOLD_TIME_S = 90
RESTART_TIME_S = 120
FLEET_NUMBERS, OTHERS = range(10, 10 + FLEET_SIZE), range(10 + FLEET_SIZE, 255)
"""Which addresses the Services of the fleet have, and those that come and go."""


class NaiveSpeaker:
    """ExaBGP with the controller as its API process; the part of ``Porter`` that faults need."""

    name = "naive"

    def __init__(self, lab: Lab, namespace: Namespace) -> None:
        self.namespace = namespace
        self.address = plan.porter(1).v4
        self._run = lab.run
        folder = lab.run.folder / self.name
        folder.mkdir(exist_ok=True)
        settings = folder / "settings.json"
        nodes = {name: lab.cluster.nodes[name].addresses for name in lab.web_nodes}
        plane = lab.control_plane
        settings.write_text(
            json.dumps(
                {
                    "server": plane.address,
                    "port": plan.API_PORT,
                    "token": token(ADMIN),
                    "authority": str(plane.keys.certificate),
                    "nodes": nodes,
                }
            )
        )
        self._settings = settings
        self._routers = {router.addresses.v4: router.as_number for router in lab.routers}
        self._configuration = configuration = folder / "exabgp.conf"
        configuration.write_text(self._configured())
        # The shell would not hand on variables with dots in their names.
        variables = "exabgp.daemon.user=root exabgp.api.cli=false exabgp.log.level=WARNING"
        exabgp = f"env {variables} {sys.executable} -m exabgp server {configuration}"
        script = f"while :; do {exabgp}; sleep {RESTARTED_AFTER_S}; done"
        self.process = Process(self.name, ["sh", "-c", script], namespace, lab.run.folder / "naive.log")

    def start(self) -> None:
        """Start it; ``stop`` ends it."""
        if self.process not in self._run.processes:
            self._run.processes.append(self.process)
        self.process.start()

    def stop(self) -> None:
        """Kill all of it."""
        self.process.kill()
        end_pids(self.namespace.pids())

    def pids(self) -> dict[str, int]:
        """The pids of its parts."""
        found = {}
        for pid in self.namespace.pids():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            # The shell has ExaBGP's command line among its own words.
            found |= {part: pid for part, mark in PARTS.items() if mark in words and not words.startswith(b"sh\0")}
        return found

    def wait_restarted(self, part: str, killed: int) -> int:
        """Wait until a part that was killed has a new pid, and return that."""

        def new() -> int:
            pid = self.pids().get(part, killed)
            return pid if pid != killed and start_ticks(pid) is not None else 0

        return eventually(new, f"{part} starts again", RESTARTED_WITHIN_S)

    def peer_with(self, routers: dict[str, int]) -> None:
        """Write the configuration with more routers (address -> AS number), and have ExaBGP load it again."""
        self._configuration.write_text(self._configured(routers))
        os.kill(self.pids()["exabgp"], signal.SIGUSR1)

    def _configured(self, more: dict[str, int] | None = None) -> str:
        neighbours = "\n".join(
            f"""
neighbor {router} {{
  router-id {self.address};
  local-address {ADDED_FROM if ":" in router else self.address};
  local-as {plan.SPEAKER_AS};
  peer-as {as_number};
  hold-time {HOLD_TIME_S};
  family {{ ipv4 unicast; ipv6 unicast; }}
  capability {{ graceful-restart {RESTART_TIME_S}; add-path send; }}
  add-path {{ ipv4 unicast; ipv6 unicast; }}
  api {{ processes [ controller ]; }}
}}"""
            for router, as_number in (self._routers | (more or {})).items()
        )
        run = f"{sys.executable} -I -S {CONTROLLER} {self._settings}"
        return f"process controller {{\n  run {run};\n  encoder json;\n}}\n{neighbours}\n"


@dataclass
class NaiveWorld(World):
    """The naive speaker in the place of ``porter up``. It has no leader, no journal and no relay."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.chain(FLEET_NUMBERS, itertools.cycle(OTHERS)))

    def note_leader(self) -> None:
        """There is none."""

    def create(self, name: str) -> bool:
        """Create one more Service."""
        self.give(name, scenario.FAMILIES4)
        return True

    def give(self, name: str, families: tuple[str, ...]) -> list[str]:
        """Create a Service and give it addresses, which are returned."""
        number = next(self.numbers)
        addresses = {"IPv4": f"198.51.100.{number}", "IPv6": f"2001:db8:51::{number:x}"}
        scenario.create_web(self.lab, name, families=families)
        given = [addresses[family] for family in families]
        self.lab.cluster.set_ingress(name, given)
        return given

    def add_peer(self) -> None:
        """Announce to FRR by a second session, over IPv6."""
        self.naive.peer_with({self.lab.frr.addresses.v6: self.lab.frr.as_number})

    def remove_peer(self) -> None:
        """Take that session away."""
        self.naive.peer_with({})

    def wait_consistent(self) -> Consistency:
        """Desired, each router's RIB and its kernel are the same; a router that never comes there has ``NEVER_S``.

        What such a router lacks or has too much is mended before the next fault, by starting everything anew.
        """
        began_s = time.monotonic()
        found = Consistency()
        self.canaries += 1
        canary = f"canary-{self.canaries}"
        [address] = self.give(canary, scenario.FAMILIES4)
        waiting = {router.name: router for router in self.lab.routers}

        def consistent() -> bool:
            wanted = self.desired()
            for name, router in list(waiting.items()):
                if not differences(wanted, wanted, router):
                    found.router_s[name] = time.monotonic() - began_s
                    del waiting[name]
            return not waiting

        try:
            eventually(consistent, "desired = router = kernel", COMES_WITHIN_S)
            scenario.delete_service(self.lab, canary)
            scenario.wait_routed(self.lab, {scenario.host_prefix(address): ()}, COMES_WITHIN_S)
        except NotInTime:
            scenario.delete_service(self.lab, canary)
            # What is not waiting any more has the route of a Service that is gone.
            found.router_s |= dict.fromkeys(waiting or found.router_s, NEVER_S)
            self.begin_anew()
        return found

    def begin_anew(self) -> None:
        """Start the speaker and every router again, and wait for all routes."""
        self.naive.stop()
        for router in self.lab.routers:
            router.flush()
        self.naive.start()
        scenario.wait_sessions(self.lab, self.up)
        scenario.wait_routed(self.lab, self.fleet.expected, COMES_WITHIN_S)

    @property
    def naive(self) -> NaiveSpeaker:
        """The speaker by its own type."""
        assert isinstance(self.up, NaiveSpeaker)
        return self.up


@contextmanager
def _rolling(world: World, _: Spell) -> Iterator[None]:
    for part in PARTS:
        struck = world.signal_part(part, signal.SIGTERM)
        world.up.wait_restarted(part, struck)
    scenario.wait_sessions(world.lab, world.up)
    yield


ABSENT = ("relay", "controller", "Redis")
"""Faults of what the naive speaker has not."""


def counterpart(fault: Fault) -> Fault | None:
    """The same fault for the naive speaker, if there is one."""
    if fault is ROLLING:
        return Fault(fault.name, _rolling)
    return None if any(part in fault.name for part in ABSENT) else fault


@contextmanager
def naive_world_in(lab: Lab, size: int = FLEET_SIZE) -> Iterator[NaiveWorld]:
    """As many Services as faults are tried on, with the naive speaker; afterwards the lab is as it was."""
    naive = NaiveSpeaker(lab, lab.porter_namespace(1))
    world = NaiveWorld(lab, naive, naive, Fleet(lab), None)  # type: ignore[arg-type]
    try:
        naive.start()
        scenario.wait_sessions(lab, naive)  # type: ignore[arg-type]
        for number, families in enumerate(scenario.fleet_families(size)):
            name = f"fleet-{number:02}"
            world.fleet.addresses[name] = world.give(name, families)
        scenario.wait_routed(lab, world.fleet.expected, COMES_WITHIN_S)
        yield world
    finally:
        naive.stop()
        lab.reset()
