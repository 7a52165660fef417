"""The journal about itself: who leads, what was lost, whether decisions may be made, and operators' actions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from porter.events.decided import EpochStarted, PathIdentifierAssigned, PositionsLost, SchemaActivated
from porter.projections.holds import Holds
from porter.projections.maintenance import Maintenance, SpeakerDrain

MAX_LOST_RANGES = 64
"""Most losses that are kept in the state; older ones stay in the journal alone."""


class WitnessedHead(NamedTuple):
    """The head of a speaker's stream as the leader last saw it; `hash` is hex."""

    epoch: int
    position: int
    hash: str


@dataclass(slots=True)
class Ledger:
    """The fold of everything that is not about an object of the API.

    `synced` holds from the first `InventorySynced` on, until positions are lost: only then absence means absence.
    `lost` are inclusive ranges of positions. `baseline_position` is that of the newest `BaselineRecorded`. `activated`
    are the types and versions that are written beside what every release reads.
    """

    genesis: str = ""
    epoch: int = 0
    position: int = 0
    time_ms: int = 0
    holder: str = ""
    epoch_started: int = 0
    recovering: bool = False
    synced: bool = False
    baseline_position: int = 0
    lost: tuple[tuple[int, int], ...] = ()
    witnessed: dict[str, WitnessedHead] = field(default_factory=dict)
    path_identifiers: dict[str, int] = field(default_factory=dict)
    highest_path_identifier: int = 0
    maintenance: Maintenance = field(default_factory=Maintenance)
    holds: Holds = field(default_factory=Holds)
    activated: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether anything may be allocated, released or withdrawn."""
        return self.synced and not self.recovering

    def fork(self) -> Ledger:
        """An independent copy."""
        return replace(
            self,
            witnessed=dict(self.witnessed),
            path_identifiers=dict(self.path_identifiers),
            maintenance=self.maintenance.fork(),
            holds=self.holds.fork(),
            activated=dict(self.activated),
        )

    def epoch_starts(self, event: EpochStarted, position: int) -> None:
        """A plain new epoch goes on where the last one stopped, also in the middle of a recovery."""
        self.genesis = event.genesis
        self.holder = event.holder
        self.epoch_started = position
        if event.recovering:
            self.recovering = True
            self.synced = False

    def schema_activated(self, event: SchemaActivated) -> None:
        """Remember what is written from here on; a version never falls."""
        for name, version in event.types:
            self.activated[name] = max(version, self.activated.get(name, 0))

    def positions_lost(self, event: PositionsLost) -> None:
        """Remember a loss."""
        self.lost = (*self.lost, (event.first, event.last))[-MAX_LOST_RANGES:]

    def path_identifier_assigned(self, event: PathIdentifierAssigned) -> None:
        """Remember a node's identifier, and the highest that was ever given."""
        self.path_identifiers[event.node] = event.number
        self.highest_path_identifier = max(self.highest_path_identifier, event.number)


def encode_ledger(ledger: Ledger) -> list[Any]:
    """The row of a baseline: plain values in the order of the fields, and maps as pairs sorted by key."""
    return [
        ledger.genesis,
        ledger.epoch,
        ledger.position,
        ledger.time_ms,
        ledger.holder,
        ledger.epoch_started,
        ledger.recovering,
        ledger.synced,
        ledger.baseline_position,
        ledger.lost,
        sorted(ledger.maintenance.speakers.items()),
        sorted(ledger.witnessed.items()),
        sorted(ledger.path_identifiers.items()),
        ledger.highest_path_identifier,
    ]


def decode_ledger(row: Any) -> Ledger:
    """The ledger of such a row, without what stands in other parts of a baseline: of drains, those of speakers alone.

    Raises:
        TypeError, ValueError: it is none.
    """
    *plain, drained, witnessed, path_identifiers, highest = row
    maintenance = Maintenance(speakers={name: SpeakerDrain(*one) for name, one in drained})
    heads = {name: WitnessedHead._make(one) for name, one in witnessed}
    values: list[Any] = [*plain, heads, dict(path_identifiers), highest, maintenance]
    return Ledger(*values)
