"""When a newer type or version of an event may be written, and what is held back until then.

1. Every live reader reads it, this process among them.
2. That has been so for a while, in which the way back to the older release is open.
3. `SchemaActivated` is journaled: from here on it is written, and an older release refuses the journal.

Until then the leader writes the older version where there is a way back to it, else nothing. What is held back is told
with the names of those that it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import structlog

from porter.app.upgrade.readers import LiveReaders, Reader
from porter.events import schema
from porter.events.catalogue import Event
from porter.events.codec import SHAPES
from porter.events.decided import SchemaActivated
from porter.ports import Clock

ASK_INTERVAL_S = 0.5
NAMED_MAX = 3
"""Most readers, and most types, that one sentence names."""
ITSELF = SchemaActivated.__name__

_log = structlog.get_logger(__name__)


class HeldBack(NamedTuple):
    """A type that is not written in its newest version yet, and why."""

    type: str
    version: int
    written: int
    """The version that is written meanwhile; 0: none."""
    message: str


class Activation:
    """Decides for the leader; a controller that stands by answers questions from it."""

    def __init__(self, live: LiveReaders | None, clock: Clock, after_s: float | None) -> None:
        """`after_s` is how long all must have read it; None: nothing is ever activated."""
        self._live = live
        self._clock = clock
        self._after_s = after_s
        self._candidate: dict[str, int] = {}
        self._since_s = self._ask_again_s = 0.0
        self._versions: dict[type, int | None] = {}
        self._versions_of: dict[str, int] = {}
        self._told: set[str] = set()

    def speakers(self) -> frozenset[str] | None:
        """The speakers among the readers, as `LiveReaders.speakers` tells them; None where nobody looks."""
        return None if self._live is None else self._live.speakers()

    def version(self, activated: Mapping[str, int], payload: Event) -> int | None:
        """The version that an event is to be written in, as a `Draft` has it; None: it is held back."""
        if activated != self._versions_of:
            self._versions, self._versions_of = {}, dict(activated)
        kind = type(payload)
        if kind is SchemaActivated:
            # Made by `due` alone, and what it says holds for itself.
            return 0
        if kind not in self._versions:
            name = kind.__name__
            version = schema.version_to_write(activated, name)
            present = SHAPES[name].version if name in SHAPES else 0
            self._versions[kind] = None if not version else 0 if version == present else version
        return self._versions[kind]

    def held(self, activated: Mapping[str, int], payload: Event) -> str:
        """Why an event is held back; said once in the log for each type."""
        name = type(payload).__name__
        message = self._message(activated, name)
        if name not in self._told:
            self._told.add(name)
            _log.warning("an event is held back", type=name, reason=message)
        return message

    def due(self, activated: Mapping[str, int]) -> SchemaActivated | None:
        """What is to be journaled now; asked again and again by the leader."""
        live, now_s = self._live, self._clock.monotonic_s()
        if live is None or not live.known or now_s < self._ask_again_s:
            return None
        self._ask_again_s = now_s + ASK_INTERVAL_S
        candidate = self._readable(activated)
        if candidate != self._candidate:
            self._candidate, self._since_s = candidate, now_s
        if self._after_s is None or not candidate or now_s - self._since_s < self._after_s:
            return None
        _log.info("newer events are written from here on", types=sorted(candidate.items()))
        readers = tuple((one.name, one.release) for one in live.live().values())
        self._told.clear()
        return SchemaActivated(tuple(sorted(candidate.items())), readers)

    def _readable(self, activated: Mapping[str, int]) -> dict[str, int]:
        """What could be activated; nothing where there is nothing but the event that says so, which has no way back."""
        wanted = schema.pending(activated)
        if not wanted.keys() - {ITSELF}:
            return {}
        found = schema.read_by_all(wanted, {"": schema.reads(), **self._reads()})
        found = {name: version for name, version in found.items() if version > schema.agreed(activated, name)}
        knows_itself = ITSELF not in wanted or found.get(ITSELF)
        return found if knows_itself and found.keys() - {ITSELF} else {}

    def _reads(self) -> dict[str, Mapping[str, int]]:
        return {} if self._live is None else {name: one.reads for name, one in self._live.live().items()}

    def held_back(self, activated: Mapping[str, int]) -> tuple[HeldBack, ...]:
        """Everything that this build could write and does not yet, by type."""
        pending = schema.pending(activated)
        if not pending.keys() - {ITSELF}:
            return ()
        return tuple(
            HeldBack(name, version, schema.version_to_write(activated, name), self._message(activated, name))
            for name, version in sorted(pending.items())
        )

    def condition(self, activated: Mapping[str, int]) -> str:
        """ "ok", or what is held back and for whom, in one sentence. That is no fault: everything else goes on."""
        held = [one for one in self.held_back(activated) if one.type != ITSELF]
        if not held:
            return "ok"
        more = len(held) - NAMED_MAX
        names = ", ".join(one.type for one in held[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        return f"ok, with {names} held back: {held[0].message}"

    def _message(self, activated: Mapping[str, int], name: str) -> str:
        version = schema.pending(activated).get(name)
        if version is None:
            return f"this release does not know {name}: upgrade this controller"
        what = f"{name} version {version} is not written yet"
        if self._live is None or not self._live.known:
            return f"{what}: the journal's readers could not be looked at so far"
        behind = [
            one for one in self._live.live().values() if one.reads.get(name, 0) < version or ITSELF not in one.reads
        ]
        if behind:
            return f"{what}: {_told(behind)}; upgrade, or `porter readers --forget NAME` what is gone for good"
        if self._after_s is None:
            return f"{what}: all readers read it, and --activate-schema-after is `never`"
        since_s = self._since_s if self._candidate else self._clock.monotonic_s()
        left_s = max(0.0, since_s + self._after_s - self._clock.monotonic_s())
        return f"{what}: all readers read it, and it will be in {left_s:.0f} s (--activate-schema-after)"


def _told(behind: list[Reader]) -> str:
    names = [f"{one.name} (release {one.release})" for one in behind[:NAMED_MAX]]
    more = len(behind) - NAMED_MAX
    names += [f"{more} more"] if more > 0 else []
    return f"{', '.join(names)} {'does' if len(behind) == 1 else 'do'} not read it"


class Reading(NamedTuple):
    """Who reads the journal, and what is held back for them."""

    readers: LiveReaders
    activation: Activation
