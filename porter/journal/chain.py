"""The rules that every commit of a stream obeys, checked by every reader of every implementation.

1. A commit begins with the hash of the commit before it; the first commit's previous hash is all zero.
2. Its positions go on from those before. The only gap allowed is one that the first commit of a recovering epoch
   declares by `PositionsLost`.
3. Epochs never fall, and each begins with `EpochStarted`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from porter.events.catalogue import Event
from porter.events.codec import CodecError, UnknownEvent, decode_commit, decode_commits
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, GENESIS_HASH, Checkpoint, Commit, Draft
from porter.ports import Claim, Corrupt, Fork, Newer


class MissingPositions(Corrupt):
    """Positions are missing and nothing declares them lost; a reader asks whether they were trimmed."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        super().__init__(
            f"positions {first} to {last} are missing, and no commit declares them lost; "
            f"restore the entries, or let the leader recover the journal"
        )


def short(hash_: bytes) -> str:
    """The first hexadecimal digits of a hash, for messages."""
    return hash_.hex()[:12]


def entry_id(checkpoint: Checkpoint) -> str:
    """The id of the stream entry that ends at a checkpoint."""
    return f"{checkpoint.epoch}-{checkpoint.position}"


def decode(blob: bytes) -> Commit:
    """Decode one entry.

    Raises:
        Corrupt: the bytes are no commit.
        Newer: they hold an event that this release does not know.
    """
    try:
        return decode_commit(blob)
    except UnknownEvent as error:
        raise Newer(str(error)) from error
    except CodecError as error:
        raise Corrupt(str(error)) from error


def checkpoint_before(commit: Commit) -> Checkpoint:
    """What a reader stands at that has applied all that lies before a commit."""
    if commit.previous_hash == GENESIS_HASH:
        return BEGINNING
    begins = isinstance(commit.events[0].payload, EpochStarted)
    return Checkpoint(commit.epoch - begins, commit.first_position - 1, commit.previous_hash)


def declares_lost(payloads: Iterable[Event], first: int, last: int) -> bool:
    """Whether the first events of an epoch declare the positions `first` to `last` lost."""
    recovering = False
    for payload in payloads:
        if isinstance(payload, EpochStarted):
            recovering = payload.recovering
        elif isinstance(payload, PositionsLost) and recovering and payload.first <= first and payload.last >= last:
            return True
    return False


def check_claim(claim: Claim, drafts: Sequence[Draft], previous_position: int) -> None:
    """Check what a claimant wants to append against the rules above, before anything is sent.

    Raises:
        ValueError: the claim breaks a rule, so that every reader would refuse it.
    """
    first = drafts[0].payload if drafts else None
    if not isinstance(first, EpochStarted) or first.genesis != claim.genesis or not claim.genesis:
        raise ValueError("an epoch's first event is EpochStarted, and names the genesis of the claim")
    if claim.epoch < 1 or claim.first_position <= previous_position:
        raise ValueError(f"epochs count from 1, and positions go on from {previous_position}: {claim}")
    payloads = [draft.payload for draft in drafts]
    lost = (previous_position + 1, claim.first_position - 1)
    if lost[0] <= lost[1] and not declares_lost(payloads, *lost):
        raise ValueError(f"the claim leaves out positions {lost[0]} to {lost[1]}; declare them by PositionsLost")


class Chain:
    """Where a reader stands, moved on commit by commit.

    With `start` None the first commit may be any: the reader begins at whatever is left of a bounded stream.
    """

    __slots__ = ("beyond", "epoch", "hash", "position", "started")

    def __init__(self, start: Checkpoint | None) -> None:
        self.started = start is not None
        self.beyond: Newer | None = None
        """What only a newer release reads, once it was met: the chain goes no further."""
        self.epoch, self.position, self.hash = start or Checkpoint(0, 0, b"")

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the last commit."""
        return Checkpoint(self.epoch, self.position, self.hash)

    def decode(self, blobs: Iterable[bytes]) -> list[Commit]:
        """Decode and check the next commits.

        Raises:
            Corrupt, Fork, MissingPositions: see `advance`.
            Newer: an event is of a newer release, and nothing before it was left to read.
        """
        if self.beyond is not None:
            raise self.beyond
        blobs = list(blobs)
        try:
            commits = decode_commits(blobs)
        except UnknownEvent as error:
            # What comes before it is read all the same, and what it says is raised when the reader asks for more.
            self.beyond = Newer(str(error))
            commits = _before_unknown(blobs)
            if not commits:
                raise self.beyond from error
        except CodecError as error:
            raise Corrupt(f"behind position {self.position}: {error}") from error
        epoch, position, hash_ = self.epoch, self.position, self.hash
        for commit in commits:
            commit_epoch, previous_hash, commit_hash, _, _, events = commit
            if commit_epoch != epoch or previous_hash != hash_ or events[0][0] != position + 1:
                self.epoch, self.position, self.hash = epoch, position, hash_
                self._check(commit, events[0].position)
                epoch = commit_epoch
            position, hash_ = events[-1][0], commit_hash
        self.epoch, self.position, self.hash = epoch, position, hash_
        return commits

    def advance(self, commit: Commit) -> None:
        """Move on to the next commit.

        Raises:
            MissingPositions: it does not go on from the last position.
            Corrupt: it breaks one of the rules.
            Fork: another leader's epoch goes on from another history.
        """
        self._check(commit, commit.first_position)
        self.epoch, self.position, self.hash = commit.checkpoint

    def _check(self, commit: Commit, first: int) -> None:
        if not self.started:
            self.started = True
            return
        at = f"the commit at position {first} of epoch {commit.epoch}"
        if commit.epoch < self.epoch or first <= self.position:
            raise Fork(f"{at} follows position {self.position} of epoch {self.epoch}")
        payloads = [envelope.payload for envelope in commit.events]
        starts_epoch = isinstance(payloads[0], EpochStarted)
        if first > self.position + 1 and not declares_lost(payloads, self.position + 1, first - 1):
            raise MissingPositions(self.position + 1, first - 1)
        if commit.previous_hash != self.hash:
            message = (
                f"{at} links to {short(commit.previous_hash)}, "
                f"and position {self.position} before it has hash {short(self.hash)}"
            )
            raise Fork(message) if starts_epoch else Corrupt(message)
        if commit.epoch > self.epoch and not starts_epoch:
            raise Corrupt(f"{at} is the first of its epoch, and does not begin with EpochStarted")


def _before_unknown(blobs: Iterable[bytes]) -> list[Commit]:
    commits: list[Commit] = []
    for blob in blobs:
        try:
            commits += decode_commits((blob,))
        except UnknownEvent:
            break
    return commits


FREEZE_EVENTS = 10_000
"""What a long replay has built is there to stay: the collector need not walk it again and again."""

_pauses = 0


@contextmanager
def paused_gc(chain: Chain | None = None, *, lasting: bool = False) -> Iterator[None]:
    """Switch the cyclic collector off while many commits, or a baseline, are decoded; nests, also across tasks.

    Commits hold no cycles, and a collector that walks a million of them takes a third of a replay, and two thirds of a
    start from a baseline. What a chain built from more than `FREEZE_EVENTS` events is set aside from later collections,
    and with `lasting` whatever was built.
    """
    global _pauses  # noqa: PLW0603 - the collector is the process's own; so is the count of its pauses.
    was_enabled = _pauses > 0 or gc.isenabled()
    start = 0 if chain is None else chain.position
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if lasting or (chain is not None and chain.position - start > FREEZE_EVENTS):
            gc.freeze()
        if _pauses == 0 and was_enabled:
            gc.enable()
