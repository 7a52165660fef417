"""Sessions that somebody outside wants ended, each ended once, and never the next one in its place; pure.

A cut means the session that was up when its cause came. ExaBGP takes a teardown for whichever session is up when it
reads it: so a cut waits here, where the end of a session voids it, and is handed over only when it can be written at
once. What lies in ExaBGP's pipe cannot be taken back; it is read within a turn of its reactor, and no session comes up
that fast.

While ExaBGP is out of reach, or stock is taken, a cut waits until it is known since when the session is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from porter.bgp.backends.asking import Asked
from porter.bgp.backends.exabgp_text import SessionId, cut_line


class _Cut(NamedTuple):
    """Why a session is to end, when the cause came, and whether ExaBGP was told by the present connection."""

    reason: str
    at_s: float
    told: bool = False


class Cuts:
    """The cuts that are asked for, and since when each session is up."""

    def __init__(self) -> None:
        self._asked: dict[SessionId, _Cut] = {}
        self._since_s: dict[SessionId, float] = {}

    def ask(self, session: SessionId, reason: str, at_s: float) -> None:
        """End the session that is up, or was when ExaBGP was seen last; one that came up after `at_s` stays."""
        if at_s >= self._since_s.get(session, float("-inf")):
            self._asked.setdefault(session, _Cut(reason, at_s))

    @property
    def due(self) -> bool:
        """Whether ExaBGP is to be told of one, of a session that is known to be up."""
        return self._next() is not None

    def take(self) -> Asked:
        """The command for the first that is due; it must be written at once."""
        session = self._next()
        assert session is not None, "to be asked where one is due"
        self._asked[session] = self._asked[session]._replace(told=True)
        return Asked(cut_line(session), lambda _: None, alone=True)

    def _next(self) -> SessionId | None:
        return next((one for one, cut in self._asked.items() if not cut.told and one in self._since_s), None)

    def seen(self, since_s: Mapping[SessionId, float]) -> None:
        """Stock was taken: these sessions are up, each since a moment, and no others."""
        for session in list(self._asked):
            if session not in since_s:
                self.down(session, "")
        for session, moment_s in since_s.items():
            self.up(session, moment_s)

    def up(self, session: SessionId, since_s: float) -> None:
        """A session is up since a moment: a cut whose cause came before meant an earlier one."""
        self._since_s[session] = since_s
        cut = self._asked.get(session)
        if cut is not None and cut.at_s < since_s:
            del self._asked[session]

    def down(self, session: SessionId, reason: str) -> str:
        """A session ended; return why: by our own doing, or for the reason that ExaBGP gives."""
        self._since_s.pop(session, None)
        cut = self._asked.pop(session, None)
        return cut.reason if cut is not None and cut.told else reason

    def interrupted(self) -> None:
        """ExaBGP is out of reach: whether it took a cut, and which sessions are up, is not known any more."""
        self._since_s.clear()
        self._asked = {session: cut._replace(told=False) for session, cut in self._asked.items()}

    def keep(self, sessions: Iterable[SessionId]) -> None:
        """Forget all other sessions."""
        kept = frozenset(sessions)
        self._asked = {session: cut for session, cut in self._asked.items() if session in kept}
        self._since_s = {session: since_s for session, since_s in self._since_s.items() if session in kept}
