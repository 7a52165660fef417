"""Which outcomes count as a change's time to the routers, and with which time."""

from __future__ import annotations

import pytest

from porter.app.metrics.route_latency import RouteLatency
from porter.app.view import View
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.events.observed import ServiceGone
from porter.events.routed import Path, RibSynced, RoutesAnnounced, RoutesWithdrawn, SessionStateChanged
from porter.model.address import Address, Prefix
from porter.ports.instrumentation import NoInstrumentation
from porter.projections.fold import evolve
from porter.projections.sessions import Sessions, evolve_sessions
from porter.telemetry.instruments import ANNOUNCE_SECONDS, WITHDRAW_SECONDS
from tests.unit.projections.story import NOON_MS, Story, endpoints, node, pool, service

PREFIX = Prefix("192.0.2.0/32")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Observed(NoInstrumentation):
    def __init__(self) -> None:
        self.values: list[tuple[str, float, str]] = []

    def observe(self, name, value, labels=None, *, traceparent=""):
        self.values.append((name, value, traceparent))

    def taken(self) -> list[tuple[str, float, str]]:
        values, self.values = self.values, []
        return values


class World:
    """A leader's fold and one speaker's stream; each told of as the controller does."""

    def __init__(self) -> None:
        self.view = View(leading=True)
        self.observed = Observed()
        self.latency = RouteLatency(self.view, self.observed, since_ms=NOON_MS)
        self.sessions = Sessions.empty()
        self.story = Story(node(1), node(2), pool("p", default=True))
        self.view.state = self.story.state
        self.tells(SessionStateChanged("r", "Established", "", ("IPv4",), ("IPv4",), 9))
        self.tells(RibSynced("r", self.story.position, 0, ""))

    def says(self, *payloads: Event) -> None:
        for payload in payloads:
            self.story.position += 1
            envelope = Envelope(self.story.position, 1, self.story.time_ms, 0, "", "", payload)
            self.story.state = self.view.state = evolve(self.story.state, envelope)
            self.latency.note(envelope)

    def decides(self) -> None:
        before = self.story.says
        self.story.says = self.says  # type: ignore[method-assign, assignment]
        self.story.settles()
        self.story.says = before  # type: ignore[method-assign]

    def tells(self, payload: Event, *, after_ms: int = 0, traceparent: str = "") -> None:
        envelope = Envelope(1, 1, self.story.time_ms + after_ms, 0, "", traceparent, payload)
        self.latency.outcome(self.sessions, "s", envelope)
        self.sessions = evolve_sessions(self.sessions, "s", envelope)

    def announces(self, *hops: int, after_ms: int, **told: str) -> None:
        self.tells(RoutesAnnounced("r", self.story.position, paths(*hops)), after_ms=after_ms, **told)

    def withdraws(self, *hops: int, after_ms: int) -> None:
        self.tells(RoutesWithdrawn("r", self.story.position, paths(*hops)), after_ms=after_ms)


def paths(*hops: int) -> tuple[Path, ...]:
    return tuple(Path(PREFIX, hop, Address(f"10.0.0.{hop}")) for hop in hops)


@pytest.fixture
def world() -> World:
    made = World()
    made.says(service(), endpoints("web", "n1", "n2"))
    made.decides()
    return made


def test_a_new_route_counts_from_its_cause_to_the_confirmation_once(world):
    world.announces(1, 2, after_ms=40, traceparent=TRACEPARENT)
    assert world.observed.taken() == [(ANNOUNCE_SECONDS, 0.04, TRACEPARENT)]
    world.announces(1, 2, after_ms=9000)
    assert world.observed.taken() == []


def test_a_release_counts_as_a_withdrawal(world):
    world.announces(1, 2, after_ms=40)
    world.observed.taken()
    world.story.time_ms += 60_000
    world.says(ServiceGone("web", "shop", "web", "ServiceDeleted"))
    world.decides()
    world.withdraws(1, 2, after_ms=25)
    assert world.observed.taken() == [(WITHDRAW_SECONDS, 0.025, "")]


def test_endpoints_that_go_count_as_a_withdrawal(world):
    world.announces(1, 2, after_ms=40)
    world.observed.taken()
    world.story.time_ms += 60_000
    world.says(endpoints("web"))
    world.withdraws(1, 2, after_ms=30)
    assert world.observed.taken() == [(WITHDRAW_SECONDS, 0.03, "")]


def test_what_a_session_that_came_up_was_told_is_no_change(world):
    world.tells(RibSynced("r", world.story.position, 2, ""))
    world.announces(1, 2, after_ms=5000)
    assert world.observed.taken() == []


@pytest.mark.parametrize("edited", [node(3), service("web", labels=(("tier", "edge"),))])
def test_a_route_that_something_else_newly_lets_pass_is_not_measured(world, edited):
    world.story.time_ms += 60_000
    world.says(edited._replace(ready=False) if hasattr(edited, "ready") else edited)
    world.announces(1, 2, after_ms=20)
    assert world.observed.taken() == []


def test_who_does_not_lead_measures_nothing(world):
    world.view.leading = False
    world.announces(1, 2, after_ms=40)
    assert world.observed.taken() == []


def test_what_was_told_before_this_controller_began_is_not_measured(world):
    world.latency._since_ms = NOON_MS + 50
    world.announces(1, 2, after_ms=40)
    assert world.observed.taken() == []
