"""Histories that read through to an archive, or that are an archive alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from porter.app.history.streams import Streams
from porter.journal.archive import OPEN_NAME
from porter.journal.archived import ArchivedJournal
from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.file import FileStore
from porter.journal.local import LocalJournal
from porter.journal.shelves import FolderShelf, HttpShelf, Shelf
from porter.ports import Journal, JournalMissing


class ArchivedStreams:
    """Streams whose journal reads through to an archive."""

    def __init__(self, streams: Streams, shelf: Shelf) -> None:
        self.inner = streams
        self.shelf = shelf

    def journal(self) -> ArchivedJournal:
        """The cluster's journal, and what was trimmed from it."""
        return ArchivedJournal(self.inner.journal(), self.shelf)

    def speaker(self, name: str) -> Journal:
        """One speaker's stream of outcomes, which is bounded and not archived."""
        return self.inner.speaker(name)

    async def speakers(self) -> tuple[str, ...]:
        """The names of all speakers."""
        return await self.inner.speakers()

    async def close(self) -> None:
        """Close the streams, and remove what was fetched."""
        self.shelf.close()
        close = getattr(self.inner, "close", None)
        if close is not None:
            await close()


class _OpenSegment:
    """What an archive holds beside its sealed segments, as streams; it knows of no speaker."""

    def __init__(self, folder: Path) -> None:
        self._store = FileStore(folder / OPEN_NAME)

    def journal(self) -> Journal:
        return LocalJournal(self._store, writer="", clock=SYSTEM_CLOCK, max_bytes=0)

    def speaker(self, name: str) -> Journal:
        raise JournalMissing(f"an archive holds no stream of speaker {name}")

    async def speakers(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        self._store.close()


def shelf_of(place: str, token: Callable[[], str] = str) -> Shelf:
    """The shelf of an archive: a folder, or a controller as http://HOST:PORT, which is given a bearer token each time.

    Raises:
        JournalMissing: there is no such folder.
    """
    scheme, separator, address = place.partition("://")
    if separator and scheme == "http":
        return HttpShelf(address.rstrip("/"), token)
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise JournalMissing(f"{place} is no folder; name that of an archive, or a controller as http://HOST:PORT")
    return FolderShelf(folder)


def archive_alone(place: str, token: Callable[[], str] = str) -> tuple[ArchivedStreams, str]:
    """An archive as a history of its own, and the cluster's name; "" where no segment is sealed yet.

    Raises:
        JournalMissing: there is no archive in that folder.
    """
    shelf = shelf_of(place, token)
    listing = shelf.listing()
    cluster = shelf.segment(listing[-1]).cluster if listing else ""
    return ArchivedStreams(_OpenSegment(Path(place).expanduser()), shelf), cluster
