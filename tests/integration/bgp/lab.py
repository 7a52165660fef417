"""Real parts on loopback: ExaBGP under a small supervisor, and BIRD, GoBGP and FRR as routers on high ports."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from porter.bgp.backends.gobgp.keeper import Keeper
from porter.bgp.bfd.daemon import command as bfd_command
from porter.bgp.bfd.publisher import BfdPublisher, CuttingPublisher
from porter.bgp.bfd.watch import BfdWatch
from porter.bgp.canonical import WELL_KNOWN_COMMUNITIES
from porter.bgp.engine import exabgp_command, relay_pid, wait_for_configuration
from porter.bgp.publisher import ExaBgpPublisher
from porter.events.routed import SessionStateChanged
from porter.model.address import Address, Prefix, family_of
from porter.model.bgp import PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.ports import Desired

LOCAL_AS = 64500
PEER_AS = 64501
WAIT_S = 30.0
ASKED_AGAIN_S = 1.0

Table = dict[RouteKey, str]


class Received(NamedTuple):
    """The attributes of one path as a router has them; communities as numbers, sorted."""

    as_path: tuple[int, ...] = ()
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()


class SystemClock:
    """The clock of this machine."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


def key(prefix: str, next_hop: str = "") -> RouteKey:
    """A key under ADD-PATH: the path identifier is the next hop's number (its low 32 bits)."""
    path_id = int(ipaddress.ip_address(next_hop)) & 0xFFFFFFFF if next_hop else 0
    return RouteKey(Prefix(prefix), path_id)


def add_path_routes(prefixes: Sequence[str], next_hops: Sequence[str]) -> dict[RouteKey, PathAttributes]:
    return {
        key(prefix, hop): PathAttributes(Address(hop))
        for prefix in prefixes
        for hop in next_hops
        if family_of(Prefix(prefix)) == family_of(Address(hop))
    }


def expected(routes: dict[RouteKey, PathAttributes]) -> Table:
    return {key: str(attributes.next_hop) for key, attributes in routes.items()}


async def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.02)


class Engine:
    """ExaBGP as a supervisor keeps it: started once its configuration is there, and again whenever it ends."""

    def __init__(self, configuration: Path) -> None:
        self.configuration = configuration
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def run(self) -> None:
        command = exabgp_command(self.configuration)
        await wait_for_configuration(self.configuration)
        log = (self.configuration.parent / "exabgp.log").open("ab")
        while True:
            self.process = await asyncio.create_subprocess_exec(
                *command.arguments, env={**os.environ, **command.environment}, stdout=log, stderr=log
            )
            self.starts += 1
            try:
                await self.process.wait()
            except asyncio.CancelledError:
                await self._end(self.process)
                raise
            await asyncio.sleep(0.1)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """ExaBGP 5 ignores a signal that comes while it handles another, such as the one that has it reload."""
        while process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), ASKED_AGAIN_S)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def relay_pid(self) -> int | None:
        return relay_pid(self.pid)


class BfdDaemon:
    """The BIRD that runs BFD beside a speaker, as a supervisor keeps it."""

    def __init__(self, directory: Path) -> None:
        self.configuration = directory / "bfd.conf"
        self.control = directory / "bfd.sock"
        self.process: asyncio.subprocess.Process | None = None
        self.wanted = asyncio.Event()
        self.wanted.set()

    async def run(self) -> None:
        log = (self.configuration.parent / "bfd.log").open("ab")
        while True:
            await wait_for_configuration(self.configuration)
            await self.wanted.wait()
            self.process = await asyncio.create_subprocess_exec(
                *bfd_command(self.configuration, self.control), stdout=log, stderr=log
            )
            try:
                await self.process.wait()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
                raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()


class GoBgpEngine:
    """GoBGP's daemons as their keeper keeps them."""

    def __init__(self, directory: Path) -> None:
        self.keeper = Keeper(directory / "gobgp")
        self.directory = directory / "gobgp"

    async def run(self) -> None:
        await self.keeper.run()

    def pids(self) -> list[int]:
        return [int(file.read_text()) for file in sorted(self.directory.glob("*.pid"))]


class Speaker:
    """A publisher with the application's part: it desires again whenever a session was established."""

    def __init__(
        self, directory: Path, name: str = "speaker-0", engine: str = "exabgp", *, with_bfd: bool = False
    ) -> None:
        self.with_bfd = with_bfd
        self.directory = directory
        self.engine = engine
        self.name = name
        self.tasks: list[asyncio.Task] = []
        self.events: list = []
        self.routes: dict[PeerKey, dict[RouteKey, PathAttributes]] = {}
        self.certain = True
        self.position = 0
        self.heard = asyncio.Event()
        self.start()

    def start(self, **options) -> None:
        self.publisher = self.make_publisher(**options)
        self.tasks = [asyncio.create_task(self.publisher.run()), asyncio.create_task(self.follow())]

    def make_publisher(self, **options):
        publisher = self.make_engine(**options)
        if not self.with_bfd:
            return publisher
        watch = BfdWatch(self.name, self.directory / "bfd.conf", self.directory / "bfd.sock", SystemClock())
        return BfdPublisher(publisher, watch)

    def make_engine(self, **options) -> CuttingPublisher:
        if self.engine == "gobgp":
            from porter.bgp.backends.gobgp.publisher import GoBgpPublisher

            clock = SystemClock()
            return GoBgpPublisher(speaker=self.name, directory=self.directory / "gobgp", clock=clock, **options)
        return ExaBgpPublisher(
            speaker=self.name,
            socket_path=self.directory / "relay.sock",
            configuration_path=self.directory / "exabgp.conf",
            clock=SystemClock(),
            **options,
        )

    async def follow(self) -> None:
        while True:
            for event in await self.publisher.outcomes():
                self.events.append(event)
                self.heard.set()
                if isinstance(event, SessionStateChanged) and event.state == "Established":
                    self.desire(PeerKey(event.peer))

    async def told(self, kind: type, since: int) -> None:
        """Wait for an outcome of a kind, behind the first `since`."""
        while not any(isinstance(event, kind) for event in self.events[since:]):
            self.heard.clear()
            await self.heard.wait()

    def want(self, peer: str, routes: dict[RouteKey, PathAttributes], changed=None) -> None:
        self.routes[PeerKey(peer)] = routes
        self.desire(PeerKey(peer), changed)

    def desire(self, peer: PeerKey, changed=None) -> None:
        self.position += 1
        routes = self.routes.get(peer)
        if routes is not None:
            self.publisher.desire(Desired(peer, routes, self.position, self.certain, changed))

    def view(self, peer: str):
        return self.publisher.peers()[PeerKey(peer)]

    async def live(self, *peers: str, timeout_s: float = WAIT_S) -> None:
        def there() -> bool:
            views = self.publisher.peers()
            return all(views[PeerKey(peer)].sync == "LIVE" for peer in peers)

        await until(there, f"{peers} LIVE: {self.publisher.peers()}", timeout_s)

    async def crash(self) -> None:
        """End without a word, as a killed process does: the socket just closes."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Addresses:
    """Loopback addresses of this process' own, others for each test, so that suites can run side by side."""

    def __init__(self) -> None:
        self.second = 64 + os.getpid() % 128
        self.third = 0

    def __call__(self, number: int) -> str:
        return f"127.{self.second}.{self.third}.{number}"


ADDRESS = Addresses()


class Addresses6:
    """IPv6 addresses on loopback, which have to be put there one by one: root alone may do so."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def __call__(self, number: int) -> str:
        address = f"fd00:{ADDRESS.second:x}:{ADDRESS.third:x}::{number:x}"
        if address not in self.there:
            subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
            self.there.add(address)
        return address

    def remove(self) -> None:
        for address in self.there:
            subprocess.run(["ip", "address", "del", f"{address}/128", "dev", "lo"], check=False)
        self.there.clear()


ADDRESS6 = Addresses6()


def our_address(peer: str) -> str:
    """The speaker's address towards a peer."""
    return (ADDRESS6 if ":" in peer else ADDRESS)(1)


def addresses_of_a_test() -> None:
    """Take fresh addresses: a closed port of a former test may still be waiting for its last packets."""
    ADDRESS.third = (ADDRESS.third + 1) % 256


PORT = 11790


def settings(peer: str, address: str, local: str | None = None, **changes) -> SessionSettings:
    local = local or our_address(address)
    base = SessionSettings(
        peer=PeerKey(peer),
        peer_address=Address(address),
        peer_as=PEER_AS,
        local_as=LOCAL_AS,
        router_id=Address(ADDRESS(1)),
        local_address=Address(local),
        port=PORT,
    )
    return base._replace(**changes)


BFD_OF_A_ROUTER = """protocol bfd {
  strict bind yes; debug { states, events };
  multihop { min rx interval 100 ms; min tx interval 100 ms; multiplier 5; };
  %s
}
"""


class Router:
    """A router daemon of this test's own."""

    def __init__(self, directory: Path, name: str, address: str) -> None:
        self.directory = directory
        self.name = name
        self.address = address
        self.process: subprocess.Popen | None = None

    @property
    def router_id(self) -> str:
        """Its IPv4 address, or what stands for one."""
        return self.address if "." in self.address else ADDRESS(int(self.address.rpartition(":")[2], 16))

    @property
    def speaker(self) -> str:
        """The speaker's address towards it."""
        return our_address(self.address)

    def spawn(self, *arguments: str) -> None:
        log = (self.directory / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(arguments, stdout=log, stderr=log)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def table(self) -> Table:
        raise NotImplementedError

    def paths(self, prefix: str) -> dict[str, Received]:
        """The attributes of each path of a prefix, by its next hop."""
        raise NotImplementedError

    async def carries(self, prefix: str, wanted: dict[str, Received], timeout_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while (paths := self.paths(prefix)) != wanted:
            assert time.monotonic() < deadline, f"{self.name} has {prefix} as {paths}, not {wanted}"
            await asyncio.sleep(0.05)

    async def holds(self, routes: dict[RouteKey, PathAttributes] | Table, timeout_s: float = WAIT_S) -> None:
        wanted = {k: v if isinstance(v, str) else str(v.next_hop) for k, v in routes.items()}
        deadline = time.monotonic() + timeout_s
        while (table := self.table()) != wanted:
            if time.monotonic() > deadline:
                missing = {k: v for k, v in wanted.items() if table.get(k) != v}
                ghosts = {k: v for k, v in table.items() if k not in wanted}
                raise AssertionError(f"{self.name}: missing {missing}, ghosts {ghosts}")
            await asyncio.sleep(0.05)


class Bird(Router):
    """BIRD 2, without a kernel protocol: it only keeps the routes."""

    def start(
        self,
        *,
        add_path: bool = True,
        peers: Sequence[str] = (),
        own_as: int = PEER_AS,
        speaker_as: int = LOCAL_AS,
        password: str = "",
        calls: bool = False,
        ttl_security: bool = False,
        extended_next_hop: bool = False,
        bfd: bool = False,
    ) -> Bird:
        # Path identifiers are shown by `show route all` of newer releases only; the next hop stands for them.
        rx = "add paths rx;" if add_path else ""
        multihop = "" if own_as == speaker_as else "multihop 5;"
        if ttl_security:
            multihop = "multihop 2; ttl security on;"
        passive, port = ("off", f" port {PORT}") if calls else ("on", "")
        key = f'password "{password}";' if password else ""
        watched = "bfd on;" if bfd else ""
        extended = "extended next hop on;" if extended_next_hop else ""
        channels = f"ipv4 {{ import all; export none; {rx} {extended} }}; ipv6 {{ import all; export none; {rx} }};"
        protocols = "\n".join(
            f"""protocol bgp p{number} {{
  local {self.address} port {PORT} as {own_as}; neighbor {peer}{port} as {speaker_as};
  {multihop} {key} {watched} passive {passive}; strict bind on; graceful restart on; {channels}
  error wait time 1, 5; connect delay time 1; connect retry time 2;
}}"""
            for number, peer in enumerate(peers or [self.speaker])
        )
        text = f"router id {self.router_id};\nlog stderr all;\nprotocol device {{}}\n{protocols}\n"
        if bfd:
            text += BFD_OF_A_ROUTER % ""
        configuration = self.directory / f"{self.name}.conf"
        configuration.write_text(text)
        self.spawn(
            "bird",
            "-f",
            "-c",
            str(configuration),
            "-s",
            str(self.control),
            "-P",
            str(self.directory / f"{self.name}.pid"),
        )
        return self

    @property
    def control(self) -> Path:
        return self.directory / f"{self.name}.ctl"

    def command(self, *words: str) -> str:
        done = subprocess.run(["birdc", "-s", str(self.control), *words], capture_output=True, text=True, check=False)
        return done.stdout

    def table(self) -> Table:
        table: Table = {}
        prefix = ""
        self.add_path = "add paths" in (self.directory / f"{self.name}.conf").read_text()
        for line in self.command("show", "route", "all").splitlines():
            if found := re.match(r"(\S+/\d+)\s", line):
                prefix = found.group(1)
            if found := re.search(r"BGP\.next_hop: (\S+)", line):
                hop = found.group(1)
                table[key(prefix, hop if self.add_path else "")] = hop
        return table

    def paths(self, prefix: str) -> dict[str, Received]:
        found: dict[str, Received] = {}
        for block in re.split(r"\n(?=\S*\s+unicast|\S*\s+unreachable)", self.command("show", "route", "all", prefix)):
            fields = dict(re.findall(r"BGP\.(\w+): (.*)", block))
            if hop := fields.get("next_hop"):
                found[hop.strip()] = Received(
                    tuple(map(int, fields.get("as_path", "").split())),
                    int(fields["med"]) if "med" in fields else None,
                    int(fields["local_pref"]) if "local_pref" in fields else None,
                    _parenthesised(fields.get("community", "")),
                    _parenthesised(fields.get("large_community", "")),
                )
        return found

    def with_password(self, password: str) -> None:
        """Take another key for every session."""
        configuration = self.directory / f"{self.name}.conf"
        configuration.write_text(re.sub(r'password "[^"]*"', f'password "{password}"', configuration.read_text()))
        self.command("configure")

    def since(self) -> str:
        """Since when its session with the speaker is what it is."""
        lines = self.command("show", "protocols", "p0").splitlines()
        return next(line.split()[4] for line in lines if line.startswith("p0"))

    async def session(self, up: bool, number: int = 0) -> None:
        def there() -> bool:
            return ("Established" in self.command("show", "protocols", f"p{number}")) == up

        await until(there, f"{self.name} session {'up' if up else 'down'}")


class GoBgp(Router):
    """gobgpd 3."""

    def start(
        self,
        *,
        api_port: int,
        add_path: bool = True,
        peers: Sequence[str] = (),
        own_as: int = PEER_AS,
        speaker_as: int = LOCAL_AS,
        password: str = "",
        calls: bool = False,
        ttl_security: bool = False,
    ) -> GoBgp:
        self.api = f"{self.router_id}:{api_port}"
        self.api_port = api_port
        self.with_add_path = add_path
        families = "".join(
            f"""
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "{name}"
    [neighbors.afi-safis.add-paths.config]
      receive = {str(add_path).lower()}
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true"""
            for name in ("ipv4-unicast", "ipv6-unicast")
        )
        neighbors = "\n".join(
            f"""[[neighbors]]
  [neighbors.config]
    neighbor-address = "{peer}"
    peer-as = {speaker_as}
    auth-password = "{password}"
  [neighbors.ttl-security.config]
    enabled = {str(ttl_security).lower()}
    ttl-min = 255
  [neighbors.transport.config]
    passive-mode = {str(not calls).lower()}
    local-address = "{self.address}"
    remote-port = {PORT}
  [neighbors.timers.config]
    connect-retry = 2
  [neighbors.ebgp-multihop.config]
    enabled = {str(own_as != speaker_as and not ttl_security).lower()}
    multihop-ttl = 5
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 60
{families}"""
            for peer in peers or [self.speaker]
        )
        configuration = self.directory / f"{self.name}.toml"
        configuration.write_text(
            f"""[global.config]
  as = {own_as}
  router-id = "{self.router_id}"
  port = {PORT}
  local-address-list = ["{self.address}"]
{neighbors}
"""
        )
        self.spawn("gobgpd", "-f", str(configuration), "--api-hosts", self.api, "--log-plain", "--pprof-disable")
        return self

    def paths(self, prefix: str) -> dict[str, Received]:
        family = "ipv6" if ":" in prefix else "ipv4"
        done = subprocess.run(
            ["gobgp", "-u", self.router_id, "-p", str(self.api_port), "-j", "global", "rib", prefix, "-a", family],
            capture_output=True,
            text=True,
            check=False,
        )
        found: dict[str, Received] = {}
        with contextlib.suppress(json.JSONDecodeError):
            decoded = json.loads(done.stdout or "{}")
            paths = decoded if isinstance(decoded, list) else [path for each in decoded.values() for path in each]
            for path in paths:
                attributes = {one["type"]: one for one in path["attrs"]}
                hop = next(one["nexthop"] for one in path["attrs"] if "nexthop" in one)
                communities = attributes.get(8, {}).get("communities", ())
                large = attributes.get(32, {}).get("value", ())
                found[hop] = Received(
                    tuple(number for segment in attributes[2].get("as_paths") or () for number in segment["asns"]),
                    attributes.get(4, {}).get("metric"),
                    attributes.get(5, {}).get("value"),
                    tuple(sorted(f"{number >> 16}:{number & 0xFFFF}" for number in communities)),
                    tuple(sorted(f"{one['ASN']}:{one['LocalData1']}:{one['LocalData2']}" for one in large)),
                )
        return found

    def table(self) -> Table:
        table: Table = {}
        for family in ("ipv4", "ipv6"):
            done = subprocess.run(
                ["gobgp", "-u", self.router_id, "-p", str(self.api_port), "-j", "global", "rib", "-a", family],
                capture_output=True,
                text=True,
                check=False,
            )
            with contextlib.suppress(json.JSONDecodeError):
                for prefix, paths in json.loads(done.stdout or "{}").items():
                    for path in paths:
                        hop = next(a["nexthop"] for a in path["attrs"] if "nexthop" in a)
                        table[key(prefix, hop if self.with_add_path else "")] = hop
        return table


class Frr(Router):
    """FRR's bgpd alone, without zebra: every path stays in its table, reachable or not."""

    def start(
        self,
        *,
        peers: Sequence[str] = (),
        own_as: int = PEER_AS,
        speaker_as: int = LOCAL_AS,
        password: str = "",
        calls: bool = False,
        ttl_security: bool = False,
        extended_next_hop: bool = False,
    ) -> Frr:
        multihop, key = (
            [" neighbor {} ebgp-multihop 5"] * (own_as != speaker_as),
            [f" neighbor {{}} password {password}"],
        )
        if ttl_security:
            multihop = [" neighbor {} disable-connected-check", " neighbor {} ttl-security hops 1"]
        neighbors = [
            line
            for peer in peers or [self.speaker]
            for line in (
                f" neighbor {peer} remote-as {speaker_as}",
                f" neighbor {peer} port {PORT}" if calls else f" neighbor {peer} passive",
                f" neighbor {peer} update-source {self.address}",
                *(form.format(peer) for form in multihop + key * bool(password)),
                f" neighbor {peer} timers connect 1",
                *([f" neighbor {peer} capability extended-nexthop"] if extended_next_hop else []),
            )
        ]
        activated = [f"  neighbor {peer} activate" for peer in peers or [self.speaker]]
        configuration = self.directory / f"{self.name}.conf"
        configuration.write_text(
            "\n".join(
                [
                    f"router bgp {own_as}",
                    f" bgp router-id {self.router_id}",
                    " no bgp ebgp-requires-policy",
                    " bgp graceful-restart",
                    *neighbors,
                    " address-family ipv4 unicast",
                    *activated,
                    " exit-address-family",
                    " address-family ipv6 unicast",
                    *activated,
                    " exit-address-family",
                    "exit",
                    "",
                ]
            )
        )
        self.vty = self.directory / f"{self.name}.vty"
        self.vty.mkdir(exist_ok=True)
        self.spawn(
            "/usr/lib/frr/bgpd",
            "--skip_runas",
            "--no_zebra",
            "--listenon",
            self.address,
            "--bgp_port",
            str(PORT),
            "--vty_port",
            "0",
            "--vty_socket",
            str(self.vty),
            "--pid_file",
            str(self.directory / f"{self.name}.pid"),
            "--config_file",
            str(configuration),
            "--log",
            "stdout",
        )
        return self

    def vtysh(self, *commands: str) -> str:
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run(
            ["vtysh", "--vty_socket", str(self.vty), "-d", "bgpd", *words], capture_output=True, text=True, check=False
        )
        return done.stdout

    def paths(self, prefix: str) -> dict[str, Received]:
        family = "ipv6" if ":" in prefix else "ipv4"
        found: dict[str, Received] = {}
        with contextlib.suppress(json.JSONDecodeError):
            for path in json.loads(self.vtysh(f"show bgp {family} unicast {prefix} json") or "{}").get("paths", ()):
                hop = next(hop["ip"] for hop in path["nexthops"] if hop.get("scope", "global") == "global")
                words = path.get("community", {}).get("string", "").split()
                found[hop] = Received(
                    tuple(map(int, path["aspath"]["string"].replace("Local", "").split())),
                    path.get("metric"),
                    path.get("locPrf"),
                    tuple(sorted(WELL_KNOWN_COMMUNITIES.get(word, word) for word in words)),
                    tuple(sorted(path.get("largeCommunity", {}).get("string", "").split())),
                )
        return found

    def with_password(self, password: str, peer: str) -> None:
        """Take another key for the session with a peer."""
        self.vtysh("configure terminal", f"router bgp {PEER_AS}", f"neighbor {peer} password {password}")

    def table(self) -> Table:
        table: Table = {}
        for family in ("ipv4", "ipv6"):
            done = subprocess.run(
                ["vtysh", "--vty_socket", str(self.vty), "-d", "bgpd", "-c", f"show bgp {family} unicast json"],
                capture_output=True,
                text=True,
                check=False,
            )
            with contextlib.suppress(json.JSONDecodeError):
                for prefix, paths in json.loads(done.stdout or "{}").get("routes", {}).items():
                    for path in paths:
                        hop = next(hop["ip"] for hop in path["nexthops"] if hop.get("scope", "global") == "global")
                        table[key(prefix, hop)] = hop
        return table


def _parenthesised(text: str) -> tuple[str, ...]:
    """BIRD's `(64500,20) (65535,65281)` as `64500:20`, sorted."""
    return tuple(sorted(":".join(re.split(r",\s*", one)) for one in re.findall(r"\(([^)]*)\)", text)))


def programs(*names: str) -> list[str]:
    """The programs that are not there, looked for in PATH and where Debian's FRR keeps its daemons."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/frr"
    return [name for name in names if shutil.which(name, path=path) is None]
