"""Services by their turn and by their sharing key: what follows from the inventory and from what they hold."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterable, Sequence
from typing import Protocol, TypeVar

from porter.events.observed import ServiceObserved
from porter.model.address import FAMILIES, Address, Family, family_of
from porter.policy.requests import FromPool, PoolOf, renamed, satisfied, unclaimed

_Key = TypeVar("_Key", bound=str)

Turn = tuple[int, int, int, str, str, str]
"""The order in which Services are asked about: gone ones, then those that come with an address in their status (the
newest decision first), then all others; by creation, namespace, name, UID."""


CLAIMS = 1
"""The rank of those that come with an address."""


class Allocated(Protocol):
    """An address and the Service that holds it."""

    @property
    def address(self) -> Address: ...

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def pool(self) -> str: ...


AnyAllocated = TypeVar("AnyAllocated", bound=Allocated)


def turn_of(
    uid: str,
    service: ServiceObserved | None,
    mine: Sequence[AnyAllocated],
    from_pool: FromPool[AnyAllocated],
    pool_of: PoolOf[AnyAllocated],
) -> Turn | None:
    """The turn of a Service that lacks something that it asks for, or is gone and holds something; else None."""
    if service is None:
        return (0, 0, 0, mine[0].namespace, mine[0].name, uid) if mine else None
    if satisfied(service, mine, from_pool) and not renamed(service, mine, pool_of):
        return None
    rank = (CLAIMS, -service.held_decision) if unclaimed(service, mine) else (2, 0)
    return (*rank, service.created_ms, service.namespace, service.name, uid)


class ServiceIndex:
    """The Services that lack something, in order, those that carry a sharing key, and who asks for which address."""

    __slots__ = (
        "_asked_of",
        "_asking",
        "_gain_of",
        "_key_of",
        "_turn_of",
        "_turns",
        "_with_key",
        "asking_in",
        "gaining",
    )

    def __init__(self) -> None:
        self.gaining: dict[Family, set[str]] = {family: set() for family in FAMILIES}
        """The Services that have one family and would take this one too, if there were one."""
        self.asking_in: dict[Family, set[str]] = {family: set() for family in FAMILIES}
        """The Services that request addresses of a family, and claim no others by their status."""
        self._gain_of: dict[str, Family] = {}
        self._turns: list[Turn] = []
        self._turn_of: dict[str, Turn] = {}
        self._with_key: dict[str, set[str]] = {}
        self._key_of: dict[str, str] = {}
        self._asking: dict[Address, set[str]] = {}
        self._asked_of: dict[str, tuple[Address, ...]] = {}

    def known(self) -> tuple[str, ...]:
        """Every Service that something is kept about, by UID."""
        return (*self._turn_of, *self._key_of, *self._asked_of)

    def put(
        self,
        uid: str,
        turn: Turn | None,
        sharing_key: str = "",
        asked: tuple[Address, ...] = (),
        gain: Family | None = None,
    ) -> None:
        """Bring one Service up to date; `turn` is None if it lacks nothing, `gain` is the family it can do without."""
        self._put_turn(uid, turn)
        if self._gain_of.pop(uid, None) is not None or gain is not None:
            for family in FAMILIES:
                self.gaining[family].discard(uid)
        if gain is not None:
            self._gain_of[uid] = gain
            self.gaining[gain].add(uid)
        key = self._key_of.pop(uid, "")
        if key:
            _discard(self._with_key, key, uid)
        if sharing_key:
            self._key_of[uid] = sharing_key
            self._with_key.setdefault(sharing_key, set()).add(uid)
        for address in self._asked_of.pop(uid, ()):
            _discard(self._asking, address, uid)
            self.asking_in[family_of(address)].discard(uid)
        if asked:
            self._asked_of[uid] = asked
            for address in asked:
                self._asking.setdefault(address, set()).add(uid)
                if turn is None or turn[0] != CLAIMS:
                    self.asking_in[family_of(address)].add(uid)

    def _put_turn(self, uid: str, turn: Turn | None) -> None:
        before = self._turn_of.pop(uid, None)
        if turn is not None:
            self._turn_of[uid] = turn
        if turn != before:
            if before is not None:
                del self._turns[bisect_left(self._turns, before)]
            if turn is not None:
                insort(self._turns, turn)

    def lacks(self, uid: str) -> bool:
        """Whether a Service lacks something."""
        return uid in self._turn_of

    def is_served(self, uid: str) -> bool:
        """Whether nothing is refused to a Service, though it may gain a second family."""
        return uid not in self._turn_of or uid in self._gain_of

    def next(self, limit: int, without: Container[str]) -> tuple[str, ...]:
        """The first Services that lack something, without some."""
        found: list[str] = []
        for turn in self._turns:
            if len(found) >= limit:
                break
            if turn[-1] not in without:
                found.append(turn[-1])
        return tuple(found)

    def with_key(self, sharing_key: str) -> frozenset[str]:
        """The Services that carry a sharing key now, by UID."""
        return frozenset(self._with_key.get(sharing_key, ()))

    def indifferent(self, address: Address) -> set[str]:
        """Who gets nothing more for an address that is free: who requests others of its family, or has that family."""
        family = family_of(address)
        uids = self.asking_in[family] - self._asking.get(address, set())
        return uids.union(*(gaining for other, gaining in self.gaining.items() if other != family))

    def concerned(self, sharing_key: str, addresses: Iterable[Address]) -> set[str]:
        """Who might share with a Service that carries a key and holds addresses: those that ask for the same."""
        asking = (self._asking.get(address, ()) for address in addresses)
        return {uid for uids in (self._with_key.get(sharing_key, ()), *asking) for uid in uids}


def _discard(sets: dict[_Key, set[str]], key: _Key, uid: str) -> None:
    sets[key].discard(uid)
    if not sets[key]:
        del sets[key]
