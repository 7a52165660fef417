"""What is kept of a Service that is gone, and of an address that it had."""

from __future__ import annotations

from typing import NamedTuple


class Departure(NamedTuple):
    """A Service that is gone and still holds addresses: why it went, and the position of that fact."""

    reason: str
    position: int


class Cooling(NamedTuple):
    """A freed address that stays unused for its pool's releaseDelay; position and time are those of its release."""

    pool: str
    uid: str
    namespace: str
    name: str
    position: int
    since_ms: int
