"""What a controller shows of itself: the read side that the HTTP API, the commands and the health checks share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porter.app.read_model import ReadModel
from porter.events.decided import OperatorAction
from porter.events.envelope import Envelope, Head
from porter.projections.cluster import ClusterState
from porter.projections.sessions import Sessions

if TYPE_CHECKING:
    # The commands read a view as well, and should not wait for what only a controller measures with.
    from porter.app.retention.kept import Kept
    from porter.app.upgrade.activation import Reading
    from porter.telemetry.instruments import Instruments


def _nothing(_envelope: Envelope) -> None:
    """Nobody wants to be told."""


@dataclass(slots=True)
class View:
    """A controller's live state. The folds are replaced and mutated by their owner: read them without awaiting.

    `parts` gives "ok" or a sentence for each part (journal, leader, reflectors). `act` submits an operator's action on
    the leader and returns its position; None while another process leads.
    """

    state: ClusterState = field(default_factory=ClusterState.empty)
    sessions: Sessions = field(default_factory=Sessions.empty)
    head: Head | None = None
    leading: bool = False
    leader: Callable[[], str] = str
    """The name of whoever leads; "" where nobody is known to."""
    journal_problem: str = ""
    """Why the journal cannot be used right now; "" while it can."""
    parts: Callable[[], Mapping[str, str]] = dict
    untold: Callable[[], int] = int
    """How many Kubernetes Events were given up since the start."""
    note: Callable[[Envelope], None] = _nothing
    """Told of every event that the leader folds."""
    instruments: Instruments | None = None
    """What is measured as it happens."""
    kept: Kept | None = None
    """The archive and what is trimmed behind it."""
    act: Callable[[OperatorAction], Awaitable[int]] | None = None
    readers: Reading | None = None

    def read_model(self) -> ReadModel:
        """The folds as they stand."""
        return ReadModel(self.state, self.sessions)
