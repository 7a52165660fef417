"""What a session agreed on last, kept over restarts: with it the next session's routes are right from the start."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from porter.bgp.backends.gobgp import messages
from porter.bgp.configuration import write_private
from porter.model.address import Family
from porter.model.bgp import Negotiated, SessionSettings


class Agreement:
    """The last agreement of one peer, in a file of its own."""

    def __init__(self, file: Path, settings: SessionSettings) -> None:
        self._file = file
        self._settings = settings
        self._last = self._read()

    def _read(self) -> Negotiated | None:
        try:
            last = msgspec.json.decode(self._file.read_bytes(), type=Negotiated)
        except (OSError, msgspec.MsgspecError):
            return None
        extended = last.extended_next_hop and self._settings.extended_next_hop
        return last._replace(families=last.families & frozenset(self._settings.families), extended_next_hop=extended)

    def learn(self, negotiated: Negotiated) -> None:
        """Both sides agreed on this just now."""
        if negotiated != self._last:
            self._last = negotiated
            with contextlib.suppress(OSError):
                write_private(self._file, msgspec.json.encode(negotiated).decode())

    def inherit(self, other: Agreement) -> None:
        """The session goes on under this peer's name: what it agreed on is this peer's last agreement, too."""
        if other._last is not None:
            self.learn(other._last)

    def refused(self) -> bool:
        """The peer ended the session by a NOTIFICATION: perhaps over a next hop that it does not take any more.

        It drops every route at that, so that to begin without such next hops costs nothing. Returns whether anything
        else is presumed by it.
        """
        if self._last is None or not self._last.extended_next_hop:
            return False
        self.learn(self._last._replace(extended_next_hop=False))
        return True

    @property
    def presumed(self) -> Negotiated:
        """What the next session will agree on, as far as one can know."""
        return self._last or messages.presumed(self._settings)

    @property
    def offered(self) -> tuple[Family, ...]:
        """The families to offer: those that the peer has, too.

        GoBGP sends End-of-RIB for every family that it offers, and a peer may end the session at one that it lacks.
        """
        common = self.presumed.families
        return tuple(family for family in self._settings.families if family in common) or self._settings.families
