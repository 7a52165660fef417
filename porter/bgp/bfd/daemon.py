"""Starting BIRD for BFD: the program, its command, and whether the machine lets it work."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from porter.bgp.validation import complaint

PROGRAM = "bird"
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where distributions put it, which is not in every user's PATH."""
VALIDATION_TIMEOUT_S = 10.0
CONTROL_PRIORITY = 7
"""The priority of BIRD's packets in the machine's own queues, which it insists on."""


class ProgramMissing(Exception):
    """There is no BIRD on this machine; the message names the mend."""


class NotPermitted(Exception):
    """The kernel does not let this process run BFD as BIRD does; the message names the mend."""


def program() -> str:
    """Find BIRD.

    Raises:
        ProgramMissing: it is not installed.
    """
    found = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")
    if found is None:
        raise ProgramMissing("there is no program bird: install BIRD 2 (the package bird2) where the speaker runs")
    return found


def check_permission() -> None:
    """Try what BIRD does with each of its sockets.

    Raises:
        NotPermitted: it would fail, and no session of BFD would ever come up.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, CONTROL_PRIORITY)
        except PermissionError as error:
            raise NotPermitted(
                "BIRD may not give its packets their priority: BFD needs the capability NET_RAW "
                "(NET_ADMIN on kernels before 5.17), or root"
            ) from error


def command(configuration: Path, control: Path) -> tuple[str, ...]:
    """The command that runs BIRD in the foreground.

    Raises:
        ProgramMissing: it is not installed.
    """
    return program(), "-f", "-c", str(configuration), "-s", str(control)


async def validate(configuration: Path) -> str:
    """Have a separate BIRD parse a configuration; return "" or what it complained of.

    Raises:
        ProgramMissing: it is not installed.
    """
    return await complaint((program(), "-p", "-c", str(configuration)), "bird -p", timeout_s=VALIDATION_TIMEOUT_S)
