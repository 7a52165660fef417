"""Reading the journal into the folds: from the newest baseline, up to the head, and on."""

from __future__ import annotations

from typing import NamedTuple

from porter.events.decided import BaselineRecorded
from porter.events.envelope import BEGINNING, Checkpoint
from porter.journal.chain import paused_gc
from porter.ports import Baseline, Corrupt, Journal, Newer
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold


class Folded(NamedTuple):
    """A state, and the checkpoint of the last commit in it."""

    state: ClusterState
    checkpoint: Checkpoint


async def from_newest_baseline(journal: Journal) -> Folded:
    """Start from the newest baseline, or from the beginning where there is none.

    Raises:
        Corrupt: the baseline does not match its own digest.
        JournalError: the journal could not be read.
    """
    newest = await journal.newest_baseline()
    if newest is None:
        return Folded(ClusterState.empty(), BEGINNING)
    with paused_gc(lasting=True):
        return folded_from(newest)


def folded_from(newest: Baseline) -> Folded:
    """The state of a baseline.

    Raises:
        Corrupt: the baseline does not match its own digest.
        Newer: it is another release's.
    """
    recorded = newest.envelope.payload
    try:
        assert isinstance(recorded, BaselineRecorded), "the journal finds baselines by their events' type"
        with paused_gc():
            state = baseline.decode(recorded.state, recorded.digest)
    except baseline.AlteredBaseline as error:
        raise Corrupt(
            f"the baseline at #{newest.envelope.position} does not match its digest; "
            "start from an older one, or from an archived segment"
        ) from error
    except baseline.UnreadableBaseline as error:
        raise Newer(f"position {newest.envelope.position}: {error}") from error
    return Folded(fold(state, (newest.envelope,)), newest.checkpoint)


async def up_to_head(journal: Journal, folded: Folded) -> Folded:
    """Fold what follows the checkpoint, up to the present head; consumes the state.

    Raises:
        JournalError: the journal could not be read, or the checkpoint is not in it.
    """
    state, checkpoint = folded
    async for page in journal.read(checkpoint):
        for commit in page:
            state = fold(state, commit.events)
            checkpoint = commit.checkpoint
    return Folded(state, checkpoint)
