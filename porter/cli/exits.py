"""What a command ends with: a number for scripts, and a sentence for people."""

from __future__ import annotations

OK = 0
FINDING = 1
"""Something is not as it should be, or what is asked about is not there: a name that nobody has, a moment not kept."""
USAGE = 2
"""The command or its question is not understood."""
UNREACHABLE = 3
INTERRUPTED = 130
"""By Ctrl-C, as a shell tells of SIGINT."""
PIPE_CLOSED = 141
"""Whoever read the output has gone, as `head` does: as a shell tells of SIGPIPE."""


class Finding(Exception):
    """The command worked, and found that something is not as it should be; the message says what."""


class Unreachable(Exception):
    """What the command should ask does not answer; the message says where it asked, and the mend."""
