"""The leader's spans: which changes share a trace, what decisions are below of, and how an append ends them."""

from __future__ import annotations

import pytest

from porter.app.controller.traces import ROOTS, ChangeTraces
from porter.events import decided, observed
from porter.events.catalogue import EVENT_TYPES
from porter.events.envelope import GENESIS_HASH, Commit, Envelope
from porter.model.address import Address
from porter.ports import FactKey, JournalUnavailable
from porter.telemetry.instruments import APPEND_SECONDS
from tests.unit.app.speaker.test_traces import Tracer
from tests.unit.projections.story import endpoints, node, pool, service

ALLOCATED = decided.AddressAllocated("web", "shop", "web", Address("192.0.2.0"), "p", "DefaultPool")


class Instrumented(Tracer):
    def __init__(self, *, tracing: bool = True) -> None:
        super().__init__(tracing=tracing)
        self.observed: list[tuple[str, dict, str]] = []

    def observe(self, name, value, labels=None, *, traceparent=""):
        assert value >= 0
        self.observed.append((name, labels, traceparent))


class Leader:
    def __init__(self, *, tracing: bool = True) -> None:
        self.instrumentation = Instrumented(tracing=tracing)
        self.traces = ChangeTraces(self.instrumentation, wall_ns=lambda: 7)
        self.position = 0

    def folds(self, payload, causation: int = 0) -> str:
        self.position += 1
        return self.traces.traceparent(payload, causation, self.position)

    def commits(self) -> None:
        events = (Envelope(self.position, 3, 0, 0, "", "", ALLOCATED),)
        with self.traces.appending() as appended:
            appended(Commit(3, GENESIS_HASH, GENESIS_HASH, 0, "leader", events))

    def named(self, name: str):
        return self.instrumentation.named(name)


@pytest.fixture
def leader() -> Leader:
    return Leader()


def test_a_service_and_its_endpoints_are_one_change_and_the_decision_lies_in_their_commit(leader):
    leader.traces.saw([FactKey("Service", "shop/web")], behind_others=False)
    of_service, of_endpoints = leader.folds(service()), leader.folds(endpoints("web", "n1"))
    leader.traces.deciding()
    of_decision = leader.folds(ALLOCATED, causation=1)
    leader.commits()
    [root], [append], [allocate] = (
        leader.named("service.change"),
        leader.named("journal.append"),
        leader.named("allocate"),
    )
    assert of_service == of_endpoints == append.traceparent
    assert of_decision == allocate.traceparent
    assert (append.parent, allocate.parent) == (root.traceparent, append.traceparent)
    assert all(span.ended and not span.error for span in (root, append, allocate))
    assert append.attributes["porter.epoch"] == 3
    assert leader.instrumentation.observed == [(APPEND_SECONDS, {"result": "committed"}, append.traceparent)]


def test_a_decision_of_a_later_commit_is_below_the_change_that_it_follows_from(leader):
    leader.folds(pool("p"))
    leader.commits()
    leader.folds(ALLOCATED, causation=1)
    leader.commits()
    [change], [append] = leader.named("object.change"), leader.named("journal.append")
    assert change.attributes["porter.object"] == "pool/p"
    assert leader.named("allocate")[0].parent == append.traceparent


def test_a_decision_whose_cause_is_of_an_earlier_epoch_begins_its_own_trace(leader):
    leader.folds(ALLOCATED, causation=4711)
    leader.commits()
    assert leader.named("allocate")[0].parent == leader.named("journal.append")[0].traceparent
    assert leader.named("service.change")[0].parent == ""


def test_an_append_that_fails_ends_its_changes_as_failed(leader):
    leader.folds(node(1))
    with pytest.raises(JournalUnavailable), leader.traces.appending():
        raise JournalUnavailable("gone")
    assert [span.error for span in leader.instrumentation.spans] == ["gone", "gone"]
    assert leader.instrumentation.observed[0][1] == {"result": "JournalUnavailable"}


def test_without_a_tracer_no_span_is_begun_and_the_append_is_measured_all_the_same():
    leader = Leader(tracing=False)
    assert leader.folds(service()) == ""
    leader.commits()
    assert leader.instrumentation.spans == []
    assert leader.instrumentation.observed == [(APPEND_SECONDS, {"result": "committed"}, "")]


def test_every_event_that_changes_something_begins_a_trace_or_is_known_not_to():
    own = {
        # Decisions are below their causes, and a hold comes with the facts that it is made for.
        decided.AddressAllocated,
        decided.AddressAdopted,
        decided.AddressReleased,
        decided.AllocationRefused,
        decided.WithdrawalHeld,
        # These are the journal's own.
        decided.PathIdentifierAssigned,
        decided.EpochStarted,
        decided.PositionsLost,
        decided.RecoveryCompleted,
        decided.BaselineRecorded,
        decided.HeadWitnessed,
        decided.SchemaActivated,
        decided.HeadSigned,
        observed.InventorySynced,
    }
    modules = {decided.__name__, observed.__name__}
    every = {one for one in EVENT_TYPES.values() if one.__module__ in modules}
    assert every - ROOTS.keys() - own == set()
