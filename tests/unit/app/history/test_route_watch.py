"""What is left out of a watch of next hops makes no difference to it."""

from __future__ import annotations

import pytest

from porter.app.history.route_watch import RouteWatch
from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.bench.journal_history import address_of, history

EVENTS, SERVICES = 3000, 40


def envelopes(*, local: bool) -> list[Envelope]:
    """A life of Services that come, go, move and hand addresses on; Local ones hang on their endpoints' nodes."""
    found: list[Envelope] = []
    for commit in history(EVENTS, services=SERVICES):
        for event in commit:
            payload = event
            if isinstance(event, observed.ServiceObserved):
                payload = event._replace(traffic_policy="Local" if local else "Cluster")
            position = len(found) + 1
            found.append(Envelope(position, 1, position, 0, "", "", payload))
    return found


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("begin", [60, 1500, 2500])
def test_endpoints_of_others_make_no_difference(local, begin):
    events = envelopes(local=local)
    watched = tuple(address_of(number) for number in (0, 3, 7, 11, SERVICES - 1, SERVICES))
    told = []
    for leaves_out in (False, True):
        watch = RouteWatch(fold(ClusterState.empty(), events[:begin]), watched)
        followed = watch.relevant(events[begin:]) if leaves_out else events[begin:]
        for envelope in followed:
            watch.fold(envelope)
        told.append((len(followed), watch.joined, watch.changes))
    (whole, *expected), (few, *found) = told
    assert found == expected
    assert few < whole / 2
    changed = [change for changes in watch.changes.values() for change in changes]
    assert len(changed) > 10 or not local


def test_a_service_that_takes_an_address_later_brings_its_endpoints_along():
    events = envelopes(local=True)
    allocated = next(one for one in events[1500:] if isinstance(one.payload, decided.AddressAllocated))
    before = events[: allocated.position - 400]
    watch = RouteWatch(fold(ClusterState.empty(), before), (allocated.payload.address,))
    followed = watch.relevant(events[len(before) :])
    name = f"{allocated.payload.namespace}/{allocated.payload.name}"
    there = [one.payload for one in events[len(before) :] if isinstance(one.payload, observed.EndpointsObserved)]
    assert [one for one in there if f"{one.namespace}/{one.name}" == name] == [
        one.payload
        for one in followed
        if isinstance(one.payload, observed.EndpointsObserved) and f"{one.payload.namespace}/{one.payload.name}" == name
    ]
