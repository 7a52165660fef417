"""Outcomes: what a speaker saw and did, written into its own stream. `position` is always the journal's."""

from __future__ import annotations

from typing import NamedTuple

from porter.model.address import Address, Prefix
from porter.model.reasons import Problem


class Path(NamedTuple):
    """One route of an Adj-RIB-Out, as it is told in outcomes."""

    prefix: Prefix
    path_id: int
    next_hop: Address


class SpeakerStarted(NamedTuple):
    """A speaker process is up. `router_id` and `local_address` are its own; `position` its last-good checkpoint's."""

    speaker: str
    version: str
    local_address: str
    position: int

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class EngineStateChanged(NamedTuple):
    """The BGP engine behind the speaker came or went."""

    speaker: str
    up: bool
    reason: str

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class SessionStateChanged(NamedTuple):
    """A session changed between the states of RFC 4271; when Established, what was negotiated."""

    peer: str
    state: str
    reason: str
    families: tuple[str, ...] = ()
    add_path: tuple[str, ...] = ()
    hold_time_s: int = 0
    extended_next_hop: bool = False

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class BfdStateChanged(NamedTuple):
    """BFD (RFC 5880) found the path to a peer up or down ("Up", "Down"); "": nothing watches it, and `reason` why."""

    peer: str
    state: str
    reason: str = ""

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class BfdDaemonStateChanged(NamedTuple):
    """The program that runs BFD beside the speaker came or went; sessions of BGP stand without it."""

    speaker: str
    up: bool
    reason: str

    @property
    def aggregate(self) -> str:
        return f"speaker/{self.speaker}"


class RibSynced(NamedTuple):
    """A whole SYNC in one event: `routes` confirmed, `digest` over the sorted Adj-RIB-Out (hex)."""

    peer: str
    position: int
    routes: int
    digest: str

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class EndOfRibSent(NamedTuple):
    """End-of-RIB (RFC 4724, section 2) went out for these families."""

    peer: str
    families: tuple[str, ...]

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class RoutesAnnounced(NamedTuple):
    """One confirmed window's announcements; `position` is the journal's that they realise."""

    peer: str
    position: int
    paths: tuple[Path, ...]

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class RoutesWithdrawn(NamedTuple):
    """One confirmed window's withdrawals."""

    peer: str
    position: int
    paths: tuple[Path, ...]

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class PeerUnsynced(NamedTuple):
    """A window was not confirmed in time: the peer counts as unsynced until reconciled."""

    peer: str
    reason: str

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class DriftFound(NamedTuple):
    """The engine's Adj-RIB-Out differed from ours and was repaired."""

    peer: str
    missing: int
    unexpected: int
    sample: tuple[Path, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class ImportsRefused(NamedTuple):
    """The router sent so many UPDATEs in this session, each with up to thousands of routes; none of them is taken."""

    peer: str
    updates: int

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class PeerRejected(NamedTuple):
    """The engine refused a peer's settings, or cannot honour a field of them; without a message that is over."""

    peer: str
    field: str
    message: str

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class FieldsUnsupported(NamedTuple):
    """The engine has the session without these fields of its settings, which it cannot honour; none: it honours all."""

    peer: str
    problems: tuple[Problem, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"peer/{self.peer}"


class JournalLost(NamedTuple):
    """The journal is not the one that this speaker followed; it tells what it still announces, for adoption.

    The checkpoint is the last that it applied; `holders` are (address, namespace, name, uid) of its last-good Loc-RIB.
    """

    genesis: str
    epoch: int
    position: int
    hash: str
    holders: tuple[tuple[Address, str, str, str], ...] = ()

    @property
    def aggregate(self) -> str:
        return "journal"


class OutcomesDropped(NamedTuple):
    """While Redis was away the buffer of outcomes was full, and this many were dropped."""

    events: int

    @property
    def aggregate(self) -> str:
        return "journal"


class HeadSeen(NamedTuple):
    """This speaker has folded the journal up to a signed head: another witness of what stood there. `hash` is hex."""

    epoch: int
    position: int
    hash: str

    @property
    def aggregate(self) -> str:
        return "journal"
