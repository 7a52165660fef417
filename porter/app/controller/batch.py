"""A commit in the making."""

from __future__ import annotations

from dataclasses import dataclass, field

from porter.events.envelope import MAX_EVENTS_PER_COMMIT, Draft


@dataclass(slots=True)
class Batch:
    """What the leader has folded and not appended yet; `position` is that of the next event."""

    time_ms: int
    position: int
    drafts: list[Draft] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many more events the commit may take."""
        return MAX_EVENTS_PER_COMMIT - len(self.drafts)
