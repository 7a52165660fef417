"""The ports: what the application asks of its adapters, in the domain's words.

Every implementation of a port passes the one conformance suite of that port (tests/conformance). Vendor exceptions
never cross a port: the exceptions below do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

from porter.events.catalogue import Event
from porter.events.envelope import Checkpoint, Commit, Draft, Envelope, Head
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings

# ---------------------------------------------------------------------------------------------------------- journal


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

    async def newest_baseline(self) -> Baseline | None:
        """Return the newest baseline in the stream, or None."""
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


# ----------------------------------------------------------------------------------------------------------- source

FactKind = Literal["Service", "Endpoints", "Node", "Namespace", "Pool", "Conf", "Peer", "Advertisement", "ServiceRange"]


class FactKey(NamedTuple):
    """What one fact is about: a Service by "namespace/name", Endpoints likewise, the others by name."""

    kind: FactKind
    name: str


class Source(Protocol):
    """Watched objects as current facts; which ones changed is told, not how: the leader compares with the journal.

    `facts` holds the present fact of every object that concerns Porter. A Service that is not ours is absent.
    """

    @property
    def facts(self) -> Mapping[FactKey, Event]: ...

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed completely at least once since the start (and since the last relist)."""
        ...

    async def run(self) -> None:
        """List and watch until cancelled."""
        ...

    async def changed(self) -> frozenset[FactKey]:
        """Wait until some facts changed, appeared or vanished, or `synced` did; return their keys and forget them."""
        ...

    async def refresh(self) -> None:
        """Look anew at what the objects' statuses say: recovery adopts what Services hold by them."""
        ...

    def parts(self) -> Mapping[str, str]:
        """Each reflector's state for `/readyz`: "synced", or a sentence with the reason why not."""
        ...


class AnchorUnavailable(Exception):
    """The anchor cannot be read right now, or is not one; the message says why, and the mend."""


class Anchor(NamedTuple):
    """The journal's head kept outside of Redis, and the speakers that followed it."""

    genesis: str
    epoch: int
    position: int
    hash: str
    speakers: tuple[str, ...] = ()


class Election(Protocol):
    """Leadership by Lease (or a file lock), with the anchor beside it."""

    async def run(self) -> None:
        """Campaign, renew and give up until cancelled; releases the lease at the end."""
        ...

    async def elected(self) -> int:
        """Wait until this process leads; return the number of transitions, which rises with every new holder."""
        ...

    async def deposed(self) -> None:
        """Wait until this process leads no more."""
        ...

    def leads(self) -> bool:
        """Whether the lease's monotonic deadline still stands."""
        ...

    def resign(self, why: str) -> None:
        """Give the lease up now, and stay away from it for one lease duration."""
        ...

    async def read_anchor(self) -> Anchor | None:
        """Read the anchor afresh; None where none was ever written.

        Raises:
            AnchorUnavailable: it cannot be read, or something else stands in its place.
        """
        ...

    def write_anchor(self, anchor: Anchor) -> None:
        """Keep this anchor; it is written with the next renewal, at the latest within two seconds."""
        ...


# ----------------------------------------------------------------------------------------------------------- status


class ObjectStatus(NamedTuple):
    """The wanted status of one object, as a JSON-like tree; `labels` and `annotations` are set beside it
    (None: taken off).

    `kind` is "Service", "Eip", "BgpConf" or "BgpPeer"; `uid` guards against a re-created object of the same name.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    status: Mapping[str, object]
    labels: Mapping[str, str | None] = {}
    annotations: Mapping[str, str | None] = {}


class StatusWriter(Protocol):
    """Writes statuses while this process leads; the newest wanted status of an object replaces an older one waiting."""

    def want(self, status: ObjectStatus) -> None:
        """Queue a status; nothing is written when the object already says so."""
        ...

    def drop(self) -> None:
        """Forget everything that waits: this process leads no more."""
        ...

    async def run(self) -> None:
        """Write what waits until cancelled, with UID and resourceVersion, only while `leads()` holds."""
        ...


# -------------------------------------------------------------------------------------------------------- publisher


class Desired(NamedTuple):
    """The whole desired Adj-RIB-Out of one peer at a journal position.

    `changed` names the keys that may differ from the last call for this peer (None: any may). `certain` says that
    absence means absence: only then is anything withdrawn in SYNC and End-of-RIB sent (design: certainty).
    """

    peer: PeerKey
    routes: Mapping[RouteKey, PathAttributes]
    position: int
    certain: bool
    changed: frozenset[RouteKey] | None = None


class PeerView(NamedTuple):
    """One peer as the publisher sees it. `sync` is "DOWN", "SYNC", "LIVE" or "UNSYNCED"."""

    peer: PeerKey
    sync: str
    state: str
    reason: str
    since_ms: int
    flaps: int
    negotiated: Negotiated | None
    desired: int
    confirmed: int


class Publisher(Protocol):
    """The BGP engine behind one speaker: makes the peers' Adj-RIB-Outs what is desired, and tells what came of it."""

    async def run(self) -> None:
        """Drive the engine until cancelled; sessions and routes stay as they are afterwards."""
        ...

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        """Set the whole list of sessions; one whose settings did not change is not touched."""
        ...

    def desire(self, desired: Desired) -> None:
        """Set a peer's desired Adj-RIB-Out; returns at once."""
        ...

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        """The sessions that need their routes before they come up, each with what it is taken to agree on.

        An engine that sends End-of-RIB by itself must hold everything by then. The routes are desired anew when the
        session's real agreement is told.
        """
        ...

    async def outcomes(self) -> Sequence[Event]:
        """Wait for outcomes (events of `porter.events.routed`), return and forget them, oldest first."""
        ...

    def peers(self) -> Mapping[PeerKey, PeerView]:
        """The present state of every configured peer."""
        ...

    def confirmed(self, peer: PeerKey) -> Mapping[RouteKey, PathAttributes]:
        """The routes whose sending was confirmed in the present session."""
        ...


# ------------------------------------------------------------------------------------------------- everything beside


class Clock(Protocol):
    """Time, so that tests can make it."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        ...


class Instrumentation(Protocol):
    """Spans and measurements without a vendor's types; `NO_INSTRUMENTATION` costs next to nothing."""

    def span(
        self, name: str, *, parent: str = "", attributes: Mapping[str, object] | None = None
    ) -> AbstractContextManager[str]:
        """Open a span; the value is its own traceparent, or "" when it is not sampled."""
        ...

    def count(self, name: str, amount: float = 1, labels: Mapping[str, str] | None = None) -> None: ...

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None: ...

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None: ...
