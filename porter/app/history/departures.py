"""What the journal tells of a Service that is not there any more: when it went, and what it held."""

from __future__ import annotations

from collections.abc import Callable
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
    return (await departures(journal, service.__eq__, head)).get(service)


async def departures(journal: Journal, wanted: Callable[[str], bool], head: int) -> dict[str, Departed]:
    """How each wanted Service went the last time, by "namespace/name", as far as the newest events up to `head` tell.

    One that came back later is among them.

    Raises:
        JournalError: the journal could not be read.
    """
    found: dict[str, Departed] = {}
    begin = await journal.commit_at(max(1, head - LOOKED_THROUGH_MAX + 1))
    if begin is None:
        return found
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            for envelope in commit.events:
                event = envelope.payload
                if envelope.position > head or not isinstance(event, ServiceGone | AddressReleased):
                    continue
                service = f"{event.namespace}/{event.name}"
                if not wanted(service):
                    continue
                if isinstance(event, ServiceGone):
                    found[service] = Departed(envelope.position, envelope.time_ms, event.reason)
                elif service in found:
                    found[service] = found[service]._replace(held=(*found[service].held, event.address))
        if page and page[-1].last_position >= head:
            break
    return found
