"""The speaker's spans: what ends them, what is never continued, and what is given up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from porter.app.speaker.traces import CONFIRM_TIMEOUT_S, RouteTraces
from porter.events.decided import AddressAllocated
from porter.events.envelope import Envelope
from porter.events.routed import Path, RibSynced, RoutesAnnounced, RoutesWithdrawn, SessionStateChanged
from porter.model.address import Address, Prefix
from porter.model.bgp import PeerKey, RouteKey
from porter.ports import Desired
from tests.unit.projections.story import Story, endpoints, node, pool, service

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PREFIX = Prefix("192.0.2.0/32")
PEER = PeerKey("r")
KEYS = (RouteKey(PREFIX, 1), RouteKey(PREFIX, 2))
UP = SessionStateChanged("r", "Established", "")


@dataclass
class Span:
    name: str
    traceparent: str
    parent: str
    links: tuple[str, ...]
    attributes: dict
    error: str = ""
    ended: bool = False

    def end(self, attributes=None, *, error=""):
        assert not self.ended
        self.attributes |= attributes or {}
        self.error, self.ended = error, True


@dataclass
class Tracer:
    tracing: bool = True
    spans: list[Span] = field(default_factory=list)

    def begin(self, name, *, parent="", links=(), start_ns=None, attributes=None):
        number = len(self.spans) + 1
        trace = parent.split("-")[1] if parent else f"{number:032x}"
        span = Span(name, f"00-{trace}-{number:016x}-01", parent, tuple(links), dict(attributes or {}))
        self.spans.append(span)
        return span

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class Speaker:
    """A story whose allocation is traced, and a speaker that follows it."""

    def __init__(self) -> None:
        self.tracer, self.now_s = Tracer(), 0.0
        self.traces = RouteTraces(self.tracer, "s", monotonic_s=lambda: self.now_s)
        self.story = Story(node(1), node(2), pool("p", default=True), service(), endpoints("web", "n1", "n2"))
        self.story.settles()
        [self.allocated] = (
            Envelope(one.position, 1, 0, 0, "", TRACE, AddressAllocated("web", "shop", "web", one.address, "p", "x"))
            for one in self.story.state.pools.of("web")
        )

    def folds(self, *, live: bool = True) -> None:
        self.traces.folded(self.story.state, [self.allocated], live=live)
        self.traces.page()

    def desires(self, *keys: RouteKey, position: int = 9) -> None:
        routes = dict.fromkeys(keys, None)
        self.traces.desired(Desired(PEER, routes, position, True, frozenset(KEYS)))  # type: ignore[arg-type]

    def announced(self, *keys: RouteKey, position: int = 9):
        paths = tuple(Path(key.prefix, key.path_id, Address("10.0.0.1")) for key in keys)
        return self.traces.confirmed([RoutesAnnounced("r", position, paths)])


@pytest.fixture
def speaker() -> Speaker:
    made = Speaker()
    made.traces.confirmed([UP])
    made.traces.confirmed([RibSynced("r", 1, 0, "")])
    return made


def test_a_send_lasts_until_its_last_route_is_confirmed_and_the_announcement_with_it(speaker):
    speaker.folds()
    speaker.desires(*KEYS)
    [announce], [send] = speaker.tracer.named("announce"), speaker.tracer.named("exabgp.send")
    assert (announce.parent, send.parent) == (TRACE, announce.traceparent)
    assert speaker.announced(KEYS[0]) == {0: send.traceparent}
    assert not send.ended
    speaker.announced(KEYS[1])
    assert (send.ended, announce.ended, send.error) == (True, True, "")
    assert send.attributes["porter.routes.announced"] == 2


def test_an_outcome_of_an_earlier_desire_ends_nothing(speaker):
    speaker.folds()
    speaker.desires(*KEYS, position=9)
    assert speaker.announced(*KEYS, position=8) == {}
    assert not speaker.tracer.named("exabgp.send")[0].ended


def test_what_is_caught_up_with_is_linked_and_not_continued(speaker):
    speaker.folds(live=False)
    speaker.desires(*KEYS)
    [announce] = speaker.tracer.named("announce")
    assert (announce.parent, announce.links) == ("", (TRACE,))
    assert announce.attributes["porter.replay"] is True


def test_a_session_that_comes_up_is_told_everything_in_a_trace_of_its_own():
    speaker = Speaker()
    speaker.folds(live=False)
    speaker.traces.confirmed([UP])
    speaker.desires(*KEYS)
    before = len(speaker.tracer.spans)
    speaker.traces.confirmed([RibSynced("r", 9, 2, "")])
    announce, send = speaker.tracer.spans[before:]
    assert (announce.parent, announce.links) == ("", (TRACE,))
    assert (send.parent, send.attributes["porter.routes.announced"]) == (announce.traceparent, 2)
    assert all(span.ended for span in speaker.tracer.spans)


def test_a_session_that_goes_ends_what_it_was_about_to_send_as_failed(speaker):
    speaker.folds()
    speaker.desires(*KEYS)
    speaker.traces.confirmed([SessionStateChanged("r", "Idle", "gone")])
    assert all(span.ended and span.error for span in speaker.tracer.spans)


def test_what_nobody_confirms_is_given_up_after_a_while(speaker):
    speaker.folds()
    speaker.desires(*KEYS)
    speaker.now_s = CONFIRM_TIMEOUT_S
    speaker.traces.confirmed([])
    assert "not confirmed" in speaker.tracer.named("announce")[0].error
    # What comes too late ends nothing a second time.
    assert speaker.announced(*KEYS) == {}


def test_without_a_session_nothing_is_begun():
    speaker = Speaker()
    speaker.folds()
    speaker.desires(*KEYS)
    assert speaker.tracer.spans == []


def test_withdrawals_are_confirmed_alike(speaker):
    speaker.folds()
    speaker.desires()
    paths = tuple(Path(key.prefix, key.path_id, Address("10.0.0.1")) for key in KEYS)
    speaker.traces.confirmed([RoutesWithdrawn("r", 9, paths)])
    [send] = speaker.tracer.named("exabgp.send")
    assert (send.ended, send.attributes["porter.routes.withdrawn"]) == (True, 2)
