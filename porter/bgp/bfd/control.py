"""The language of BIRD's control socket, as far as BFD needs it: text to values; pure.

A reply is lines that begin with four digits and a "-" (more follows), or a blank in the last one; a line that begins
with a blank goes on with the code of the line before. Codes from 8000 on are errors. Seen with BIRD 2.0.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from porter.bgp.bfd.configuration import PROTOCOL
from porter.bgp.bfd.sessions import Seen

SHOW_STATUS = "show status"
SHOW_SESSIONS = f"show bfd sessions {PROTOCOL}"
CONFIGURE = "configure"
FIRST_ERROR = 8000
MAX_REPLY_BYTES = 4 * 1024 * 1024
_LINE = re.compile(rb"(\d{4})([- ])(.*)")
_SESSION = re.compile(
    r"\s*(?P<address>[0-9a-fA-F.:]+)\s+\S+\s+(?P<state>AdminDown|Down|Init|Up)\s+(?P<since>\S.*?)"
    r"\s+[\d.]+\s+(?P<timeout>[\d.]+)\s*"
)
_NOW = "Current server time is "
_BOOT = "Last reboot on "


class UnknownReply(ValueError):
    """BIRD said something that this module does not know; the message quotes it."""


class Reply(NamedTuple):
    """One reply: the code of its last line, and the text of all lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether BIRD refused what it was asked."""
        return self.code >= FIRST_ERROR


def read_reply(received: bytes) -> tuple[Reply, bytes] | None:
    """Take the first whole reply; return it with what follows it, or None while it is not whole.

    Raises:
        UnknownReply: it is no reply, or has no end.
    """
    lines: list[str] = []
    rest = received
    while b"\n" in rest:
        line, _, rest = rest.partition(b"\n")
        if line[:1] in {b" ", b"+"}:
            lines.append(line[1:].decode("utf-8", "replace"))
            continue
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise UnknownReply(f"BIRD said {line[:200]!r}")
        lines.append(matched[3].decode("utf-8", "replace"))
        if matched[2] == b" ":
            return Reply(int(matched[1]), tuple(lines)), rest
    if len(received) > MAX_REPLY_BYTES:
        raise UnknownReply(f"BIRD's reply has no end within {MAX_REPLY_BYTES} bytes")
    return None


def read_sessions(lines: Iterable[str]) -> dict[str, Seen]:
    """Each session of `show bfd sessions` by the neighbour's address.

    BIRD forgets the router's timers when its packets stay away: the time-out is 0 then, and only then.
    """
    found = {}
    for line in lines:
        matched = _SESSION.fullmatch(line)
        if matched is not None:
            heard = float(matched["timeout"]) > 0
            found[matched["address"].lower()] = Seen(matched["state"], heard, matched["since"])
    return found


class Status(NamedTuple):
    """What `show status` tells: BIRD's present time, and since when it runs, both as it writes them."""

    now: str
    boot: str

    def age_s(self, since: str) -> float:
        """How long ago a moment of BIRD's was; 0 where it cannot be read."""
        try:
            return max(0.0, (datetime.fromisoformat(self.now) - datetime.fromisoformat(since)).total_seconds())
        except ValueError:
            return 0.0


def read_status(lines: Iterable[str]) -> Status:
    """Read `show status`; what is not there is ""."""
    found = {mark: line.removeprefix(mark).strip() for line in lines for mark in (_NOW, _BOOT) if line.startswith(mark)}
    return Status(found.get(_NOW, ""), found.get(_BOOT, ""))
