"""The check of an archive: the one that a controller writes, or the one that a history is read through."""

from __future__ import annotations

import asyncio
from typing import Protocol

from porter.app.doctor import Check, ok, problem, warning
from porter.app.history.archived_streams import ArchivedStreams
from porter.events.envelope import GENESIS_HASH
from porter.journal.segment import list_segments
from porter.journal.shelves import FolderShelf
from porter.ports import JournalError

NAME = "archive"
COPY = (
    "copy the segments (*.pjs) that hold them from another controller's archive, or name that controller by "
    "--archive-peer (docs/operate/archive.md)"
)


class Held(Protocol):
    """`porter.app.retention.archiving.Standing`."""

    @property
    def position(self) -> int: ...
    @property
    def segments(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def lacks(self) -> str: ...


class Writer(Protocol):
    """`porter.app.retention.archiving.Archiver`, of which only this is asked."""

    @property
    def problem(self) -> str: ...
    @property
    def standing(self) -> Held: ...


def archive_check(archiver: Writer) -> Check:
    """What a controller says of the archive that it writes."""
    where, held = "controller's archive", archiver.standing
    if archiver.problem:
        return problem(NAME, where, archiver.problem, "runbook PorterArchiveFailing")
    if held.lacks:
        return warning(NAME, where, held.lacks, COPY)
    return ok(NAME, where, f"{held.segments} segments, {held.bytes} bytes, up to #{held.position}")


async def shelf_check(streams: ArchivedStreams) -> Check:
    """What an archive holds that a history is read through; `porter verify` reads all of it."""
    shelf = streams.shelf
    try:
        wrong: list[str] = []
        if isinstance(shelf, FolderShelf):
            _, wrong = await asyncio.to_thread(list_segments, shelf.folder)
        listing = await asyncio.to_thread(shelf.listing)
        run = await streams.journal().run()
    except JournalError as error:
        return problem(NAME, shelf.told, f"it cannot be read: {error}", "runbook PorterArchiveFailing")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return problem(NAME, shelf.told, f"{wrong[0]}{more}", "see `porter verify`, and restore it from a copy")
    if run.edge.position and not run.segments:
        message = f"no segment leads to #{run.edge.position}, behind which the journal begins"
        return warning(NAME, shelf.told, message, "name the archive of this journal, or " + COPY)
    earlier = [one for one in listing if run.segments and one.last < run.segments[0].first]
    if earlier and run.segments[0].previous_hash != GENESIS_HASH.hex():
        message = f"#{earlier[-1].last + 1} to #{run.segments[0].first - 1} are missing between its segments"
        return warning(NAME, shelf.told, message, COPY)
    return ok(NAME, shelf.told, f"{len(listing)} segments, {len(run.segments)} of which lead to the journal")
