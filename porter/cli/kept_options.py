"""The options that say how a controller keeps its journal, as a group that its commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from porter.app.settings import DEFAULT_BASELINE_EVENTS, InvalidSettings
from porter.cli import options
from porter.cli.durations import keep_s, size_bytes


@dataclass(frozen=True, slots=True)
class KeptOptions:
    """Baselines, what is trimmed when, the archive, and the signing key."""

    baseline_events: options.BaselineEvents = DEFAULT_BASELINE_EVENTS
    journal_trim: options.JournalTrim = "512Mi"
    journal_keep: options.JournalKeep = "0"
    journal_max: options.JournalMax = "1Gi"
    archive_dir: options.ArchiveDir = None
    archive_max: options.ArchiveMax = "8Gi"
    archive_keep: options.ArchiveKeep = "0"
    archive_peer: options.ArchivePeer = None
    token_file: options.TokenFile = None
    signing_key: options.SigningKey = None

    def settings(self) -> dict[str, Any]:
        """The same as `porter.app.settings.Settings` takes it.

        Raises:
            InvalidSettings: a size or a duration is none, or the journal would be full before it is trimmed.
        """
        trim, full = size_bytes(self.journal_trim, "--journal-trim"), size_bytes(self.journal_max, "--journal-max")
        if trim and 0 < full <= trim:
            raise InvalidSettings(
                f"--journal-trim {self.journal_trim} is not below --journal-max {self.journal_max}: the journal would "
                "be full before it is trimmed; lower the one, or raise the other"
            )
        return {
            "baseline_events": self.baseline_events,
            "journal_trim_bytes": trim,
            "journal_keep_s": keep_s(self.journal_keep, "--journal-keep"),
            "journal_max_bytes": full,
            "archive_dir": self.archive_dir,
            "archive_max_bytes": size_bytes(self.archive_max, "--archive-max"),
            "archive_keep_s": keep_s(self.archive_keep, "--archive-keep"),
            "archive_peers": tuple(self.archive_peer or ()),
            "token_file": self.token_file,
            "signing_key": self.signing_key,
        }


KEPT = KeptOptions()
