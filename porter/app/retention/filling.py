"""A controller's archive takes from another controller's what it does not hold itself.

It was down while the leader trimmed, or its volume is new. From what its own commits link to, it goes back link by link
through the segments of the others, and takes those: each is read whole, and holds the very commit that is linked to, so
that nobody else's history gets in. Nothing is journaled of it, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, TypeVar

import structlog

from porter.app.retention.archiving import ArchiveFailed
from porter.events.envelope import Checkpoint
from porter.journal.archive import Archive
from porter.journal.archive_gaps import Link
from porter.journal.archived import linked, looking_into
from porter.journal.shelves import HttpShelf, Shelved
from porter.ports import Clock, JournalError

EVERY_S = 60.0
"""How often it looks whether something is missing that another archive holds."""
FIRST_S = 5.0
"""How long after the start for the first time, when the archive has taken what the journal holds; then less often."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Filled(Protocol):
    """`porter.app.retention.archiving.Archiver`, of which only this is used."""

    async def use(self, job: Callable[[Archive], T]) -> T:
        """Do something with the archive, beside nothing else."""
        ...


class Bounds(NamedTuple):
    """What is kept: what takes more, or is older, is not taken either. 0 is no bound."""

    keep_s: int = 0
    max_bytes: int = 0


class Filling:
    """Fills one archive. `problem` says why something is still missing, or is ""."""

    def __init__(
        self,
        archiver: Filled,
        peers: Sequence[str],
        token: Callable[[], str],
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        """`peers` are HOST:PORT; a name that has several addresses stands for all of them."""
        self.problem = ""
        self.taken = 0
        """How many segments were taken."""
        self.peers = tuple(peers)
        self._archiver = archiver
        self._token = token
        self._clock = clock
        self._bounds = bounds
        self._too_old = 0
        """What ends at or before this position is not kept."""

    async def run(self) -> None:
        """Fill until cancelled."""
        if not self.peers:
            return
        pause_s = FIRST_S
        while True:
            await asyncio.sleep(pause_s)
            await self.fill()
            pause_s = min(2 * pause_s, EVERY_S)

    async def fill(self) -> None:
        """Take all that is missing and can be had."""
        problems: list[str] = []
        try:
            for peer in self.peers:
                if await self._missing():
                    problems += await self._ask(peer)
            if not await self._missing():
                problems = []
        except ArchiveFailed as error:
            problems = [str(error)]
        problem = "; ".join(dict.fromkeys(problems))
        if problem and problem != self.problem:
            _log.warning("what this archive lacks could not be taken from another controller's", reason=problem)
        self.problem = problem

    async def _ask(self, peer: str) -> list[str]:
        """Take what is missing from each controller of a name; return what is wrong with them."""
        try:
            addresses = await asyncio.to_thread(_addresses, peer)
        except OSError as error:
            return [str(error)]
        problems: list[str] = []
        for address in addresses:
            if await self._missing():
                problems += await self._fill_from(address)
        return problems

    async def _missing(self) -> list[Link]:
        links = await self._archiver.use(Archive.loose)
        return [link for link in links if link.position > self._too_old]

    async def _fill_from(self, address: str) -> list[str]:
        """Take what one controller holds; return what is wrong with it."""
        folder = await self._archiver.use(lambda archive: archive.folder)
        with closing(HttpShelf(address, self._token, folder)) as shelf:
            try:
                listing = await asyncio.to_thread(shelf.listing)
                for link in await self._missing():
                    fitting = listing if link.inner else [one for one in listing if await self._fits(one)]
                    edge = Checkpoint(0, link.position, link.hash)
                    run = await asyncio.to_thread(linked, fitting, edge, looking_into(shelf))
                    for shelved in reversed(run):
                        wanted = await self._wanted(shelved)
                        if wanted is None or not await self._take(shelf, shelved, wanted):
                            break
            except (ArchiveFailed, JournalError, OSError) as error:
                # Another one's may be sound.
                return [str(error)]
        return []

    async def _wanted(self, shelved: Shelved) -> Link | None:
        """What is missing and a segment holds; None also where it is not to be kept."""
        # Before positions that were lost a segment ends earlier than what links to it says.
        links = [
            one
            for one in await self._missing()
            if shelved.first <= one.position <= shelved.last or shelved.last_hash == one.hash.hex()
        ]
        if links and not any(link.inner for link in links) and not await self._fits(shelved):
            return None
        return links[0] if links else None

    async def _fits(self, shelved: Shelved) -> bool:
        """Whether there is room without anything being deleted for it; for a gap the oldest is deleted."""
        taken = await self._archiver.use(lambda archive: archive.size_bytes)
        return not self._bounds.max_bytes or taken + shelved.bytes <= self._bounds.max_bytes

    async def _take(self, shelf: HttpShelf, shelved: Shelved, link: Link) -> bool:
        segment = await asyncio.to_thread(shelf.segment, shelved)
        keep_s = self._bounds.keep_s
        if keep_s and segment.last_ms < self._clock.wall_ms() - keep_s * 1000:
            self._too_old = max(self._too_old, segment.last.position)
            return False
        await self._archiver.use(lambda archive: archive.take_over(segment, link, shelf.told))
        shelf.let_go(shelved)
        self.taken += 1
        _log.info("the archive took what it lacked", first=shelved.first, last=shelved.last, origin=shelf.told)
        return True


def _addresses(peer: str) -> Sequence[str]:
    """Every address that a HOST:PORT has now.

    Raises:
        OSError: the name is not known; the message names it.
    """
    host, _, port = peer.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"{peer} cannot be looked up: {error}") from error
    places = dict.fromkeys(str(place[0]) for *_, place in found)
    return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in places]
