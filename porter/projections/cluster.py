"""The state of the cluster: everything that follows from its journal up to a position."""

from __future__ import annotations

from dataclasses import dataclass, field

from porter.projections.exports import Exports
from porter.projections.inventory import Inventory
from porter.projections.ledger import Ledger
from porter.projections.loc_rib import LocRib
from porter.projections.pools import Pools

BGP_PROTOCOL = "bgp"


@dataclass(slots=True, eq=False)
class ClusterState:
    """Everything that follows from the journal up to `ledger.position`; `exports` follows from the rest.

    A state is used linearly: `evolve` and `fold` consume the one they are given, and `fork` makes an independent copy.
    """

    ledger: Ledger
    inventory: Inventory
    pools: Pools
    loc_rib: LocRib
    exports: Exports = field(init=False)

    def __post_init__(self) -> None:
        self.exports = Exports(self.inventory, self.pools, self.loc_rib)

    @staticmethod
    def empty() -> ClusterState:
        """The state before the first event."""
        ledger, inventory = Ledger(), Inventory()
        pools = Pools(inventory)
        return ClusterState(ledger, inventory, pools, LocRib(ledger, inventory, pools))

    def fork(self) -> ClusterState:
        """An independent copy, for asking what would be."""
        ledger, inventory = self.ledger.fork(), self.inventory.fork()
        pools = self.pools.fork(inventory)
        return ClusterState(ledger, inventory, pools, self.loc_rib.fork(ledger, inventory, pools))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterState) and self._folded() == other._folded()

    __hash__ = None  # type: ignore[assignment]

    def _folded(self) -> tuple[object, ...]:
        pools, rib = self.pools, self.loc_rib
        return (
            self.ledger,
            self.inventory,
            pools.by_address,
            pools.refusals,
            pools.departed,
            pools.cooling,
            pools.protocols,
            pools.reopened,
            rib.service_stamps,
            rib.cluster_stamps,
            rib.node_stamps,
        )
