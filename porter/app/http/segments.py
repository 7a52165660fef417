"""The archive's segments as the HTTP API hands them out: listed with their digests, and one by one as they are."""

from __future__ import annotations

import asyncio
from hashlib import file_digest
from pathlib import Path

from porter.app.answer_json import Json
from porter.app.history.reading import NotThere
from porter.journal.segment import SUFFIX, Segment, list_segments
from porter.journal.shelves import shelved, shelved_json


class UnknownSegment(NotThere):
    """There is no segment of that name."""


class SegmentsServed:
    """What is in a folder. A segment never changes, so that its digest is taken once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Segment] = {}
        self._digests: dict[str, str] = {}

    async def listing(self) -> list[Json]:
        """Every segment that can be opened, by where it ends.

        Raises:
            JournalError: the folder cannot be read.
        """
        return await asyncio.to_thread(self._list)

    async def path(self, name: str) -> Path:
        """The file of a segment.

        Raises:
            UnknownSegment: there is none of that name.
        """
        path = self._folder / name
        if Path(name).name != name or path.suffix != SUFFIX or not await asyncio.to_thread(path.is_file):
            raise UnknownSegment(f"name={name!r} is no segment of this archive; /v1/archive lists them")
        return path

    def _list(self) -> list[Json]:
        found, _ = list_segments(self._folder, self._known)
        self._known = {one.name: one for one in found}
        self._digests = {one.name: self._digests.get(one.name) or _digest(one.path) for one in found}
        return [shelved_json(shelved(one, self._digests[one.name])) for one in found]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
