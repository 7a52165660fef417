"""A look from outside at a router that takes no connection: does its port answer at all?"""

from __future__ import annotations

import asyncio
import contextlib

from porter.bgp.attempts import Verdict
from porter.model.bgp import SessionSettings

ANSWER_TIMEOUT_S = 3.0


async def probe(settings: SessionSettings) -> Verdict:
    """Connect to a session's peer as the engine would, but for its password, and close at once."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                settings.peer_address, settings.port, local_addr=(settings.local_address, 0)
            )
    except ConnectionRefusedError:
        return Verdict.REFUSED
    except TimeoutError:
        return Verdict.SILENT
    except OSError:
        return Verdict.UNREACHABLE
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Verdict.ACCEPTED
