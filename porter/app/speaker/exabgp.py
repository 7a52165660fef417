"""The ExaBGP beside a speaker: waits for the configuration that the speaker writes, then becomes ExaBGP.

It is its own program, so that ExaBGP and its sessions outlive a speaker that restarts; by executing ExaBGP in place
it keeps its pid, and whoever supervises it supervises ExaBGP itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import structlog

from porter.app.settings import Settings
from porter.bgp.backends.gobgp.keeper import Keeper
from porter.bgp.engine import exabgp_command, wait_for_configuration

TELL_AFTER_S = 10.0

_log = structlog.get_logger(__name__)


def become_exabgp(settings: Settings) -> None:
    """Wait until there is a configuration, then replace this process by ExaBGP; returns never."""
    # GoBGP may have been the engine before: a daemon that a killed keeper left would go on holding its session.
    Keeper(settings.gobgp_directory).end()
    asyncio.run(_wait(settings))
    arguments, environment = exabgp_command(settings.engine_configuration)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(arguments[0], arguments, {**os.environ, **environment})  # noqa: S606 -- a command of our own making.


async def _wait(settings: Settings) -> None:
    waiting = asyncio.ensure_future(wait_for_configuration(settings.engine_configuration))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), TELL_AFTER_S)
    if not waiting.done():
        _log.info("waiting for the speaker to write the configuration", file=str(settings.engine_configuration))
    await waiting
