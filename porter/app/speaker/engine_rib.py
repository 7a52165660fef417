"""SIGUSR1 to a speaker: read every route that the engine holds, and write it beside the speaker's state.

What the speaker believes, and what its outcomes tell, is one thing; this is the engine's own word, for people who look
for a fault and for tests that prove that there is none.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import structlog

from porter.files import write_atomically
from porter.model.bgp import PathAttributes, PeerKey, RouteKey

_log = structlog.get_logger(__name__)


@runtime_checkable
class TellsRib(Protocol):
    """A publisher whose engine can be asked for its routes."""

    async def held(self) -> Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]:
        """Every route that the engine holds, by peer. Raises TimeoutError when the engine does not answer."""
        ...


async def serve(publisher: object, target: Path) -> None:
    """Answer each SIGUSR1 by a new file, until cancelled."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, asked.set)
    try:
        while True:
            await asked.wait()
            asked.clear()
            if not isinstance(publisher, TellsRib):
                _log.warning("this engine cannot be asked for its routes")
                continue
            await _write(publisher, target)
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


async def _write(publisher: TellsRib, target: Path) -> None:
    try:
        held = await publisher.held()
        ribs = {
            peer: sorted((key.prefix, key.path_id, attributes.next_hop) for key, attributes in rib.items())
            for peer, rib in held.items()
        }
        await asyncio.to_thread(write_atomically, target, msgspec.json.encode(ribs), durable=False)
    except (TimeoutError, OSError) as error:
        _log.warning("the engine's routes could not be written", reason=str(error) or "it does not answer")
    else:
        _log.info("the engine's routes are written", file=str(target), routes=sum(map(len, ribs.values())))
