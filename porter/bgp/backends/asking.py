"""Who answers at ExaBGP's end of a connection, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from porter.bgp.backends.exabgp_text import Answer


class Hello(NamedTuple):
    """The relay's first line. `boot` is the same for as long as the same ExaBGP process lives.

    `unanswered` counts the answers still to come that an earlier speaker had asked for.
    """

    relay_pid: int
    engine_pid: int
    boot: str
    dropped: bool
    unanswered: int = 0


class Asked(NamedTuple):
    """One command on its way, and who takes its answer.

    `alone` marks a command that ExaBGP answers on the spot, out of the order of the others.
    """

    line: str
    answer: Callable[[Answer], None]
    alone: bool = False
