"""The lab routers of the demo: BIRD or GoBGP where installed, else a second ExaBGP that only listens.

Each listens on a loopback address and a port that needs no privilege, helps with graceful restart, takes several
paths of one prefix (ADD-PATH), and installs nothing in the kernel: its RIB is what the demo looks at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from porter.app.demo.listening_rib import ListeningRib
from porter.app.demo.world import OWN_AS, ROUTER_ADDRESS, ROUTER_AS, SPEAKER_ADDRESS
from porter.app.settings import InvalidSettings

Routes = dict[str, frozenset[str]]
"""The next hops of every prefix."""

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where distributions put daemons; a user's PATH often lacks it."""
START_TIMEOUT_S = 10.0
END_TIMEOUT_S = 3.0
RESTART_TIME_S = 120


class Router(Protocol):
    """One lab router."""

    name: str
    look_every_s: float

    async def start(self, directory: Path, port: int) -> None:
        """Start it in a directory of its own, listening on a port of `ROUTER_ADDRESS`."""
        ...

    async def routes(self) -> Routes:
        """What its RIB holds now."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


class _Daemon:
    """A child process that ends with this one, and writes its output into its directory."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, directory: Path, *command: str, **environment: str) -> None:
        with (directory / "output.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "porter.app.process", str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=directory,
                env={**os.environ, **environment},
            )

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_TIMEOUT_S)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class BirdRouter(_Daemon):
    """BIRD 2 (and 3), asked over its control socket."""

    name = "BIRD"
    look_every_s = 0.02

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program
        self._socket = Path()

    async def start(self, directory: Path, port: int) -> None:
        self._socket = directory / "bird.ctl"
        (directory / "bird.conf").write_text(
            f"log stderr all;\nrouter id {ROUTER_ADDRESS};\nprotocol device {{ }}\n"
            "protocol bgp porter {\n"
            f"  local {ROUTER_ADDRESS} port {port} as {ROUTER_AS};\n"
            f"  neighbor {SPEAKER_ADDRESS} as {OWN_AS};\n"
            "  multihop; passive; graceful restart aware; error wait time 1, 2;\n"
            "  ipv4 { import all; export none; add paths rx; };\n}\n"
        )
        await self.run(directory, self._program, "-f", "-c", "bird.conf", "-s", "bird.ctl", "-P", "bird.pid")
        await _until_answers(self)

    async def routes(self) -> Routes:
        return read_bird(await self._ask("show route all"))

    async def _ask(self, question: str) -> list[str]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            await reader.readline()
            writer.write(f"{question}\n".encode())
            lines = []
            while (line := (await reader.readline()).decode().rstrip("\n")) and not line.startswith("0000"):
                if line[:1] in "89":
                    raise OSError(f"BIRD refuses {question!r}: {line}")
                lines.append(line)
            return lines
        finally:
            writer.close()


class GobgpRouter(_Daemon):
    """GoBGP, asked by its command."""

    name = "GoBGP"
    look_every_s = 0.1

    def __init__(self, daemon: str, command: str) -> None:
        super().__init__()
        self._daemon = daemon
        self._command = command
        self._api_port = 0

    async def start(self, directory: Path, port: int) -> None:
        self._api_port = free_port("127.0.0.1")
        (directory / "gobgp.toml").write_text(
            f'[global.config]\nas = {ROUTER_AS}\nrouter-id = "{ROUTER_ADDRESS}"\nport = {port}\n'
            f'local-address-list = ["{ROUTER_ADDRESS}"]\n'
            f'[[neighbors]]\n[neighbors.config]\nneighbor-address = "{SPEAKER_ADDRESS}"\npeer-as = {OWN_AS}\n'
            f'[neighbors.transport.config]\npassive-mode = true\nlocal-address = "{ROUTER_ADDRESS}"\n'
            "[neighbors.timers.config]\nidle-hold-time-after-reset = 1\n"
            "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 4\n"
            f"[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = {RESTART_TIME_S}\n"
            '[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "ipv4-unicast"\n'
            "[neighbors.afi-safis.add-paths.config]\nreceive = true\n"
            "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n"
        )
        await self.run(directory, self._daemon, "-f", "gobgp.toml", "--api-hosts", f"127.0.0.1:{self._api_port}")
        await _until_answers(self)

    async def routes(self) -> Routes:
        asked = await asyncio.create_subprocess_exec(
            *(self._command, "-p", str(self._api_port), "global", "rib", "-j"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await asked.communicate()
        if asked.returncode != 0:
            raise OSError("gobgpd does not answer")
        found = {}
        for prefix, paths in (json.loads(output) or {}).items():
            attributes = [attribute for path in paths for attribute in path["attrs"]]
            found[prefix] = frozenset(each["nexthop"] for each in attributes if "nexthop" in each)
        return found


class ExabgpRouter(_Daemon):
    """A second ExaBGP that only listens and writes what it receives into a file, which is folded here."""

    name = "ExaBGP"
    look_every_s = 0.02

    def __init__(self) -> None:
        super().__init__()
        self._file = Path()
        self._offset = 0
        self._rib = ListeningRib()

    async def start(self, directory: Path, port: int) -> None:
        self._file = directory / "received.jsonl"
        self._file.touch()
        # With bs= dd writes each message as it comes. It takes the file for its standard output, so that the shell
        # around it has to keep the pipe open whose end would tell ExaBGP that its process died.
        (directory / "sink.sh").write_text(f"dd bs=64K of='{self._file}' oflag=append conv=notrunc status=none\n:\n")
        (directory / "router.conf").write_text(
            f"process sink {{\n  run /bin/sh {directory / 'sink.sh'};\n  encoder json;\n}}\n"
            f"neighbor {SPEAKER_ADDRESS} {{\n  local-address {ROUTER_ADDRESS};\n  router-id {ROUTER_ADDRESS};\n"
            f"  local-as {ROUTER_AS};\n  peer-as {OWN_AS};\n  passive;\n  listen {port};\n"
            f"  capability {{ graceful-restart {RESTART_TIME_S}; add-path receive; }}\n"
            "  add-path { ipv4 unicast; }\n  family { ipv4 unicast; }\n"
            "  api { processes [ sink ]; neighbor-changes; receive { parsed; update; } }\n}\n"
        )
        environment = {
            "exabgp.api.cli": "false",
            "exabgp.log.level": "WARNING",
            "exabgp.log.destination": "stdout",
            "exabgp.daemon.user": _own_user(),
        }
        await self.run(directory, sys.executable, "-m", "exabgp", "server", "router.conf", **environment)
        await _until_listens(port)

    async def routes(self) -> Routes:
        with self._file.open("rb") as received:
            received.seek(self._offset)
            for line in received:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._rib.feed(line.decode())
        return self._rib.routes()


def read_bird(lines: Iterable[str]) -> Routes:
    """Read BIRD's answer to `show route all`.

    `1007-203.0.113.1/32 ...` begins a prefix, `1012-\tBGP.next_hop: ...` is an attribute; a code that repeats is left
    out, as is a prefix that has several paths.
    """
    prefix, found = "", dict[str, set[str]]()
    for line in lines:
        text = line[5:] if line[:4].isdigit() else line[1:]
        word = text.split(" ", 1)[0]
        if "/" in word:
            prefix = word
        name, colon, value = text.strip().partition(": ")
        if colon and name == "BGP.next_hop":
            found.setdefault(prefix, set()).add(value.split()[0])
    return {prefix: frozenset(next_hops) for prefix, next_hops in found.items()}


def choose_router(wanted: str) -> Router:
    """The wanted router, or the first that is installed.

    Raises:
        InvalidSettings: no such router, or it is not installed.
    """
    bird, gobgpd, gobgp = (_find(program) for program in ("bird", "gobgpd", "gobgp"))
    if wanted not in ("", "bird", "gobgp", "exabgp"):
        raise InvalidSettings(f"--router {wanted!r} is unknown; choose bird, gobgp or exabgp")
    if wanted in ("", "bird") and bird:
        return BirdRouter(bird)
    if wanted in ("", "gobgp") and gobgpd and gobgp:
        return GobgpRouter(gobgpd, gobgp)
    if wanted in ("", "exabgp"):
        return ExabgpRouter()
    raise InvalidSettings(f"--router {wanted} is not installed; install it, or leave the choice to the demo")


def free_port(address: str) -> int:
    """A TCP port of a loopback address that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _find(program: str) -> str:
    return shutil.which(program) or shutil.which(program, path=SYSTEM_PATH) or ""


def _own_user() -> str:
    import pwd  # noqa: PLC0415 -- only this router needs it.

    return pwd.getpwuid(os.getuid()).pw_name


async def _until_answers(router: Router) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                await router.routes()
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return


async def _until_listens(port: int) -> None:
    """Wait until the port is taken, without connecting to it: a connection would look like a peer."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            with socket.socket() as probe:
                try:
                    probe.bind((ROUTER_ADDRESS, port))
                except OSError:
                    return
            await asyncio.sleep(0.02)
