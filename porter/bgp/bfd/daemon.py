"""Starting BIRD for BFD: the program, its command, and whether the machine lets it work."""

from __future__ import annotations

import errno
import os
import re
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
SINGLE_HOP_PORT, MULTIHOP_PORT = 3784, 4784
"""Where BFD is heard, by UDP (RFC 5881, section 4, and RFC 5883, section 5)."""
_WATCHED = re.compile(r"^  neighbor \S+ local (\S+) multihop (yes|no);$", re.MULTILINE)


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


class PortTaken(Exception):
    """Another program of this machine is asked for BFD at the same address; the message names the mend."""


def check_ports(configuration: str) -> None:
    """Look whether the addresses of a configuration (`porter.bgp.bfd.configuration.render`) are free for BFD.

    BIRD would bind them beside another one: the kernel then hands all packets to one of the two, and the paths of the
    other one go down, and its sessions of BGP with them.

    Raises:
        PortTaken: somebody is bound there.
    """
    for address, multihop in sorted(set(_WATCHED.findall(configuration))):
        port = MULTIHOP_PORT if multihop == "yes" else SINGLE_HOP_PORT
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise PortTaken(
                        f"another program has BFD's port {port} at {address}, such as the BIRD of a speaker or agent "
                        "on the same node, and only one would hear the router: have peers of one topology alone ask "
                        "for BFD, or keep speakers off the nodes of agents"
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
