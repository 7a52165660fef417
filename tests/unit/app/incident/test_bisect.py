"""Bisection: the first position at which an assertion fails, on the scripted incident."""

from __future__ import annotations

import pytest

from porter.app.history.moments import Moment
from porter.app.history.reading import BadQuestion
from porter.app.incident.assertions import Assertion
from porter.app.incident.bisect import bisect
from tests.schema_check import violations
from tests.unit.app.scripted_incident import incident

pytest.importorskip("celpy", reason="no cel-python: install the extra porter[bisect]")


async def ask(text, since="", until=""):
    it = await incident()
    moments = [Moment(it.marks[name]) if name else None for name in (since, until)]
    answer = await bisect(it.streams, "porter", Assertion(text), *moments)
    assert violations(answer, "bisect") == []
    return it, answer


@pytest.mark.parametrize(
    ("text", "since", "until", "mark", "told"),
    [
        ("size(routes) >= 2", "calm", "flapped", "flapped", "EndpointsObserved"),
        ("routes.all(r, r.state == 'confirmed')", "recovered", "router-down", "router-down", "SessionStateChanged"),
        (
            "peers.all(p, p.sessions.all(s, s.state == 'Established'))",
            "calm",
            "router-down",
            "router-down",
            "SessionSta",
        ),
        ("pools.all(p, p.available > 0)", "calm", "", "", "PoolObserved"),
        ("services.all(s, size(s.allocations) > 0)", "calm", "", "", "ServiceObserved"),
        ("status.services.waiting == 0", "calm", "", "", "ServiceObserved"),
    ],
)
async def test_each_step_of_the_incident_is_found(text, since, until, mark, told):
    it, answer = await ask(text, since, until)
    assert answer["holdsBefore"]
    assert not mark or answer["position"] == it.marks[mark]
    assert any(entry["type"].startswith(told) for entry in answer["entries"])


async def test_few_positions_are_looked_at():
    _, answer = await ask("pools.all(p, p.available > 0)", "calm")
    assert answer["probes"] <= 6


async def test_what_holds_at_the_end_has_no_position():
    _, answer = await ask("size(pools) == 1", "calm")
    assert (answer["position"], answer["entries"], answer["holdsBefore"]) == (0, [], False)


async def test_what_never_held_fails_from_the_first_on():
    it, answer = await ask("size(pools) == 9", "calm")
    assert (answer["position"], answer["holdsBefore"]) == (it.marks["calm"], False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes.", "no expression"),
        ("1 == 1", "looks at none of"),
        ("size(routes)", "neither true nor false"),
        ("routes[99].state == 'x'", "cannot be evaluated"),
        ("pools.all(p, p.absent > 0)", "cannot be evaluated"),
    ],
)
async def test_what_is_no_assertion_is_refused(text, told):
    with pytest.raises(BadQuestion, match=told):
        await ask(text)
