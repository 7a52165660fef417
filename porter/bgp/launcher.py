"""Runs ExaBGP as its own program: TCP_NODELAY and TCP_SYNCNT on its sockets, no Restart State bit in its OPEN.

ExaBGP leaves Nagle's algorithm on for the connections that it opens. A fresh session's first updates then wait for the
peer's delayed acknowledgement of the ones before, some 40 ms each. What is told to ExaBGP is already batched, so that
there is nothing to gain by holding small segments back.

The kernel repeats an attempt to connect ever more rarely, for two minutes. A path that comes back meanwhile would wait
for the next repetition, so that an attempt is given up early, and ExaBGP makes a new one at once.

The Restart State bit (RFC 4724, section 3) asks the peer not to wait for our End-of-RIB. ExaBGP sets it in the first
OPEN of each process. A router that restarts gracefully itself then takes nothing of us into account: it ends its
restart at once, and takes our routes out of its kernel before we have sent them again (FRR 8.4 and BIRD 2.0 alike).
The bit is there so that two speakers do not wait for each other, and Porter waits for no router: it takes no routes.
What section 4.1 demands of a speaker that lost its routes is not so for this one, which has them all the time.

Run as `python porter/bgp/launcher.py ARGUMENTS...`, which takes ExaBGP's own arguments.
"""

import importlib
import runpy
import socket
import sys
from typing import Any

SYN_REPETITIONS = 2
"""An attempt then fails after 3 to 7 seconds, by the kernel's version."""


class PromptSocket(socket.socket):
    """A socket that sends small segments at once, if it is TCP."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, SYN_REPETITIONS)


def main() -> None:
    """Become ExaBGP."""
    socket.socket = PromptSocket  # type: ignore[misc]
    # The folder of this file must not shadow anything that ExaBGP imports.
    sys.path.pop(0)
    sys.argv[0] = "exabgp"
    graceful = importlib.import_module("exabgp.bgp.message.open.capability.graceful")
    graceful.Graceful.RESTART_STATE = 0x0
    runpy.run_module("exabgp", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
