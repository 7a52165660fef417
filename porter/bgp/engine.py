"""Starting ExaBGP: the command, its environment, and the configuration that it waits for."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from pathlib import Path
from typing import NamedTuple

import tenacity

from porter.bgp import launcher

CONFIGURATION_POLL_S = 0.05


class EngineCommand(NamedTuple):
    """How to start ExaBGP: `environment` is to be laid over the caller's own."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def environment() -> dict[str, str]:
    """ExaBGP's settings, as environment variables.

    `reactor.speed` of 0.1 makes it sleep 1 ms instead of 10 ms in each turn; below, it would spin. Its own command
    line's pipes, its listening socket and its change of user are switched off.
    """
    return {
        "exabgp.reactor.speed": "0.1",
        "exabgp.api.ack": "true",
        "exabgp.api.chunk": "200",
        "exabgp.api.cli": "false",
        "exabgp.api.encoder": "json",
        "exabgp.api.respawn": "true",
        "exabgp.daemon.daemonize": "false",
        "exabgp.daemon.user": _user_name(),
        "exabgp.log.destination": "stdout",
        "exabgp.log.level": "WARNING",
        "exabgp.tcp.bind": "",
        # A peer that takes the connection and says nothing is let go after so many seconds (60 by default).
        "exabgp.bgp.openwait": "20",
    }


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container's arbitrary uid has no name. ExaBGP only changes user when it is root.
        return "nobody"


def exabgp_command(configuration: Path) -> EngineCommand:
    """The command that runs ExaBGP in the foreground with a configuration that the speaker wrote."""
    return EngineCommand((sys.executable, launcher.__file__, "server", str(configuration)), environment())


async def wait_for_configuration(configuration: Path) -> None:
    """Wait until the speaker has written the configuration; ExaBGP does not start without one."""
    there = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(lambda found: not found), wait=tenacity.wait_fixed(CONFIGURATION_POLL_S)
    )
    await there(asyncio.to_thread, configuration.exists)


def relay_pid(engine_pid: int) -> int | None:
    """The pid of the relay that an ExaBGP process runs, or None (Linux only: it reads /proc)."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == engine_pid and b"relay" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except (OSError, IndexError, ValueError):
            continue
    return None
