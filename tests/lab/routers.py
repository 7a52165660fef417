"""Two routers of one lab: FRR and BIRD.

Both take BGP sessions from the whole fabric (IPv4 and IPv6 transport, AS ``plan.SPEAKER_AS``), receive ADD-PATH, help
with graceful restart, and write up to 64 next hops into their namespace's kernel. IPv6 routes come over the IPv4
session as well (multiprotocol BGP with IPv6 next hops, RFC 4760): one session carries both families.
"""

import contextlib
import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import plan, programs
from tests.lab.namespaces import CommandFailed, Namespace
from tests.lab.processes import Process
from tests.lab.routes import KernelRoutes
from tests.lab.run import FRR_SOCKETS, Run
from tests.lab.waiting import eventually

READY_TIMEOUT_S = 20.0
SESSION_TIMEOUT_S = 30.0
FLUSH_TIMEOUT_S = 10.0
MULTIPATH_MAX = 64
ESTABLISHED = "Established"
BFD_INTERVAL_MS = 200
BFD_MULTIPLIER = 5
"""A path counts as down after a second, which leaves a busy machine some room."""
_AWAITED = "passive on; graceful restart on;"


class Router(ABC):
    """A router with its kernel's routes (``kernel``) and the client behind it (``client``)."""

    def __init__(self, name: str, as_number: int, addresses: plan.Addresses, run: Run, namespace: Namespace) -> None:
        self.name = name
        self.as_number = as_number
        self.addresses = addresses
        self.namespace = namespace
        self.client_namespace: Namespace | None = None
        self.add_path = True
        self.bfd: tuple[str, ...] = ()
        self._run = run
        self._processes: list[Process] = []
        namespace.forward()
        self.kernel = KernelRoutes(name, namespace)
        run.on_close(self.kernel.close)

    @property
    def client(self) -> Namespace:
        """The namespace of the client behind this router."""
        assert self.client_namespace is not None, f"{self.name} has no client yet"
        return self.client_namespace

    @abstractmethod
    def start(self) -> None:
        """Start the router's programs; see ``wait_ready``."""

    @abstractmethod
    def wait_ready(self) -> None:
        """Wait until the router answers and takes sessions."""

    @abstractmethod
    def sessions(self) -> dict[str, str]:
        """The state of each session by the neighbour's address; "Established" is RFC 4271's."""

    @abstractmethod
    def rib(self, prefix: str) -> list[tuple[str, str]]:
        """The paths to a prefix in the router's own table, as (neighbour, next hop), sorted."""

    @abstractmethod
    def marked(self, prefix: str) -> list[tuple[str, str]]:
        """Those of the paths to an IPv4 prefix that carry GRACEFUL_SHUTDOWN (RFC 8326), as `rib` has them."""

    @abstractmethod
    def set_add_path(self, receive: bool) -> None:
        """Receive ADD-PATH (RFC 7911) or not; running sessions are reset."""

    @abstractmethod
    def set_bfd(self, *speakers: str) -> None:
        """Watch the paths to these speakers alone, and end sessions whose path BFD finds down."""

    @abstractmethod
    def bfd_up(self) -> set[str]:
        """The neighbours whose path BFD finds up."""

    def restart(self) -> None:
        """SIGKILL and start again, as after a power cut: neither the new process nor the kernel has a route.

        Zebra would take over what the kernel has, but for some routes through next hops that it no longer knows; those
        would stay for ever (FRR 8.4, seen after restarts among many changes).
        """
        self.kill()
        for prefix in self.bgp_prefixes():
            self.namespace.remove_route(prefix)
        self.start()
        self.wait_ready()

    @abstractmethod
    def restart_gracefully(self) -> None:
        """SIGKILL the BGP daemon and start it as one that restarts (RFC 4724): the kernel keeps its routes."""

    @abstractmethod
    def table(self) -> dict[str, frozenset[str]]:
        """Every prefix in the router's own table with its next hops; what is only kept as stale does not count."""

    def stop(self) -> None:
        """End the router; it closes its sessions and takes its routes out of the kernel."""
        for process in reversed(self._processes):
            process.stop()

    def kill(self) -> None:
        """SIGKILL all of the router's programs; what they wrote into the kernel stays until they start again."""
        for process in reversed(self._processes):
            process.kill()

    def pause(self) -> None:
        """SIGSTOP: sessions stay open and nothing is answered."""
        for process in self._processes:
            process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        for process in self._processes:
            process.resume()

    def established(self) -> set[str]:
        """The neighbours whose session is up."""
        return {address for address, state in self.sessions().items() if state == ESTABLISHED}

    def wait_sessions(self, addresses: set[str], timeout_s: float = SESSION_TIMEOUT_S) -> None:
        """Wait until the sessions that are up are exactly these."""
        eventually(lambda: self.established() == addresses, f"{self.name}: sessions with {addresses}", timeout_s)

    def bgp_prefixes(self) -> set[str]:
        """The prefixes in the kernel that no interface and no test put there."""
        return {prefix for prefix, hops in self.kernel.look().items() if prefix not in self._own and hops}

    def flush(self) -> None:
        """Forget every session and route, stale ones too, and wait until the kernel has none of them.

        Routes kept for a restarting neighbour would otherwise outlive the test that made them.
        """
        if self.sessions() or self.bgp_prefixes():
            self.stop()
            self.start()
            self.wait_ready()
        eventually(lambda: not self.bgp_prefixes(), f"{self.name}: no route left", FLUSH_TIMEOUT_S)

    def remember_own_routes(self) -> None:
        """Take what is in the kernel now as the routes that are there without BGP."""
        self._own = frozenset(self.kernel.look())

    _own: frozenset[str] = frozenset()


_BIRD_BFD = f"""protocol bfd {{
  interface "*" {{
    min rx interval {BFD_INTERVAL_MS} ms; min tx interval {BFD_INTERVAL_MS} ms; multiplier {BFD_MULTIPLIER};
  }};
}}"""
_FRR_BFD = f"""
bfd
 profile lab
  detect-multiplier {BFD_MULTIPLIER}
  receive-interval {BFD_INTERVAL_MS}
  transmit-interval {BFD_INTERVAL_MS}
"""


class Bird(Router):
    """BIRD 2: one dynamic protocol per range; ADD-PATH can be switched off by ``set_add_path``."""

    def __init__(self, run: Run, namespace: Namespace) -> None:
        super().__init__("bird", plan.BIRD_AS, plan.BIRD, run, namespace)
        self._folder = run.folder / "bird"
        self._folder.mkdir()
        self._socket = self._folder / "bird.ctl"
        self._configuration = self._folder / "bird.conf"
        self._speakers_as = plan.SPEAKER_AS
        self._awaited: set[str] = set()
        self._extended_next_hops = False

    def start(self) -> None:
        self._awaited = set()
        self._start()

    def _start(self) -> None:
        self._configuration.write_text(self._configured())
        if not self._processes:
            argv: list[str | Path] = [programs.find("bird"), "-f", "-c", self._configuration, "-s", self._socket]
            self._processes = [self._run.process("bird", argv, self.namespace)]
        else:
            self._processes[0].start()

    def wait_ready(self) -> None:
        self._processes[0].wait_ready(lambda: _succeeds(lambda: self.birdc("show status")), "birdc", READY_TIMEOUT_S)

    def sessions(self) -> dict[str, str]:
        found = {}
        for block in self.birdc("show protocols all").split("\n\n"):
            state = re.search(r"BGP state:\s+(\S+)", block)
            neighbor = re.search(r"Neighbor address:\s+([0-9a-fA-F.:]+)$", block, re.MULTILINE)
            if state and neighbor:
                found[neighbor[1]] = state[1]
        return found

    def restart_gracefully(self) -> None:
        # A restarted BIRD keeps its routes for the neighbours that it is told of by name, not for a range of them. One
        # whose session is down at this moment, because it restarts as well, is no less awaited.
        with contextlib.suppress(CommandFailed):
            self._awaited |= self.sessions().keys()
        [process] = self._processes
        process.kill()
        process.argv.append("-R")
        try:
            self._start()
        finally:
            process.argv.remove("-R")
        self.wait_ready()

    def table(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        prefix = ""
        for line in self.birdc("show route where source = RTS_BGP all").splitlines():
            if start := re.match(r"([0-9a-f.:]+/\d+)\s", line):
                prefix = start[1]
            if next_hop := re.search(r"BGP\.next_hop: (\S+)", line):
                found.setdefault(prefix, set()).add(next_hop[1])
        return {prefix: frozenset(hops) for prefix, hops in found.items()}

    def rib(self, prefix: str) -> list[tuple[str, str]]:
        return sorted(path for path, _ in self._paths(prefix))

    def marked(self, prefix: str) -> list[tuple[str, str]]:
        return sorted(path for path, communities in self._paths(prefix) if "(65535,0)" in communities)

    def _paths(self, prefix: str) -> list[tuple[tuple[str, str], str]]:
        """Each path as (neighbour, next hop), with its communities as BIRD writes them."""
        paths: list[tuple[tuple[str, str], str]] = []
        neighbour = ""
        for line in self.birdc(f"show route for {prefix} all").splitlines():
            if source := re.search(r"\[\S+ \S+(?: from ([0-9a-f.:]+))?\]", line):
                neighbour = source[1]
            if next_hop := re.search(r"BGP\.next_hop: (\S+)", line):
                # BIRD leaves a neighbour out that is the next hop itself.
                paths.append(((neighbour or next_hop[1], next_hop[1]), ""))
            if (communities := re.search(r"BGP\.community: (.*)", line)) and paths:
                paths[-1] = (paths[-1][0], communities[1])
        return paths

    def set_add_path(self, receive: bool) -> None:
        self.add_path = receive
        self._configuration.write_text(self._configured())
        self.birdc("configure")

    def set_bfd(self, *speakers: str) -> None:
        self.bfd = speakers
        self._configuration.write_text(self._configured())
        self.birdc("configure")

    def bfd_up(self) -> set[str]:
        if not self.bfd:
            return set()
        return set(re.findall(r"^([0-9a-fA-F.:]+)\s+\S+\s+Up\s", self.birdc("show bfd sessions"), re.MULTILINE))

    @contextlib.contextmanager
    def renumbered(self, own_as: int, speakers_as: int) -> Iterator[None]:
        """Have other AS numbers for the length of a block, which ends every session at both of its ends."""
        before = self.as_number, self._speakers_as
        self.as_number, self._speakers_as = own_as, speakers_as
        self._configuration.write_text(self._configured())
        self.birdc("configure")
        try:
            yield
        finally:
            self.as_number, self._speakers_as = before
            self._configuration.write_text(self._configured())
            self.birdc("configure")

    @contextlib.contextmanager
    def extended_next_hops(self) -> Iterator[None]:
        """Take IPv6 next hops of IPv4 routes (RFC 8950) for the length of a block; BIRD begins its sessions anew."""
        self._reconfigure(extended_next_hops=True)
        try:
            yield
        finally:
            self._reconfigure(extended_next_hops=False)

    def _reconfigure(self, *, extended_next_hops: bool) -> None:
        self._extended_next_hops = extended_next_hops
        self._configuration.write_text(self._configured())
        self.birdc("configure")

    def birdc(self, command: str) -> str:
        """One command of birdc, and its output. Raises CommandFailed."""
        return self.namespace.run(programs.find("birdc"), "-s", self._socket, *command.split())

    def _configured(self) -> str:
        channel = f"import all; export none;{' add paths rx;' if self.add_path else ''}"
        # A restarting BIRD waits for each protocol that knows of graceful restart, in vain for one of a range.
        ranged = f"graceful restart {'off' if self._awaited else 'aware'};"
        speakers = "\n".join(
            f"""
            protocol bgp {name} {{
              local {own} as {self.as_number};
              neighbor {neighbour} as {self._speakers_as};
              {how}
              direct;
              # After an error BIRD refuses sessions for a minute by default, and for up to five.
              error wait time 1, 5;
              bfd {"on" if self.bfd else "off"};
              ipv4 {{ {channel} {"extended next hop on;" if self._extended_next_hops else ""} }};
              ipv6 {{ {channel} }};
            }}"""
            for name, own, neighbour, how in (
                ("speaker4", self.addresses.v4, f"range {plan.FABRIC4}", f'dynamic name "speaker4_"; {ranged}'),
                ("speaker6", self.addresses.v6, f"range {plan.FABRIC6}", f'dynamic name "speaker6_"; {ranged}'),
                *(
                    (f"awaited{number}", self.addresses[":" in address], address, _AWAITED)
                    for number, address in enumerate(sorted(self._awaited))
                ),
            )
        )
        kernels = "\n".join(
            f"""
            protocol kernel kernel{family} {{
              ipv{family} {{ import none; export where source = RTS_BGP; }};
              merge paths on limit {MULTIPATH_MAX};
              graceful restart on;
            }}"""
            for family in (4, 6)
        )
        return f"""
            log stderr all;
            router id {self.addresses.v4};
            protocol device {{ scan time 5; }}
            {_BIRD_BFD if self.bfd else ""}
            {kernels}
            {speakers}
            """


class Frr(Router):
    """FRR: zebra and bgpd in a pathspace of the run's own."""

    # Without it zebra changes an IPv6 route by a deletion and an addition, about 70 us apart, for the sake of kernels
    # before 4.11: the router's own gap would look like a lost route.
    _OPTIONS = {"zebra": ["--v6-rr-semantics"], "bgpd": [], "bfdd": []}

    def __init__(self, run: Run, namespace: Namespace) -> None:
        super().__init__("frr", plan.FRR_AS, plan.FRR, run, namespace)
        self._folder = run.folder / "frr"
        self._folder.mkdir()
        self._sockets = FRR_SOCKETS / run.prefix
        self._bfdd: Process | None = None

    def start(self) -> None:
        # bgpd tries zebra once and then again after 10 s, so zebra's socket has to be there, and not an old one.
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._write()
        if not self._processes:
            names = ("zebra", "bgpd")
            self._processes = [
                Process(n, self._daemon(n), self.namespace, self._run.folder / f"{n}.log") for n in names
            ]
            self._run.processes += self._processes
        zebra, bgpd = self._processes
        zebra.start()
        zebra.wait_ready((self._sockets / "zserv.api").exists, "zserv.api", READY_TIMEOUT_S)
        bgpd.start()

    def wait_ready(self) -> None:
        self._processes[-1].wait_ready(self._is_whole, "bgpd is zebra's client", READY_TIMEOUT_S)

    def _is_whole(self) -> bool:
        try:
            self.vtysh("show bgp summary json")
            return bool(re.search(r"^bgp\b", self.vtysh("show zebra client summary"), re.MULTILINE))
        except CommandFailed:
            return False

    def sessions(self) -> dict[str, str]:
        found = {}
        for family in self._json("show bgp summary json").values():
            for address, peer in family.get("peers", {}).items():
                found[address] = peer["state"]
        return found

    def received(self, neighbour: str) -> int:
        """How many prefixes a neighbour sent, of both families; 0 for one without a session."""
        families = self._json("show bgp summary json").values()
        return sum(each["peers"][neighbour].get("pfxRcd", 0) for each in families if neighbour in each.get("peers", {}))

    def restart_gracefully(self) -> None:
        _, bgpd = self._processes
        bgpd.kill()
        bgpd.start()
        self.wait_ready()

    def table(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for family in ("ipv4", "ipv6"):
            for prefix, paths in self._json(f"show bgp {family} unicast json").get("routes", {}).items():
                hops = {_global(path["nexthops"]) for path in paths if not path.get("stale")}
                found[prefix] = frozenset(hops)
        return found

    def rib(self, prefix: str) -> list[tuple[str, str]]:
        family = "ipv6" if ":" in prefix else "ipv4"
        paths = self._json(f"show bgp {family} unicast {prefix} json").get("paths", [])
        return sorted((path["peer"]["peerId"], path["nexthops"][0]["ip"]) for path in paths)

    def marked(self, prefix: str) -> list[tuple[str, str]]:
        paths = self._json(f"show bgp ipv4 unicast {prefix} json").get("paths", [])
        return sorted(
            (path["peer"]["peerId"], path["nexthops"][0]["ip"])
            for path in paths
            if {"gracefulShutdown", "65535:0"}.intersection(path.get("community", {}).get("list", ()))
        )

    def set_add_path(self, receive: bool) -> None:
        self.add_path = receive
        word = "no neighbor" if receive else "neighbor"
        commands = ["configure terminal", f"router bgp {self.as_number}"]
        for family in ("ipv4", "ipv6"):
            commands += [
                f"address-family {family} unicast",
                f"{word} SPEAKERS disable-addpath-rx",
                "exit-address-family",
            ]
        self._write()
        self.vtysh(*commands)
        self.vtysh("clear bgp *")

    def set_bfd(self, *speakers: str) -> None:
        self.bfd = speakers
        # A neighbour is one by name or one of a range for as long as its session lasts.
        self.stop()
        self.start()
        self.wait_ready()
        if self._bfdd is not None:
            self._bfdd.stop()
        if speakers:
            if self._bfdd is None:
                self._bfdd = Process("bfdd", self._daemon("bfdd"), self.namespace, self._run.folder / "bfdd.log")
                self._run.processes.append(self._bfdd)
            self._bfdd.start()
            self._bfdd.wait_ready(lambda: _succeeds(lambda: self.vtysh("show bfd peers json")), "bfdd", READY_TIMEOUT_S)

    def bfd_up(self) -> set[str]:
        if not self.bfd:
            return set()
        peers = json.loads(self.vtysh("show bfd peers json") or "[]")
        return {peer["peer"] for peer in peers if peer.get("status") == "up"}

    def vtysh(self, *commands: str) -> str:
        """Commands of vtysh, and their output. Raises CommandFailed."""
        words = [word for command in commands for word in ("-c", command)]
        return self.namespace.run(programs.find("vtysh"), "-N", self._run.prefix, *words)

    def _json(self, command: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.vtysh(command) or "{}")
        return answer

    def _daemon(self, name: str) -> list[str | Path]:
        return [
            programs.find(name),
            "-N",
            self._run.prefix,
            "-f",
            self._folder / f"{name}.conf",
            "-i",
            self._sockets / f"{name}.pid",
            # The vty's TCP port is not needed: vtysh uses the socket.
            "-P",
            "0",
            "--log",
            "stdout",
            *self._OPTIONS[name],
        ]

    def _write(self) -> None:
        self._sockets.mkdir(parents=True, exist_ok=True)
        (self._folder / "zebra.conf").write_text("hostname frr\n")
        (self._folder / "bgpd.conf").write_text(self._configured())
        (self._folder / "bfdd.conf").write_text(_FRR_BFD)
        # FRR's daemons run as the user frr and do not start without these.
        for path in (self._sockets, self._folder, *self._folder.iterdir()):
            shutil.chown(path, "frr", "frr")

    def _configured(self) -> str:
        rx = "" if self.add_path else "neighbor SPEAKERS disable-addpath-rx"
        families = "\n".join(
            f"""
 address-family {family} unicast
  neighbor SPEAKERS activate
  {rx}
  maximum-paths {MULTIPATH_MAX}
 exit-address-family"""
            for family in ("ipv4", "ipv6")
        )
        named = "\n".join(f" {word}" for each in self.bfd for word in _frr_neighbor(each))
        return f"""
hostname frr
router bgp {self.as_number}
 bgp router-id {self.addresses.v4}
 no bgp ebgp-requires-policy
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp bestpath as-path multipath-relax
 neighbor SPEAKERS peer-group
 neighbor SPEAKERS remote-as {plan.SPEAKER_AS}
{named}
 bgp listen range {plan.FABRIC4} peer-group SPEAKERS
 bgp listen range {plan.FABRIC6} peer-group SPEAKERS
{families}
"""


def _frr_neighbor(address: str) -> tuple[str, ...]:
    """FRR 8.4 forgets the BFD of a neighbour of a range when its session ends: only named ones keep it."""
    return (
        f"neighbor {address} peer-group SPEAKERS",
        f"neighbor {address} passive",
        f"neighbor {address} bfd profile lab",
    )


def _global(next_hops: list[dict[str, str]]) -> str:
    """Of an IPv6 path's next hops the global one."""
    return next(hop["ip"] for hop in next_hops if hop.get("scope") != "link-local")


def _succeeds(command: Callable[[], object]) -> bool:
    try:
        command()
    except CommandFailed:
        return False
    return True
