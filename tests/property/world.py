"""A small cluster with a journal, driven by random operations: what the property tests run on.

The world keeps what really is (objects and their statuses) beside the journal and its fold, as an API server does
beside a leader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from porter.allocator.adopt import adopt
from porter.allocator.decide import decide, unsettled
from porter.allocator.path_identifiers import assign
from porter.allocator.timers import due, next_due_ms
from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.address import FAMILIES, Address, address_number, family_of
from porter.model.reasons import Reason
from porter.policy.facts import gone, same_fact
from porter.policy.sharing import why_not_shared
from porter.projections import baseline, pool_report
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve
from tests.property.rules import check_grants, free_by_hand, is_small

POOL_RANGES = {
    "small": (("192.0.2.0", "192.0.2.2"),),
    "shrunk": (("192.0.2.1", "192.0.2.1"),),
    "dual": (("198.51.100.0", "198.51.100.3"), ("2001:db8::", "2001:db8::3")),
    "six": (("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"),),
    "none": (),
}


@dataclass
class World:
    """Objects by key, the statuses of Services, and the journal with its fold."""

    state: ClusterState = field(default_factory=ClusterState.empty)
    journal: list[Envelope] = field(default_factory=list)
    objects: dict[tuple[str, str], Event] = field(default_factory=dict)
    statuses: dict[str, tuple[tuple[Address, ...], int]] = field(default_factory=dict)
    created: int = 0
    time_ms: int = 1_000_000
    epoch: int = 1
    position: int = 0

    def start(self) -> None:
        """The first genesis, of a cluster with two nodes and a default pool, and a Service that is served."""
        self.journals(decided.EpochStarted("g", "one", 0, ""))
        for number in (1, 2):
            addresses = (Address(f"10.0.0.{number}"), Address(f"fd00::{number}"))
            self.puts("Node", f"n{number}", observed.NodeObserved(f"n{number}", f"n{number}", "1", addresses, True))
        ranges = tuple((Address(one), Address(two)) for one, two in POOL_RANGES["dual"])
        self.puts("Pool", "p", observed.PoolObserved("p", "p", "1", 1, 1, ranges, default=True))
        self.creates_service("a-1")
        ready = (("IPv4", ("n1",)), ("IPv6", ("n1",)))
        self.puts("Endpoints", "a/a-1", observed.EndpointsObserved("a", "a-1", ready))
        self.synchronise()
        self.settles()

    def journals(self, *payloads: Event) -> None:
        for payload in payloads:
            self.position += 1
            self.time_ms += 7
            envelope = Envelope(self.position, self.epoch, self.time_ms, 0, "", "", payload)
            self.journal.append(envelope)
            self.state = evolve(self.state, envelope)

    # ------------------------------------------------------------------------------------------------- objects

    def present(self, key: tuple[str, str]) -> Event | None:
        """The object as a reflector would tell it now, with its present status."""
        fact = self.objects.get(key)
        if isinstance(fact, observed.ServiceObserved):
            held, decision = self.statuses.get(fact.uid, ((), 0))
            return fact._replace(held=held, held_decision=decision)
        return fact

    def observes(self, key: tuple[str, str]) -> None:
        """Journal what differs, as the leader does."""
        now, before = self.present(key), self.state.inventory.get(*key)
        if key[0] == "Endpoints" and self.state.inventory.get("Service", key[1]) is None:
            now = None
        if isinstance(now, observed.ServiceObserved) and before is not None and now.uid != before.uid:  # type: ignore[union-attr]
            self.journals(gone(before, Reason.SERVICE_DELETED))
            before = None
        if now is None:
            if before is not None:
                self.journals(gone(before, Reason.SERVICE_DELETED))
            return
        allocated = self.state.pools.addresses_of(now.uid) if isinstance(now, observed.ServiceObserved) else frozenset()
        if before is None or not same_fact(before, now, allocated, self.state.ledger.recovering):
            self.journals(now)

    def observes_all(self) -> None:
        keys = {*self.objects, *self.state.inventory.keys()}
        order = ("Namespace", "Node", "Pool", "Conf", "Peer", "Service", "Endpoints")
        for key in sorted(keys, key=lambda one: (order.index(one[0]), one[1])):
            self.observes(key)

    def puts(self, kind: str, name: str, fact: Event | None) -> None:
        if fact is None:
            self.objects.pop((kind, name), None)
        else:
            self.objects[kind, name] = fact

    def creates_service(self, name: str, **fields: object) -> observed.ServiceObserved:
        self.created += 1
        namespace = name.partition("-")[0]
        fact = observed.ServiceObserved(
            f"uid-{self.created}",
            namespace,
            name,
            str(self.created),
            self.created,
            1,
            (("TCP", 80),),
            "Cluster",
            ("IPv4",),
            "SingleStack",
        )._replace(**fields)  # type: ignore[arg-type]
        self.puts("Service", f"{namespace}/{name}", fact)
        return fact

    # ------------------------------------------------------------------------------------------------- leading

    def synchronise(self) -> None:
        """What a leader does before its first decision."""
        self.observes_all()
        if not self.state.ledger.synced:
            self.journals(*adopt(self.state, ()))
            self.journals(observed.InventorySynced(0, 0, 0, 0))

    def settles(self) -> list[Event]:
        """Decide until nothing is left to say; each asked Service is settled by one answer."""
        made: list[Event] = []
        self.elapses()
        self.journals(*assign(self.state))
        for _ in range(1000):
            uids = unsettled(self.state, 3)
            if not uids:
                self.check_that_all_was_said()
                return made
            for uid in uids:
                decisions = decide(self.state, uid)
                assert decisions == decide(baseline.decode(baseline.encode(self.state)), uid), "decided otherwise"
                made += decisions
                before = self.state.fork()
                self.journals(*decisions)
                check_grants(before, self.state, decisions)
                assert not self.state.pools.is_unsettled(uid), decisions
        raise AssertionError("decide never comes to an end")

    def check_that_all_was_said(self) -> None:
        """Whoever was not asked again would be given nothing; only its refusal may read otherwise by now."""
        state = self.state.fork()
        for uid in self.state.inventory.services:
            assert all(isinstance(one, decided.AllocationRefused) for one in decide(state, uid))

    def elapses(self) -> None:
        """Journal what is due by now, two at a time, as a leader with little room does."""
        self.time_ms += 1
        now_ms = self.time_ms
        while elapsed := due(self.state, now_ms, 2):
            assert all(one.address in self.state.pools.cooling for one in elapsed)
            self.journals(*elapsed)
        upcoming = next_due_ms(self.state)
        assert upcoming is None or upcoming > now_ms

    def writes_status(self, uid: str) -> None:
        allocations = self.state.pools.of(uid)
        addresses = tuple(one.address for one in allocations)
        self.statuses[uid] = (addresses, max((one.position for one in allocations), default=0))

    def writes_statuses(self) -> None:
        for fact in self.services().values():
            self.writes_status(fact.uid)

    def restarts(self) -> None:
        """Another leader: the state comes from a baseline, the facts are compared again."""
        self.state = baseline.decode(baseline.encode(self.state))
        self.epoch += 1
        self.journals(decided.EpochStarted("g", f"leader-{self.epoch}", self.position, ""))
        self.synchronise()

    def loses(self, kept: int, *, speakers: bool) -> None:
        """The journal loses its tail (all of it with kept = 0), and recovery follows."""
        before = self.state
        reports = tuple(before.pools.holders()) if speakers else ()
        self.journal = self.journal[:kept]
        self.state = ClusterState.empty()
        for envelope in self.journal:
            self.state = evolve(self.state, envelope)
        self.epoch += 1
        last = self.state.ledger.position
        lost = self.position
        self.journals(decided.EpochStarted("g", f"leader-{self.epoch}", last, "", recovering=True))
        if lost > last:
            self.journals(decided.PositionsLost(last + 1, lost, "cut"))
        self.observes_all()
        assert not unsettled(self.state, 10)
        adopted = adopt(self.state, reports)
        self.journals(*adopted)
        assert adopt(self.state, reports) == (), "adoption has an end"
        self.journals(decided.RecoveryCompleted(len(adopted), ()), observed.InventorySynced(0, 0, 0, 0))

    # ---------------------------------------------------------------------------------------------- invariants

    def services(self) -> dict[str, observed.ServiceObserved]:
        return {name: fact for (kind, name), fact in self.objects.items() if isinstance(fact, observed.ServiceObserved)}

    def check(self) -> None:
        """What must hold at every position."""
        self.check_owners()
        self.check_indexes()

    def check_owners(self) -> None:
        pools, services = self.state.pools, self.state.inventory.services
        for address, holders in pools.by_address.items():
            assert len({one.uid for one in holders}) == len(holders) >= 1
            for one, other in combinations(holders, 2):
                first, second = services.get(one.uid), services.get(other.uid)
                # Sharers and their pool may have changed since; each address was given by rule (`check_grants`).
                key = any(sharer.sharing_key for sharer in holders)
                adopted = "Adopted" in one.reason or "Adopted" in other.reason
                assert one.namespace == other.namespace or key or adopted, f"{address}: {one} and {other}"
                if first and second and self.unchanged_since(one.position, first, second):
                    pools_changed = [self.state.inventory.position_of_object("Pool", name) for name in ("p", "q", "r")]
                    if max(pools_changed) > max(one.position, other.position) and one.namespace != other.namespace:
                        continue
                    allowed = pools.table.sharing_namespaces(address)
                    assert not why_not_shared(second, first, address, allowed)
                    assert not set(first.ports) & set(second.ports)
        told = {(one.uid, one.address) for holders in pools.by_address.values() for one in holders}
        assert told == {(uid, one.address) for uid, mine in pools.by_uid.items() for one in mine}

    def unchanged_since(self, position: int, *services: observed.ServiceObserved) -> bool:
        return all(self.state.inventory.position_of(one.uid) < position for one in services)

    def check_indexes(self) -> None:
        """Every index equals what is computed from the folded state alone."""
        fresh = baseline.decode(baseline.encode(self.state))
        assert fresh == self.state
        assert baseline.encode(fresh) == baseline.encode(self.state)
        pools, rib = self.state.pools, self.state.loc_rib
        for family in FAMILIES:
            assert pools.used(family) == fresh.pools.used(family)
            numbers = sorted(address_number(one) for one in pools.by_address if family_of(one) == family)
            assert numbers == [n for first, last in pools.used(family) for n in range(first, last + 1)]
            assert rib.eligible[family] == fresh.loc_rib.eligible[family]
            assert rib.everyone[family] == fresh.loc_rib.everyone[family]
            for pool in pools.table.by_name.values():
                free = free_by_hand(self.state, pool.fact, family)
                by_hand = None if pool.problem is not None else next(free, None)
                assert pools.lowest_free(pool, family) == by_hand
        for name, fact in self.state.inventory.pools.items():
            assert pools.counted_for(name) == fresh.pools.counted_for(name)
            assert pools.index.counts(name) == fresh.pools.index.counts(name)
            assert pools.index.cooling_ends.get(name) == fresh.pools.index.cooling_ends.get(name)
            numbers = pool_report.capacity(self.state, name)
            assert numbers is not None
            assert numbers.size == numbers.used + numbers.reserved + numbers.cooling + numbers.available
            if is_small(fact) and pools.table.by_name[name].problem is None:
                free = sum(1 for family in FAMILIES for _ in free_by_hand(self.state, fact, family))
                assert numbers.available == free
            pool_report.warnings(self.state, name)
        assert not set(pools.cooling) & set(pools.by_address)
        for uid in {*self.state.inventory.services, *pools.by_uid}:
            assert pools.lacks(uid) == fresh.pools.lacks(uid)
            assert pool_report.service_report(self.state, uid) == pool_report.service_report(fresh, uid)
        assert dict(rib.routes) == dict(fresh.loc_rib.routes)
        assert dict(rib.absent) == dict(fresh.loc_rib.absent)
        fork = self.state.fork()
        assert fork == self.state
        assert dict(fork.loc_rib.routes) == dict(rib.routes)
