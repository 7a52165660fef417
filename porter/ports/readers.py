"""The port `Readers`: who follows the journal, and which types and versions of events each of them reads.

This is a report beside the journal and not a part of it: whoever reads may be older than anything that is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

CONTROLLER, SPEAKER = "controller", "speaker"


class Declaration(NamedTuple):
    """What one reader says of itself.

    `reads` are event types with the highest version that it reads; `release` is its program's version. `position` is
    how far it has applied the journal, and `problem` why it goes no further ("" while it does).
    """

    reads: Mapping[str, int]
    release: str
    position: int = 0
    problem: str = ""


class Declared(NamedTuple):
    """A declaration as it was found: `beat` rises while the reader lives. Without a declaration the reader is older
    than declarations are."""

    declaration: Declaration | None
    beat: int = 0
    forgotten: bool = False
    """An operator says that it is gone for good, and it has not been heard since."""


class Readers(Protocol):
    """Where the readers of one cluster's journal declare themselves; each has a name of the form KIND/NAME."""

    async def declare(self, name: str, declaration: Declaration) -> None:
        """Say that a reader lives, and what it reads; to be repeated.

        Raises:
            JournalError: the server is away, or does not allow it.
        """
        ...

    async def declared(self) -> Mapping[str, Declared]:
        """Every reader that ever declared itself, and every speaker that ever told an outcome.

        Raises:
            JournalError: the server is away, or does not allow it.
        """
        ...

    async def forget(self, name: str) -> None:
        """Count a reader as gone for good, until it is heard again.

        Raises:
            JournalError: the server is away, or does not allow it.
        """
        ...
