"""A speaker's readiness, as a file that a probe looks for: a speaker has no port (ADR 0012).

What waits for it is a rolling update: the next speaker is restarted when this one announces everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from porter.ports import Publisher

LOOK_INTERVAL_S = 0.5
PATIENCE_S = 60.0
"""For so long a session that does not come up keeps a speaker from being ready: a dead router must not stop an update
for ever."""

_log = structlog.get_logger(__name__)


async def announce_readiness(
    path: Path, publisher: Publisher, certain: Callable[[], bool], *, patience_s: float = PATIENCE_S
) -> None:
    """Write the file once the state is certain and every session has its routes; then return.

    Readiness does not end with a session or the journal: the Pod could do nothing about either, and everything that is
    announced stays.
    """
    began_s = time.monotonic()
    while True:
        behind = sorted(peer for peer, view in publisher.peers().items() if view.sync != "LIVE")
        if certain() and (not behind or time.monotonic() - began_s >= patience_s):
            break
        await asyncio.sleep(LOOK_INTERVAL_S)
    try:
        await asyncio.to_thread(path.touch, 0o644)
    except OSError as error:
        _log.error("the file that says ready cannot be written", path=str(path), reason=str(error))
        return
    _log.info("ready", sessions=len(publisher.peers()), without_routes=behind)


def forget_readiness(path: Path) -> None:
    """Take away what an earlier process left, before anything else is done."""
    path.unlink(missing_ok=True)
