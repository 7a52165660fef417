"""A speaker driven by hand: ExaBGP alone, for tests of the lab itself and for the floor of measurements."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.lab import plan
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process, end_pids
from tests.lab.routers import Router
from tests.lab.run import Run

RESTART_TIME_S = 120
# ExaBGP's API process: what is written into the pipe are its commands; its answers are read and dropped,
# because ExaBGP stands still when nobody reads them.
RELAY = """#!/bin/sh
cat <&0 >/dev/null &
exec cat "$1"
"""


class HandSpeaker:
    """ExaBGP with a session to each router, ADD-PATH and graceful restart. End-of-RIB is sent by ``end_of_rib`` only.

    Its sessions run over the family of ``address``, and both families' routes go over either; with an IPv6 address it
    needs a ``router_id``.
    """

    def __init__(
        self,
        run: Run,
        namespace: Namespace,
        address: str,
        routers: Iterable[Router],
        name: str = "hand",
        *,
        router_id: str | None = None,
    ) -> None:
        self._run = run
        self._router_id = router_id or address
        self._over_ipv6 = ":" in address
        self.namespace = namespace
        self.address = address
        self._routers = list(routers)
        self._folder = run.folder / name
        self._folder.mkdir()
        self._pipe = self._folder / "commands"
        os.mkfifo(self._pipe)
        # Open for reading too, so that it neither blocks nor breaks while ExaBGP restarts.
        self._writer = os.open(self._pipe, os.O_RDWR)
        relay = self._folder / "relay"
        relay.write_text(RELAY)
        relay.chmod(0o755)
        configuration = self._folder / "exabgp.conf"
        configuration.write_text(self._configured(relay))
        environment = {
            "exabgp.daemon.user": "root",
            "exabgp.api.ack": "false",
            "exabgp.api.cli": "false",
            # 1 ms per turn of its loop instead of 10.
            "exabgp.reactor.speed": "0.1",
        }
        argv: list[str | Path] = [sys.executable, "-m", "exabgp", "server", configuration]
        self.process = Process(name, argv, namespace, run.folder / f"{name}.log", environment)

    def start(self) -> "HandSpeaker":
        """Start ExaBGP and wait for its session with every router."""
        if self.process not in self._run.processes:
            self._run.processes.append(self.process)
        self.process.start()
        for router in self._routers:
            router.wait_sessions(router.established() | {self.address})
        return self

    def command(self, *lines: str) -> None:
        """Give ExaBGP commands of its API."""
        os.write(self._writer, "".join(f"{line}\n" for line in lines).encode())

    def announce(self, prefix: str, next_hops: Iterable[str]) -> None:
        """Announce a prefix once per next hop; the path id is the last part of the next hop's address."""
        self.command(*(f"announce route {prefix} next-hop {hop} path-information {_path_id(hop)}" for hop in next_hops))

    def withdraw(self, prefix: str, next_hops: Iterable[str]) -> None:
        """Withdraw the paths of these next hops."""
        self.command(*(f"withdraw route {prefix} next-hop {hop} path-information {_path_id(hop)}" for hop in next_hops))

    def end_of_rib(self) -> None:
        """Send End-of-RIB for both families to every router."""
        self.command("announce eor ipv4 unicast", "announce eor ipv6 unicast")

    def kill(self) -> None:
        """SIGKILL ExaBGP, as a crash; its API process goes with it."""
        self.process.kill()
        end_pids(self.namespace.pids())

    def close(self) -> None:
        """End everything and forget it."""
        self.kill()
        os.close(self._writer)
        if self.process in self._run.processes:
            self._run.forget(self.process)
        shutil.rmtree(self._folder)

    def __enter__(self) -> "HandSpeaker":
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configured(self, relay: Path) -> str:
        neighbours = "\n".join(
            f"""
neighbor {router.addresses.v6 if self._over_ipv6 else router.addresses.v4} {{
  router-id {self._router_id};
  local-address {self.address};
  local-as {plan.SPEAKER_AS};
  peer-as {router.as_number};
  hold-time 90;
  manual-eor true;
  family {{ ipv4 unicast; ipv6 unicast; }}
  capability {{ graceful-restart {RESTART_TIME_S}; add-path send; route-refresh enable; }}
  add-path {{ ipv4 unicast; ipv6 unicast; }}
  api {{ processes [ hand ]; }}
}}"""
            for router in self._routers
        )
        return f"process hand {{\n  run {relay} {self._pipe};\n  encoder json;\n}}\n{neighbours}\n"


def _path_id(next_hop: str) -> str:
    return f"0.0.0.{next_hop.replace(':', '.').rpartition('.')[2]}"
