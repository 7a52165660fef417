"""The port `Journal`: one stream with one writer, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from porter.events.envelope import Checkpoint, Commit, Draft, Envelope, Head


class JournalError(Exception):
    """The journal did not do what was asked; the message says why, and the mend."""


class JournalUnavailable(JournalError):
    """The server is away, loading, or full (no memory, no disk): nothing was lost, and it may be tried again."""


class Fenced(JournalError):
    """A newer epoch was claimed: this writer is deposed and must not append again."""


class Conflict(JournalError):
    """The head is not where the writer expected it, within the writer's own epoch."""


class Fork(JournalError):
    """The chain differs: another hash stands where a checkpoint or a previous hash was expected."""


class JournalMissing(JournalError):
    """There is no journal where one was expected: emptied, evicted, or another server.

    `last_known` is the end of what is left, where something is: a head without its stream, or entries without a head.
    A claim for recovery goes on beyond it. `left_position` is that of the last entry that is really there (0: none):
    readers fold what is left, so whoever recovers must do so too.
    """

    def __init__(self, message: str, last_known: Head | None = None, left_position: int = 0) -> None:
        super().__init__(message)
        self.last_known = last_known
        self.left_position = left_position


class ForeignJournal(JournalError):
    """The journal is another cluster's: its genesis is not the one that is anchored."""


class Trimmed(JournalError):
    """The wanted position lies before the first that is left: start from the newest baseline."""


class Corrupt(JournalError):
    """A commit does not decode, or does not link to the one before it; the message names the position."""


class Newer(Corrupt):
    """The journal holds what only a newer release reads. Nothing is lost: this program must go no further.

    The message names the position and the mend.
    """


class UnsafeServer(JournalError):
    """The server would lose or refuse what it acknowledges; the message names each setting and its mend."""


class Claim(NamedTuple):
    """What a claim of an epoch is compared and set against.

    `head` is the head that the claimant read (None: no journal there). `first_position` is the position of the
    epoch's first event: head + 1, or beyond the highest position ever seen when positions were lost.
    `recovering` must be set to claim a stream that is missing, or behind what is known.
    """

    genesis: str
    epoch: int
    head: Head | None
    first_position: int
    recovering: bool
    holder: str


class Baseline(NamedTuple):
    """Where a reader may start: the newest `BaselineRecorded` (its envelope), and the checkpoint of its commit."""

    envelope: Envelope
    checkpoint: Checkpoint


class Journal(Protocol):
    """One stream with one writer: the cluster's journal, or a speaker's stream of outcomes.

    The stream's name is given where the implementation is made. Positions are gapless but for declared losses.
    """

    async def head(self) -> Head | None:
        """Return the end of the stream, or None where there is none.

        Raises:
            JournalUnavailable: the server did not answer.
            JournalMissing: a head without its stream, or a stream without its head.
        """
        ...

    async def server_identity(self) -> str:
        """Return what changes whenever the server restarts or is another one (Redis: run id and replication id)."""
        ...

    async def claim(self, claim: Claim, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """Start an epoch: compare-and-set on the genesis and the head, and append `drafts` as its first commit.

        Raises:
            Fenced: another claimant was faster, or a higher epoch exists. Read the head and compute again.
            JournalMissing: nothing is there and `claim.recovering` is not set (and it is no first genesis).
            ForeignJournal: the stream has another genesis.
            JournalUnavailable: the outcome is known to be "not claimed", or stays unknown after resolving.
        """
        ...

    async def append(self, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """Append one commit of 1 to 128 events behind the last one of this writer; all or nothing, exactly once.

        `time_ms` is the commit's time, for a leader that has folded the events already (0: the adapter's clock).
        A lost reply is resolved by reading the head's hash; calling again with the same drafts and time after
        `JournalUnavailable` returns the commit that the first call made, if it made one. The writer must hold a
        claimed epoch.

        Raises:
            Fenced, Conflict, Fork, JournalMissing: this writer must stop; nothing was appended.
            JournalUnavailable: nothing was appended; or the outcome is unknown, and the next append resolves it.
        """
        ...

    def read(self, after: Checkpoint, *, follow: bool = False) -> AsyncIterator[Sequence[Commit]]:
        """Yield the commits behind a checkpoint in order, in pages, each checked for chain, positions and epoch.

        With `follow` it goes on with what is appended later, and yields an empty page about once a second while
        idle, after having compared the server's head and identity with what it has seen. Without, it ends at the head.

        Raises:
            Fork: the checkpoint is not in the stream; or the stream was shortened, replaced or emptied meanwhile.
            Trimmed: the checkpoint lies before the first entry.
            JournalMissing, ForeignJournal, Corrupt, JournalUnavailable.
        """
        ...

    def blobs(self, after: Checkpoint) -> AsyncIterator[Sequence[bytes]]:
        """Yield what `read` yields up to the head, checked alike, but as the bytes that the stream holds.

        Raises:
            Fork, Trimmed, JournalMissing, ForeignJournal, Corrupt, JournalUnavailable: as `read`.
        """
        ...

    async def newest_baseline(self, at: int = 0) -> Baseline | None:
        """Return the newest baseline, or None; with `at`, the newest at or before that position.

        Where it is not known where those stand, it is one behind it: each names the one before it.

        Raises:
            JournalUnavailable: the server did not answer.
            Corrupt: it does not decode, or is not where it should be.
        """
        ...

    async def commit_at(self, position: int) -> Commit | None:
        """Return the first commit that ends at or behind a position, or None where the stream ends before it.

        It holds the position unless that was lost or trimmed away. The link to the commit before is not checked.

        Raises:
            JournalUnavailable: the server did not answer.
            Corrupt: the commit does not decode.
        """
        ...

    async def size_bytes(self) -> int:
        """Return about how much the stream takes on its server: what the size limit is held against."""
        ...

    async def trim(self, before: Checkpoint) -> int:
        """Drop the commits before a checkpoint; return how many entries went.

        Raises:
            JournalError: the checkpoint is not that of a recorded baseline's commit or before it.
        """
        ...

    async def close(self) -> None:
        """Give the connections back; nothing is appended any more."""
        ...
