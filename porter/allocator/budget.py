"""A namespace's quota while one Service's claim is decided: what is held, what leaves, and what was granted so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from porter.allocator import messages
from porter.model.address import Address
from porter.model.reasons import Candidate
from porter.policy.pool_choice import Pool
from porter.policy.pool_order import NO_LIMIT, quota_of
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation


class Budget:
    """How many more addresses of a pool a namespace may be given.

    What the Service gives back in the same commit (`leaving`) makes room for what replaces it, so that a namespace at
    its quota can still move. An address that the namespace holds already, because its Services share it, costs nothing.
    """

    def __init__(
        self, state: ClusterState, namespace: str, leaving: Iterable[Allocation], staying: Iterable[Allocation] = ()
    ) -> None:
        self._pools = state.pools
        self._namespace = namespace
        self._taken: Counter[str] = Counter()
        self._granted: set[Address] = set()
        self._freed: Counter[str] = Counter()
        self._own = Counter(self._pools.pool_of(one) for one in staying)
        for one in leaving:
            holders = self._pools.by_address[one.address]
            if all(holder.uid == one.uid or holder.namespace != namespace for holder in holders):
                self._freed[self._pools.pool_of(one)] += 1

    def needed(self, pool: str, more: int) -> int:
        """How many addresses of a pool the Service has in the end, if it is granted so many more of it."""
        return self._own[pool] + self._taken[pool] + more

    def why_not(self, pool: Pool, address: Address | None = None, also: int = 0, needed: int = 1) -> Candidate | None:
        """Why the quota allows no more, or None; `also` counts addresses of the pool that are about to be granted.

        `needed` is how many of the pool the Service needs together. What is told follows from that and the quota, so
        that it reads the same whichever of the addresses is refused.
        """
        limit = quota_of(pool.fact, self._namespace)
        if limit == NO_LIMIT or (address is not None and self._has(address)):
            return None
        held = self._pools.index.count(pool.name, self._namespace)
        if held - self._freed[pool.name] + self._taken[pool.name] + also < limit:
            return None
        if needed > limit:
            return messages.quota_too_low(pool.name, self._namespace, needed, limit)
        if needed > 1:
            return messages.quota_leaves_too_few(pool.name, self._namespace, needed, limit)
        return messages.over_quota(pool.name, self._namespace, held, limit)

    def take(self, pool: str, address: Address) -> None:
        """Count a grant."""
        if not self._has(address):
            self._taken[pool] += 1
            self._granted.add(address)

    def _has(self, address: Address) -> bool:
        holders = self._pools.by_address.get(address, ())
        return address in self._granted or any(one.namespace == self._namespace for one in holders)
