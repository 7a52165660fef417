"""What a command ends with: a number for scripts, and a sentence for people."""

from __future__ import annotations

OK = 0
FINDING = 1
USAGE = 2
UNREACHABLE = 3


class Finding(Exception):
    """The command worked, and found that something is not as it should be; the message says what."""


class Unreachable(Exception):
    """What the command should ask does not answer; the message says where it asked, and the mend."""
