"""An address and who holds it; what is kept of a Service that is gone, and of an address that it had."""

from __future__ import annotations

from typing import NamedTuple

from porter.model.address import Address


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


class Allocation(NamedTuple):
    """An address and one Service that holds it; `position` and `since_ms` are those of the decision."""

    address: Address
    pool: str
    uid: str
    namespace: str
    name: str
    position: int
    since_ms: int
    reason: str
    sharing_key: str = ""

    @property
    def service(self) -> str:
        """The Service as "namespace/name"."""
        return f"{self.namespace}/{self.name}"
