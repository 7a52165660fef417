"""Random outages: what is held is never withdrawn before an approval, the end of its cause, or its bound."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from porter.allocator.elapsed import elapsed, ended
from porter.allocator.withdrawals import WINDOW_MS, Rule, withdrawals
from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.address import Prefix
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve, fold
from tests.unit.projections.story import Story, endpoints, node, pool, service

RULE = Rule(share_percent=25, minimum=3, bound_ms=600_000, local_bound_ms=5_000)
NAMES = tuple(f"s{number}" for number in range(8))
NODES = (1, 2, 3)
MAY_WITHDRAW = (
    observed.ServiceGone,
    decided.AddressReleased,
    decided.WithdrawalApproved,
    decided.HoldExpired,
    decided.ServiceDrainElapsed,
    decided.NodeDrainElapsed,
    decided.NodeDrained,
)

some_names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
operations = st.one_of(
    st.tuples(st.just("lose"), some_names),
    st.tuples(st.just("lose"), some_names),
    st.tuples(st.just("back"), some_names, st.sampled_from(NODES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("nodes"), st.lists(st.sampled_from(NODES), unique=True), st.booleans()),
    st.tuples(st.just("time"), st.sampled_from((1_000, 4_000, 59_000, 61_000, 600_000))),
    st.tuples(st.just("approve")),
    st.tuples(st.just("drain node"), st.sampled_from(NODES), st.booleans()),
    st.tuples(st.just("drain service"), st.sampled_from(NAMES)),
    st.tuples(st.just("restart")),
)


class Outage:
    """A journal that a guarded leader writes; every event is looked at as a reader would."""

    def __init__(self) -> None:
        story = Story(*(node(number) for number in NODES), pool(default=True))
        for number, name in enumerate(NAMES):
            policy = "Local" if number < 3 else "Cluster"
            story.says(service(name, created_ms=number, traffic_policy=policy), endpoints(name, "n1"))
        story.settles()
        story.time_ms += 3_600_000
        self.state = story.state
        self.begin = story.state.fork()
        self.journal: list[Envelope] = []
        self.losses: list[tuple[Prefix, str, int]] = []
        self.position, self.time_ms = story.position, story.time_ms

    def says(self, *events: Event) -> None:
        for event in events:
            before, holding = self.routes(), self.held()
            self.position += 1
            envelope = Envelope(self.position, 1, self.time_ms, 0, "", "", event)
            self.journal.append(envelope)
            self.state = evolve(self.state, envelope)
            gone = before - self.routes()
            if not isinstance(event, MAY_WITHDRAW):
                assert not gone & holding, f"{event} withdraws what is held"
                self.check_rule(gone, before)

    def facts(self, *facts: Event) -> None:
        """What the leader takes from its source at once."""
        self.says(*withdrawals(self.state, facts, RULE, time_ms=self.time_ms), *facts)

    def settles(self) -> None:
        while due := [one.event for one in (*elapsed(self.state, self.time_ms), *ended(self.state))]:
            self.says(due[0])

    def routes(self) -> frozenset[Prefix]:
        return frozenset(self.state.loc_rib.routes)

    def held(self) -> frozenset[Prefix]:
        return frozenset(self.state.ledger.holds.routes)

    def check_rule(self, gone: frozenset[Prefix], before: frozenset[Prefix]) -> None:
        """No more than the rule allows went within a minute by one cause that nobody settled."""
        lost, settled = self.state.loc_rib.lost, self.state.ledger.holds.settled_ms
        self.losses += [(prefix, lost[prefix].reason, self.time_ms) for prefix in gone if prefix in lost]
        for cause in {lost[prefix].reason for prefix in gone if prefix in lost}:
            since_ms = max(self.time_ms - WINDOW_MS, settled.get(cause, -1) + 1)
            recent = {
                prefix
                for prefix, why, at_ms in self.losses
                if why == cause == (lost[prefix].reason if prefix in lost else None) and at_ms >= since_ms
            } - self.routes()
            total = len(before | recent)
            assert len(recent) < RULE.minimum or len(recent) * 100 <= RULE.share_percent * total, (cause, recent)

    def check(self) -> None:
        again = baseline.decode(baseline.encode(self.state))
        assert again == self.state
        assert dict(again.loc_rib.routes) == dict(self.state.loc_rib.routes)
        assert dict(again.loc_rib.lost) == dict(self.state.loc_rib.lost)
        services = self.state.inventory.services
        for prefix, route in self.state.loc_rib.routes.items():
            assert route.uid in services, f"{prefix} of a deleted Service has a route"
        for number, hold in self.state.ledger.holds.open.items():
            assert self.time_ms < hold.since_ms + hold.bound_ms, f"hold {number} outlives its bound"
        for prefix in self.held():
            holders = self.state.pools.by_address[prefix.removesuffix("/32")]  # type: ignore[index]
            drains = self.state.ledger.maintenance.services
            if any(one.uid in services and one.uid not in drains for one in holders):
                assert prefix in self.state.loc_rib.routes, f"{prefix} is held and has no route"


def carry_out(outage: Outage, operation: tuple[Any, ...]) -> None:
    kind, *rest = operation
    services = outage.state.inventory.services
    match kind:
        case "lose":
            outage.facts(*(endpoints(name) for name in rest[0] if name in services))
        case "back":
            outage.facts(*(endpoints(name, f"n{rest[1]}") for name in rest[0] if name in services))
        case "delete" if rest[0] in services:
            outage.says(observed.ServiceGone(rest[0], "shop", rest[0], "ServiceDeleted"), endpoints(rest[0]))
            for one in outage.state.pools.of(rest[0]):
                outage.says(decided.AddressReleased(rest[0], "shop", rest[0], one.address, one.pool, "ServiceDeleted"))
        case "nodes":
            outage.facts(*(node(number, excluded=rest[1]) for number in rest[0]))
        case "time":
            outage.time_ms += rest[0]
        case "approve":
            outage.says(*(decided.WithdrawalApproved(one, "ada", "") for one in outage.state.ledger.holds.open))
        case "drain node":
            outage.says(decided.NodeDrained(f"n{rest[0]}", f"n{rest[0]}", "ada", "", 5_000, rest[1]))
        case "drain service" if rest[0] in services:
            outage.says(decided.ServiceDrained(rest[0], "shop", rest[0], "ada", "", 5_000))
        case "restart":
            outage.state = baseline.decode(baseline.encode(outage.state))
    outage.settles()


@settings(max_examples=200, deadline=None)
@given(st.lists(operations, max_size=30))
def test_what_is_held_is_withdrawn_by_nothing_but_an_approval_an_end_or_a_bound(history: list[tuple[Any, ...]]) -> None:
    outage = Outage()
    for operation in history:
        carry_out(outage, operation)
        outage.check()
    replayed: ClusterState = fold(outage.begin, outage.journal)
    assert replayed == outage.state
    assert baseline.encode(replayed) == baseline.encode(outage.state)
    assert dict(replayed.loc_rib.routes) == dict(outage.state.loc_rib.routes)
