"""How a long-running program of Porter begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Sequence

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends to this process when the thread that started it ends."""


class SupervisorGone(Exception):
    """The supervisor that this process belongs to has ended already."""


def end_with(supervisor: int) -> None:
    """Have the kernel send SIGTERM to this process when its supervisor, the parent of this pid, dies.

    A supervisor that is killed can tell nobody; without this, two controllers would run after the next start.

    Raises:
        SupervisorGone: it died before this was called.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != supervisor:
        raise SupervisorGone(f"the supervisor (pid {supervisor}) has ended")


def run_until_signalled(program: Coroutine[object, object, None]) -> None:
    """Run a program's coroutine; SIGTERM and SIGINT cancel it once, and it then ends as it sees fit."""

    async def guarded() -> None:
        task = asyncio.ensure_future(program)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(guarded())


def set_imports_aside() -> None:
    """Keep what the imports have built out of every later garbage collection.

    It is there to stay, and to walk it takes tens of milliseconds each time, in the middle of somebody's change.
    """
    gc.freeze()


def become_tied(arguments: Sequence[str]) -> None:
    """Become another program that ends with its parent: `PARENT_PID COMMAND ARGUMENT...`."""
    parent, *command = arguments
    end_with(int(parent))
    os.execvp(command[0], command)  # noqa: S606 -- the caller gives a command of its own making.


if __name__ == "__main__":
    become_tied(sys.argv[1:])
