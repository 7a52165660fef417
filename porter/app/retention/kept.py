"""How a controller keeps its journal: the archive, what is trimmed, who signs; and the history that reads through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from porter.app.history.archived_streams import ArchivedStreams
from porter.app.history.streams import Streams
from porter.app.retention.archiving import Archiver
from porter.app.retention.filling import Bounds, Filling
from porter.app.retention.trimming import Retention
from porter.app.retention.upkeep import Keeping
from porter.app.settings import InvalidSettings, Settings
from porter.journal.archive import Archive
from porter.journal.shelves import FolderShelf
from porter.ports import Clock


@dataclass(frozen=True, slots=True)
class Kept:
    """What `keep` makes."""

    archiver: Archiver
    keeping: Keeping
    streams: ArchivedStreams
    filling: Filling | None = None

    def parts(self) -> Mapping[str, str]:
        """The archive's state for `/readyz`. Without it a controller does all its work, so that it is never unready."""
        problem = self.archiver.problem or (self.keeping.retention.problem if self.keeping.retention else "")
        lacks = self.archiver.standing.lacks
        told = [f"the journal is not trimmed: {problem}"] if problem else []
        told += [f"{lacks}; {self._others}"] if lacks else []
        return {"archive": f"ok, but {'; '.join(told)}" if told else "ok"}

    async def fill(self) -> None:
        """Take from other controllers what the archive lacks, until cancelled; ends where none is named."""
        if self.filling is not None:
            await self.filling.run()

    @property
    def _others(self) -> str:
        """What is known of the other controllers' archives."""
        if self.filling is None or not self.filling.peers:
            return "another controller's may hold them"
        return self.filling.problem or "no other controller's holds them yet"


def keep(settings: Settings, streams: Streams, clock: Clock) -> Kept:
    """The parts of these settings.

    Raises:
        InvalidSettings: the signing key cannot be used.
    """
    from porter.journal.signing import InvalidKey, Signer, load_signer, make_key  # noqa: PLC0415

    archive = Archive(settings.archive_directory, settings.cluster)
    archiver = Archiver(
        streams.journal(), archive, clock, keep_s=settings.archive_keep_s, max_bytes=settings.archive_max_bytes
    )
    retention = Retention(
        streams.journal(), archiver, clock, trim_bytes=settings.journal_trim_bytes, keep_s=settings.journal_keep_s
    )
    signer: Signer | None = None
    try:
        if settings.signing_key is not None:
            signer = load_signer(settings.signing_key)
        elif not settings.in_cluster:
            make_key(settings.own_signing_key)
            signer = load_signer(settings.own_signing_key)
    except InvalidKey as error:
        raise InvalidSettings(f"--signing-key: {error}") from error
    keeping = Keeping(retention, signer, settings.baseline_events)
    bounds = Bounds(settings.archive_keep_s, settings.archive_max_bytes)
    filling = Filling(archiver, settings.archive_peers, settings.token, clock, bounds)
    return Kept(archiver, keeping, ArchivedStreams(streams, FolderShelf(settings.archive_directory)), filling)
