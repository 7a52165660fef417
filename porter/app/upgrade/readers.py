"""Who reads the journal: every process says so while it lives, and every controller knows all of them.

A reader lives as long as its beat rises, and for `GONE_S` more: a speaker that lost its network is still announcing.
After that it counts as gone for good, and comes back by being heard again. One that is older than declarations has no
beat; it reads what the first release reads, and only an operator can say that it is gone (`porter readers --forget`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from porter import __version__
from porter.events import schema
from porter.events.catalogue import RELEASED
from porter.ports import CONTROLLER, SPEAKER, Clock, Declaration, Declared, JournalError, Readers

BEAT_S = 5.0
"""How often a reader says that it lives, and how often a controller looks."""
GONE_S = 3600.0
"""A reader that was not heard for so long is gone for good."""
UNKNOWN_RELEASE = "unknown"

HEARD_S = 30.0
"""A speaker that was not heard for so long is not counted on."""

_log = structlog.get_logger(__name__)


class Reader(NamedTuple):
    """One live reader, as the controller knows it. `declared` is False for one that is older than declarations."""

    name: str
    reads: Mapping[str, int]
    release: str
    position: int = 0
    problem: str = ""
    declared: bool = True
    silent_s: float = 0.0
    """How long it has not been heard, by this process's clock."""


def _nothing() -> None:
    """Nobody wants to be told."""


async def declare(
    readers: Readers,
    name: str,
    position: Callable[[], int],
    problem: Callable[[], str],
    after: Callable[[], None] = _nothing,
) -> None:
    """Declare a reader over and over, until cancelled. `after` is called behind each time."""
    refused = ""
    while True:
        try:
            await readers.declare(name, Declaration(schema.reads(), __version__, position(), problem()))
        except JournalError as error:
            if not refused:
                _log.warning("this reader cannot be declared; newer events wait for it", reason=str(error))
            refused = str(error)
        else:
            refused = ""
        after()
        await asyncio.sleep(BEAT_S)


class LiveReaders:
    """All readers of the journal, looked at every `BEAT_S`."""

    def __init__(self, readers: Readers, clock: Clock) -> None:
        self._readers = readers
        self._clock = clock
        self._heard: dict[str, tuple[Declared, float]] = {}
        self.known = False
        """Whether the last look succeeded: until then nobody can say who is not there."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(BEAT_S)

    async def look(self) -> None:
        """Look once."""
        try:
            declared = await self._readers.declared()
            now_s = self._clock.monotonic_s()
            for name, one in declared.items():
                before = self._heard.get(name)
                beats = before is None or one != before[0]
                self._heard[name] = (one, now_s if before is None or beats else before[1])
            for name, (one, heard_s) in list(self._heard.items()):
                if one.forgotten or (name not in declared and name.startswith(f"{CONTROLLER}/")):
                    del self._heard[name]
                elif one.declaration is not None and now_s - heard_s > GONE_S:
                    del self._heard[name]
                    _log.warning("a reader of the journal is gone for good", reader=name, silent_s=GONE_S)
                    await self._readers.forget(name)
        except JournalError as error:
            self.known = False
            _log.debug("the journal's readers cannot be looked at", reason=str(error))
        else:
            self.known = True

    async def forget(self, name: str) -> bool:
        """Count a reader as gone for good until it is heard again; False where there is none of this name.

        Raises:
            JournalError: the server is away.
        """
        await self.look()
        if name not in self._heard:
            return False
        await self._readers.forget(name)
        # The server may have lost it together with its stream: then a look does not meet it any more.
        self._heard.pop(name, None)
        await self.look()
        return True

    def speakers(self) -> frozenset[str] | None:
        """The names of the speakers that were heard lately, and of those too old to say so; None where the last look
        did not succeed."""
        if not self.known:
            return None
        heard = (one for one in self.live().values() if not one.declared or one.silent_s < HEARD_S)
        return frozenset(one.name.removeprefix(f"{SPEAKER}/") for one in heard if one.name.startswith(f"{SPEAKER}/"))

    def live(self) -> dict[str, Reader]:
        """Every reader that counts, by name."""
        now_s = self._clock.monotonic_s()
        return {name: _reader(name, one, now_s - heard_s) for name, (one, heard_s) in sorted(self._heard.items())}


def _reader(name: str, declared: Declared, silent_s: float) -> Reader:
    told = declared.declaration
    if told is None:
        return Reader(name, RELEASED, UNKNOWN_RELEASE, declared=False, silent_s=silent_s)
    return Reader(name, told.reads, told.release, told.position, told.problem, silent_s=silent_s)
