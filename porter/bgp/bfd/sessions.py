"""What follows from what BFD sees. Pure: observations come in, outcomes and peers to cut off come out.

Only a path that was up and is down now cuts a peer off (RFC 5882, section 3.2). Where BFD never was up, the router
runs none, and BGP has to do without. Where nothing is seen, because the program that runs BFD is gone or does not
answer, nothing is cut off: the sessions stand as they would without BFD.

A router that takes its own BFD down says so (AdminDown), and is no failure (RFC 5880, section 6.8.16). BIRD does not
show what the router says, but it shows whether packets still come, and what it answers to them:

    no packets any more                          the path is dead
    packets come, and the state goes on to Init  the router does not hear us (it says Down)
    packets come, and the state stays Down       the router has its BFD administratively down

So a path that is down while packets come is doubted until the router has had time for its next packets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from porter.events.catalogue import Event
from porter.events.routed import BfdDaemonStateChanged, BfdStateChanged
from porter.model.bgp import BFD_DOWN, BFD_UP, PeerKey, SessionSettings

ADMIN_DOWN = "AdminDown"
PATIENCE_S = 10.0
"""So long after it was first wanted the program may take to be there."""
DOUBT_S = 3.0
"""While its session is down a router sends a packet each second or nearly so (RFC 5880, section 6.8.3)."""


class Path(NamedTuple):
    """What identifies a session of BFD: a change of any of these is another session."""

    peer_address: str
    local_address: str
    multihop: bool

    @staticmethod
    def of(settings: SessionSettings) -> Path:
        """The session of BFD that watches the path to a peer."""
        return Path(settings.peer_address, settings.local_address, settings.bfd_multihop)


class Seen(NamedTuple):
    """A session as BIRD shows it: its state, whether the router's packets come, and since when, in BIRD's words."""

    state: str
    heard: bool = False
    since: str = ""


class Cut(NamedTuple):
    """A peer whose session has to end, and how long ago its path went down."""

    peer: PeerKey
    age_s: float


class _Verdict(Enum):
    """What a path's state comes to."""

    UP = "up"
    DOWN = "down, and was not up"
    FAILED = "down, and was up"
    WITHDRAWN = "taken down by the router itself"
    DOUBTED = "one of the last two"


class BfdSessions:
    """The paths that are watched, and what is known of them."""

    def __init__(self, speaker: str) -> None:
        self._speaker = speaker
        self._paths: dict[PeerKey, Path] = {}
        self._up: set[Path] = set()
        """Seen up: only such a path can fail."""
        self._doubted: dict[Path, float] = {}
        """Since when a path that was up is down while packets come."""
        self._told: dict[PeerKey, BfdStateChanged] = {}
        self._wanted_since_s: float | None = None
        self._daemon: tuple[bool, str] | None = None
        self.outcomes: list[Event] = []
        self.cut: list[Cut] = []
        """The peers whose path went down: their sessions have to end."""

    @property
    def addresses(self) -> frozenset[str]:
        """The neighbours that are watched."""
        return frozenset(path.peer_address for path in self._paths.values())

    @property
    def up(self) -> frozenset[Path]:
        """The paths that were up when they were seen last."""
        return frozenset(self._up)

    def remember(self, up: Collection[Path]) -> None:
        """An earlier speaker saw these paths up, by the same BIRD."""
        self._up |= set(up) & set(self._paths.values())

    def failing(self, states: Mapping[str, Seen]) -> bool:
        """Whether a path that was up is not any more."""
        seen = [states.get(path.peer_address.lower()) for path in self._up]
        return any(one is not None and one.state != BFD_UP for one in seen)

    def state_of(self, peer: PeerKey) -> str:
        """ "Up", "Down", or "" where nothing is seen."""
        told = self._told.get(peer)
        return "" if told is None else told.state

    def standing(self) -> list[Event]:
        """What was told last and still holds."""
        daemon = [] if self._daemon is None else [BfdDaemonStateChanged(self._speaker, *self._daemon)]
        return [*daemon, *(event for _, event in sorted(self._told.items()))]

    def want(self, sessions: Sequence[SessionSettings], now_s: float) -> None:
        """Set what is watched; a path that changed is another one, of which nothing is known yet."""
        paths = {settings.peer: Path.of(settings) for settings in sessions}
        for peer, path in self._paths.items():
            if paths.get(peer) != path:
                self._tell(peer, "", "" if peer in paths else "the peer asks for no BFD")
        self._paths = paths
        self._up &= set(paths.values())
        self._doubted = {path: since_s for path, since_s in self._doubted.items() if path in self._up}
        if not paths:
            self._wanted_since_s, self._daemon = None, None
        elif self._wanted_since_s is None:
            self._wanted_since_s = now_s

    def seen(self, states: Mapping[str, Seen], now_s: float, age_s: Callable[[str], float] = lambda _: 0.0) -> None:
        """Take what BIRD tells of all its sessions, by the neighbour's address; `age_s` reads its moments."""
        self._tell_daemon(True, "")
        # One that is not configured there yet tells nothing.
        there = {path for path in self._paths.values() if path.peer_address.lower() in states}
        verdicts = {path: self._judge(path, states[path.peer_address.lower()], now_s) for path in there}
        for peer, path in self._paths.items():
            verdict = verdicts.get(path, _Verdict.DOUBTED)
            if verdict is _Verdict.FAILED:
                self.cut.append(Cut(peer, age_s(states[path.peer_address.lower()].since)))
            if verdict is not _Verdict.DOUBTED:
                self._tell(peer, BFD_UP if verdict is _Verdict.UP else BFD_DOWN, _words(path, verdict))

    def _judge(self, path: Path, seen: Seen, now_s: float) -> _Verdict:
        if seen.state == BFD_UP:
            self._up.add(path)
            self._doubted.pop(path, None)
            return _Verdict.UP
        if path not in self._up:
            return _Verdict.DOWN
        if seen.state == ADMIN_DOWN:
            # BIRD's own doing, as when it ends.
            verdict = _Verdict.DOWN
        elif seen.state == BFD_DOWN and seen.heard:
            doubted_s = now_s - self._doubted.setdefault(path, now_s)
            verdict = _Verdict.DOUBTED if doubted_s < DOUBT_S else _Verdict.WITHDRAWN
        else:
            verdict = _Verdict.FAILED
        if verdict is not _Verdict.DOUBTED:
            self._up.remove(path)
            self._doubted.pop(path, None)
        return verdict

    def lost(self, reason: str, now_s: float) -> None:
        """BIRD is not there, or does not answer."""
        if self._daemon is None and (self._wanted_since_s is None or now_s - self._wanted_since_s < PATIENCE_S):
            return
        self._tell_daemon(False, reason)
        self._up.clear()
        self._doubted.clear()
        for peer in list(self._told):
            self._tell(peer, "", reason)

    def _tell(self, peer: PeerKey, state: str, reason: str) -> None:
        if self.state_of(peer) == state:
            return
        told = BfdStateChanged(peer, state, reason)
        if state:
            self._told[peer] = told
        else:
            self._told.pop(peer, None)
        self.outcomes.append(told)

    def _tell_daemon(self, up: bool, reason: str) -> None:
        if self._daemon is not None and self._daemon[0] == up:
            return
        self._daemon = (up, reason)
        self.outcomes.append(BfdDaemonStateChanged(self._speaker, up, reason))


def _words(path: Path, verdict: _Verdict) -> str:
    if verdict is _Verdict.UP:
        return ""
    if verdict is _Verdict.WITHDRAWN:
        return f"the router at {path.peer_address} has its BFD with {path.local_address} administratively down"
    return f"BFD has no answer on the path from {path.local_address} to {path.peer_address}"
