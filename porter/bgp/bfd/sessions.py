"""What follows from what BFD sees. Pure: observations come in, outcomes and peers to cut off come out.

Only a path that was up and is down now cuts a peer off (RFC 5882, section 3.2). Where BFD never was up, the router
runs none, and BGP has to do without. Where nothing is seen, because the program that runs BFD is gone or does not
answer, nothing is cut off: the sessions stand as they would without BFD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from porter.events.catalogue import Event
from porter.events.routed import BfdDaemonStateChanged, BfdStateChanged
from porter.model.bgp import BFD_DOWN, BFD_UP, PeerKey, SessionSettings

PATIENCE_S = 10.0
"""So long after it was first wanted the program may take to be there."""


class Path(NamedTuple):
    """What identifies a session of BFD: a change of any of these is another session."""

    peer_address: str
    local_address: str
    multihop: bool

    @staticmethod
    def of(settings: SessionSettings) -> Path:
        """The session of BFD that watches the path to a peer."""
        return Path(settings.peer_address, settings.local_address, settings.bfd_multihop)


class BfdSessions:
    """The paths that are watched, and what is known of them."""

    def __init__(self, speaker: str) -> None:
        self._speaker = speaker
        self._paths: dict[PeerKey, Path] = {}
        self._told: dict[PeerKey, str] = {}
        self._wanted_since_s: float | None = None
        self._daemon: tuple[bool, str] | None = None
        self.outcomes: list[Event] = []
        self.cut: list[PeerKey] = []
        """The peers whose path went down: their sessions have to end."""

    @property
    def addresses(self) -> frozenset[str]:
        """The neighbours that are watched."""
        return frozenset(path.peer_address for path in self._paths.values())

    def state_of(self, peer: PeerKey) -> str:
        """ "Up", "Down", or "" where nothing is seen."""
        return self._told.get(peer, "")

    def want(self, sessions: Sequence[SessionSettings], now_s: float) -> None:
        """Set what is watched; a path that changed is another one, of which nothing is known yet."""
        paths = {settings.peer: Path.of(settings) for settings in sessions}
        for peer, path in self._paths.items():
            if paths.get(peer) != path:
                self._tell(peer, "", "" if peer in paths else "the peer asks for no BFD")
        self._paths = paths
        if not paths:
            self._wanted_since_s, self._daemon = None, None
        elif self._wanted_since_s is None:
            self._wanted_since_s = now_s

    def seen(self, states: Mapping[str, str]) -> None:
        """Take what BIRD tells of all its sessions, by the neighbour's address."""
        self._tell_daemon(True, "")
        for peer, path in self._paths.items():
            state = states.get(path.peer_address.lower())
            if state is None:
                # Not configured there yet.
                continue
            before = self._told.get(peer, "")
            now = BFD_UP if state == BFD_UP else BFD_DOWN
            if before == BFD_UP and now == BFD_DOWN:
                self.cut.append(peer)
            if now != before:
                self._tell(peer, now, self._words(peer, now))

    def lost(self, reason: str, now_s: float) -> None:
        """BIRD is not there, or does not answer."""
        if self._daemon is None and (self._wanted_since_s is None or now_s - self._wanted_since_s < PATIENCE_S):
            return
        self._tell_daemon(False, reason)
        for peer in list(self._told):
            self._tell(peer, "", reason)

    def _words(self, peer: PeerKey, state: str) -> str:
        if state != BFD_DOWN:
            return ""
        path = self._paths[peer]
        return f"BFD has no answer on the path from {path.local_address} to {path.peer_address}"

    def _tell(self, peer: PeerKey, state: str, reason: str) -> None:
        if self._told.get(peer, "") == state:
            return
        if state:
            self._told[peer] = state
        else:
            self._told.pop(peer, None)
        self.outcomes.append(BfdStateChanged(peer, state, reason))

    def _tell_daemon(self, up: bool, reason: str) -> None:
        if self._daemon is not None and self._daemon[0] == up:
            return
        self._daemon = (up, reason)
        self.outcomes.append(BfdDaemonStateChanged(self._speaker, up, reason))
