"""The ports: what the application asks of its adapters, in the domain's words.

Every implementation of a port passes the one conformance suite of that port (tests/conformance). Vendor exceptions
never cross a port: the exceptions of these modules do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from porter.events.catalogue import Event
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.model.object_event import ObjectEvent
from porter.ports.access import Access, AccessUnavailable, Forbidden, Unauthenticated
from porter.ports.instrumentation import (
    NO_INSTRUMENTATION,
    NO_SPAN,
    Instrumentation,
    Span,
    Tracer,
)
from porter.ports.journal import (
    Baseline,
    Claim,
    Conflict,
    Corrupt,
    Fenced,
    ForeignJournal,
    Fork,
    Journal,
    JournalError,
    JournalMissing,
    JournalUnavailable,
    Newer,
    Trimmed,
    UnsafeServer,
)
from porter.ports.readers import CONTROLLER, SPEAKER, Declaration, Declared, Readers

__all__ = [
    "CONTROLLER",
    "NO_INSTRUMENTATION",
    "NO_SPAN",
    "SPEAKER",
    "Access",
    "AccessUnavailable",
    "Anchor",
    "AnchorUnavailable",
    "Baseline",
    "Claim",
    "Clock",
    "Conflict",
    "Corrupt",
    "Declaration",
    "Declared",
    "Desired",
    "Election",
    "EventRecorder",
    "FactKey",
    "FactKind",
    "Fenced",
    "Forbidden",
    "ForeignJournal",
    "Fork",
    "Instrumentation",
    "Journal",
    "JournalError",
    "JournalMissing",
    "JournalUnavailable",
    "Newer",
    "ObjectStatus",
    "PeerView",
    "Publisher",
    "Readers",
    "Source",
    "Span",
    "StatusWriter",
    "Tracer",
    "Trimmed",
    "Unauthenticated",
    "UnsafeServer",
]

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

    async def changed(self) -> frozenset[FactKey]:
        """Wait until some facts changed, appeared or vanished, or `synced` did; return their keys and forget them."""
        ...

    async def refresh(self) -> None:
        """Look anew, without a wait: what is watched may come by a connection that is dead."""
        ...

    def relist(self, kinds: Collection[FactKind]) -> None:
        """Read all objects behind facts of these kinds once more, as they are now or later.

        They are not `listed` until they were. What somebody else saw before this call is then among the facts, or gone.
        """
        ...

    def listed(self, kind: FactKind) -> bool:
        """Whether all objects behind facts of a kind were listed, and none of them is being listed anew."""
        ...

    def parts(self) -> Mapping[str, str]:
        """Each reflector's state for `/readyz`: it begins with "synced", or is a sentence with the reason why not."""
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

    def leader(self) -> str:
        """The name of whoever leads, as far as this process has seen; "" where it has seen nobody lead."""
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
    """The wanted status of one object, a JSON-like tree; with labels and annotations (None: taken off) beside it.

    `kind` is the object's own; `uid` guards against a re-created object of the same name.
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

    def drop(self) -> None:
        """Forget everything that waits: this process leads no more."""

    async def run(self) -> None:
        """Write what waits until cancelled, with UID and resourceVersion, only while `leads()` holds."""


class EventRecorder(Protocol):
    """Tells of changes beside the statuses: best effort, with a bounded queue; `dropped` counts what was given up."""

    dropped: int

    def record(self, event: ObjectEvent) -> None:
        """Queue an event; where too many wait, the oldest is given up."""

    def drop(self) -> None:
        """Forget everything that waits: this process leads no more."""

    async def run(self) -> None:
        """Tell what waits until cancelled, only while this process leads."""


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
    """One peer as the publisher sees it. `sync` is "DOWN", "SYNC", "LIVE" or "UNSYNCED"; `bfd` "Up", "Down" or ""."""

    peer: PeerKey
    sync: str
    state: str
    reason: str
    since_ms: int
    flaps: int
    negotiated: Negotiated | None
    desired: int
    confirmed: int
    bfd: str = ""


class Publisher(Protocol):
    """The BGP engine behind one speaker: makes the peers' Adj-RIB-Outs what is desired, and tells what came of it."""

    async def run(self) -> None:
        """Drive the engine until cancelled; sessions and routes stay as they are afterwards."""
        ...

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        """Set the whole list of sessions; one whose settings did not change is not touched.

        Of two that exclude each other, the first may be taken to be the one that was there first.
        """
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

    def standing(self) -> Sequence[Event]:
        """The newest outcome of each kind that still holds and that `peers` does not tell: what is refused and what is
        not honoured of which peer, and how the engine, and BFD, are. An empty one, which ends an earlier, is left out.
        """
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
