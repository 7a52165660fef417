"""What the journal tells of a Service that is not there any more: when it went, and what it held."""

from __future__ import annotations

from typing import NamedTuple

from porter.events.decided import AddressReleased
from porter.events.observed import ServiceGone
from porter.journal.chain import checkpoint_before
from porter.model.address import Address
from porter.ports import Journal

LOOKED_THROUGH_MAX = 20_000
"""How many of the newest events are looked through: a question must not cost seconds."""


class Departed(NamedTuple):
    """The position and the time of the event by which a Service went, why, and the addresses that it released then."""

    position: int
    time_ms: int
    reason: str
    held: tuple[Address, ...] = ()


async def departure(journal: Journal, service: str, head: int) -> Departed | None:
    """How the Service "namespace/name" went, up to the position `head`; None where the newest events do not tell.

    Raises:
        JournalError: the journal could not be read.
    """
    begin = await journal.commit_at(max(1, head - LOOKED_THROUGH_MAX + 1))
    if begin is None:
        return None
    found: Departed | None = None
    about = f"service/{service}"
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            for envelope in commit.events:
                if envelope.position > head or envelope.aggregate != about:
                    continue
                event = envelope.payload
                if isinstance(event, ServiceGone):
                    found = Departed(envelope.position, envelope.time_ms, event.reason)
                elif isinstance(event, AddressReleased) and found is not None:
                    found = found._replace(held=(*found.held, event.address))
        if page and page[-1].last_position >= head:
            break
    return found
