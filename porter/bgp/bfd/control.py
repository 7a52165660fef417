"""The language of BIRD's control socket, as far as BFD needs it: text to values; pure.

A reply is lines that begin with four digits and a "-" (more follows), or a blank in the last one; a line that begins
with a blank goes on with the code of the line before. Codes from 8000 on are errors. Seen with BIRD 2.0.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from porter.bgp.bfd.configuration import PROTOCOL

SHOW_SESSIONS = f"show bfd sessions {PROTOCOL}"
CONFIGURE = "configure"
FIRST_ERROR = 8000
MAX_REPLY_BYTES = 4 * 1024 * 1024
_LINE = re.compile(rb"(\d{4})([- ])(.*)")
_SESSION = re.compile(r"\s*(?P<address>[0-9a-fA-F.:]+)\s+\S+\s+(?P<state>AdminDown|Down|Init|Up)\s")


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


def read_sessions(lines: Iterable[str]) -> dict[str, str]:
    """The state of each session of `show bfd sessions` by the neighbour's address."""
    found = {}
    for line in lines:
        matched = _SESSION.match(line)
        if matched is not None:
            found[matched["address"].lower()] = matched["state"]
    return found
