"""The envelope of an event, and the commit that carries it."""

from __future__ import annotations

from typing import NamedTuple

from porter.events.catalogue import Event

MAX_EVENTS_PER_COMMIT = 128
GENESIS_HASH = bytes(32)
"""The previous hash of a stream's first commit."""


class Draft(NamedTuple):
    """An event on its way into a commit: the journal adds position, epoch and time.

    `causation` is the position of the event that led here (0: none); `correlation` names the change that everything
    about it shares; `traceparent` is the W3C trace context, or "" when not sampled. `version` is the schema version
    that it is written in, for readers that know no newer one; 0 is the present one.
    """

    payload: Event
    causation: int = 0
    correlation: str = ""
    traceparent: str = ""
    version: int = 0


class Envelope(NamedTuple):
    """One event at its position. Together with the stream's genesis, the position is the event's identity."""

    position: int
    epoch: int
    time_ms: int
    causation: int
    correlation: str
    traceparent: str
    payload: Event

    @property
    def type(self) -> str:
        """The event's type: a past-tense name of the catalogue."""
        return type(self.payload).__name__

    @property
    def aggregate(self) -> str:
        """What the event is about, such as `service/shop/web`."""
        return self.payload.aggregate


class Checkpoint(NamedTuple):
    """How far a reader has applied a stream; the hash (32 bytes) tells a fork from a continuation."""

    epoch: int
    position: int
    hash: bytes


BEGINNING = Checkpoint(0, 0, GENESIS_HASH)


class Head(NamedTuple):
    """The end of a stream as its server holds it; `genesis` is the random identity that its first leader gave it."""

    genesis: str
    epoch: int
    position: int
    hash: bytes

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of a reader that has applied everything up to this head."""
        return Checkpoint(self.epoch, self.position, self.hash)


class Commit(NamedTuple):
    """One stream entry: 1 to 128 events with gapless positions, chained to the commit before.

    `hash` is the SHA-256 of the entry's bytes, which begin with `previous_hash`.
    """

    epoch: int
    previous_hash: bytes
    hash: bytes
    time_ms: int
    writer: str
    events: tuple[Envelope, ...]

    @property
    def first_position(self) -> int:
        return self.events[0].position

    @property
    def last_position(self) -> int:
        return self.events[-1].position

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of a reader that has applied this commit."""
        return Checkpoint(self.epoch, self.last_position, self.hash)
