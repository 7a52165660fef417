"""`porter export` and `porter import`: a cluster's history into a file, and back into an empty journal."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from porter.app.history.moments import Moment, position_of
from porter.app.history.reading import BadQuestion, NotThere
from porter.app.history.streams import Streams
from porter.app.history.time_travel import baseline_before
from porter.events.envelope import BEGINNING, Checkpoint
from porter.journal.chain import checkpoint_before
from porter.journal.export import ExportJournals
from porter.journal.export_writer import ExportWriter
from porter.journal.limits import Trim
from porter.journal.local import NOTHING_TRIMMED
from porter.journal.names import check_name
from porter.ports import Corrupt, Journal, JournalMissing


class Exported(NamedTuple):
    """What was written: first and last position, the file's digest, and how many speakers' streams."""

    first: int
    last: int
    digest: str
    speakers: int


EXPORT_BYTES_MAX = 256 * 1024 * 1024
"""What a controller holds of an export in its memory."""


async def export(
    streams: Streams, cluster: str, file: BinaryIO, since: Moment | None, *, max_bytes: int = 0
) -> Exported:
    """Write the journal, from the newest baseline before `since` or the first event that is kept, and every stream.

    `max_bytes` bounds the file; 0 is no bound.

    Raises:
        BadQuestion: nothing from which the state at `since` could be folded is kept, or the file becomes too large.
        JournalError: a stream could not be read.
    """
    journal = streams.journal()
    writer = ExportWriter(file, cluster)
    start = await _start(journal, since)
    head = await journal.head()
    assert head is not None, "a journal that has a start has a head"
    writer.begin("", head.genesis, _trim(start))
    await _copy(writer, journal, start, file, max_bytes)
    last = writer.position
    names = await streams.speakers()
    for name in names:
        stream = streams.speaker(name)
        told, first = await stream.head(), await stream.commit_at(1)
        if told is None or first is None:
            continue
        before = checkpoint_before(first)
        writer.begin(name, told.genesis, _trim(before))
        await _copy(writer, stream, BEGINNING, file, max_bytes)
    return Exported(start.position + 1, last, writer.finish(), len(names))


async def _start(journal: Journal, since: Moment | None) -> Checkpoint:
    first = await journal.commit_at(1)
    if first is None:
        raise JournalMissing("the journal is empty; there is nothing to export")
    if since is None:
        return checkpoint_before(first)
    position = await position_of(journal, since, "since")
    found = await baseline_before(journal, position)
    if found is not None:
        commit = await journal.commit_at(found.checkpoint.position)
        assert commit is not None, "a baseline that was found is there"
        return checkpoint_before(commit)
    if checkpoint_before(first) != BEGINNING:
        raise NotThere(f"since=#{position}: no baseline before it is kept, so that nothing could be told of it")
    return BEGINNING


def _trim(start: Checkpoint) -> Trim:
    return NOTHING_TRIMMED if start == BEGINNING else Trim(start.position, start.hash)


async def _copy(writer: ExportWriter, journal: Journal, start: Checkpoint, file: BinaryIO, max_bytes: int) -> None:
    async for page in journal.blobs(start):
        writer.add(page)
        if max_bytes and file.tell() > max_bytes:
            raise BadQuestion(
                f"the export takes more than {max_bytes >> 20} MiB; give a later --since, or read the journal and the "
                "archive yourself: --redis-url URL --archive DIR"
            )


def import_file(path: Path, redis_url: str, cluster: str) -> Exported:
    """Bring an export into an empty journal at a server.

    Raises:
        Corrupt: the file is none, was changed, or is not what `porter verify` takes for whole.
        JournalError: the server does not answer, or something is there already.
    """
    from porter.app.answers.verify import verify  # noqa: PLC0415 -- an export needs no client of the server.
    from porter.journal.restore import restore  # noqa: PLC0415

    exported = ExportJournals(path)
    for name in (cluster or exported.cluster, *(one.name for one in exported.sums if one.name)):
        try:
            check_name(name)
        except ValueError as error:
            raise Corrupt(f"{path}: {error}; give another --cluster name") from error
    problems = asyncio.run(verify(exported))["problems"]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise Corrupt(f"{path} is not whole, and nothing was imported: {problems[0]}{more}; see `porter verify --from`")
    asyncio.run(restore(redis_url, cluster or exported.cluster, exported))
    journal = exported.sums[0]
    trimmed = exported.trimmed("")
    return Exported(trimmed.position + 1, journal.position, exported.digest, len(exported.sums) - 1)


async def export_bytes(
    streams: Streams, cluster: str, since: Moment | None, *, redact: bool = False, max_bytes: int = 0
) -> tuple[Exported, bytes]:
    """`export` in memory, with pseudonyms where it is redacted.

    Raises:
        BadQuestion, JournalError: as `export`.
    """
    file = BytesIO()
    told = await export(streams, cluster, file, since, max_bytes=max_bytes)
    if not redact:
        return told, file.getvalue()
    from porter.app.incident.redact import redacted  # noqa: PLC0415 -- only this needs the tables of pseudonyms.

    digest, raw = redacted(ExportJournals.from_bytes(file.getvalue()))
    return told._replace(digest=digest), raw
