"""Time travel: the folds as of an earlier moment are the folds as they stood."""

from __future__ import annotations

import pytest

from porter.app.history.moments import Moment, position_of
from porter.app.history.reading import BadQuestion
from porter.app.history.time_travel import as_of, baseline_before
from porter.app.incident import direct
from porter.events.envelope import BEGINNING
from porter.journal.limits import Trim
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.schema_check import violations
from tests.unit.app.scripted_incident import incident
from tests.unit.projections.story import NOON_MS


async def ask(it, question, **query):
    answer = await direct.answer(it.streams, "porter", question, {k: str(v) for k, v in query.items()})
    assert violations(answer, question) == []
    return answer


async def test_the_state_at_every_position_is_the_fold_of_what_stands_before_it():
    it = await incident()
    envelopes = [envelope async for page in it.journal.read(BEGINNING) for commit in page for envelope in commit.events]
    state = ClusterState.empty()
    for envelope in envelopes:
        state = fold(state, (envelope,))
        assert (await as_of(it.streams, Moment(envelope.position))).model.state == state


async def test_routes_are_what_the_router_had_at_each_step():
    it = await incident()

    async def routes(mark):
        answer = await ask(it, "routes", at=it.marks[mark])
        return [(route["nextHop"], route["state"]) for route in answer["routes"]]

    assert await routes("calm") == [("10.0.0.1", "confirmed"), ("10.0.0.2", "confirmed")]
    assert await routes("flapped") == [("10.0.0.1", "confirmed")]
    assert await routes("recovered") == [("10.0.0.1", "confirmed"), ("10.0.0.2", "confirmed")]
    assert await routes("router-down") == [("10.0.0.1", "desired"), ("10.0.0.2", "desired")]
    assert await routes("router-up") == [("10.0.0.1", "confirmed"), ("10.0.0.2", "confirmed")]


@pytest.mark.parametrize("question", ["status", "routes", "pools", "services", "peers"])
async def test_every_answer_at_the_head_is_the_present_one(question):
    it = await incident()
    head = it.state.ledger.position
    assert await ask(it, question, at=head) == await ask(it, question)


async def test_a_time_is_the_position_that_was_the_head_then():
    it = await incident()
    assert await position_of(it.journal, Moment(0, NOON_MS), "at") == 1
    assert await position_of(it.journal, Moment(0, NOON_MS + 999), "at") == 1
    assert await position_of(it.journal, Moment(0, NOON_MS + 10**9), "at") == it.state.ledger.position
    flap = await it.journal.commit_at(it.marks["flapped"])
    assert await position_of(it.journal, Moment(0, flap.time_ms), "at") == it.marks["flapped"]
    assert await position_of(it.journal, Moment(0, flap.time_ms - 1), "at") == it.marks["calm"]


async def test_a_session_at_a_time_is_as_it_was_told_by_then():
    it = await incident()
    down = (await it.journal.commit_at(it.marks["router-down"])).time_ms
    for time_ms, state in (
        (down, "Established"),
        (down + 11, "Established"),
        (down + 12, "Idle"),
        (down + 1000, "Idle"),
    ):
        then = await as_of(it.streams, Moment(0, time_ms))
        assert then.model.sessions.speakers["speaker-0"].peers["tor-a"].state == state


async def test_explain_tells_of_the_time_that_is_asked_for():
    it = await incident()
    before = await ask(it, "explain", service="shop/web", at=it.marks["flapped"])
    assert [hop["node"] for hop in before["service"]["holdings"][0]["route"]["nextHops"]] == ["n1"]
    assert before["service"]["holdings"][0]["causes"][0]["type"] == "AddressAllocated"
    with pytest.raises(BadQuestion, match="late-comer"):
        await ask(it, "explain", service="shop/late-comer", at=it.marks["router-up"])


async def test_a_moment_outside_of_what_is_kept_is_refused():
    it = await incident()
    head = it.state.ledger.position
    with pytest.raises(BadQuestion, match=rf"at=#{head + 1} lies behind the head, #{head}"):
        await as_of(it.streams, Moment(head + 1))
    with pytest.raises(BadQuestion, match=r"lies before the first position that is kept, #1 of 1970-01-01T12"):
        await as_of(it.streams, Moment(0, NOON_MS - 1))
    second = await it.journal.newest_baseline()
    first = await baseline_before(it.journal, second.checkpoint.position - 1)
    await it.journal.trim(first.checkpoint)
    kept = first.envelope.position
    with pytest.raises(BadQuestion, match=rf"at=#{kept - 1} lies before the first position that is kept, #{kept}"):
        await as_of(it.streams, Moment(kept - 1))
    assert (await as_of(it.streams, Moment(kept))).model.state.ledger.position == kept


@pytest.mark.parametrize("text", ["0", "noon", "2026-11-25", "2026-11-25T12:00:00", "-5", "1e3"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(BadQuestion, match="at="):
        Moment.from_query({"at": text}, "at")


def test_moments_are_positions_or_times_with_a_zone():
    assert Moment.from_query({}, "at") is None
    assert Moment.from_query({"at": "#7"}, "at") == Moment(7)
    assert Moment.from_query({"at": "1970-01-01T12:00:00.5Z"}, "at") == Moment(0, NOON_MS + 500)
    assert Moment.from_query({"at": "1970-01-01T13:00:00 01:00"}, "at") == Moment(0, NOON_MS)


async def test_a_speaker_whose_outcomes_of_that_time_are_gone_is_named():
    it = await incident()
    stream = it.streams.server.store("porter:s:speaker-0")
    stream.drop(7, Trim(*stream.entries[6].checkpoint[1:]))
    answer = await ask(it, "routes", at=it.marks["calm"])
    assert answer["problems"] == [
        "what speaker speaker-0 told by then is not kept any more: its sessions of that time are not known"
    ]
    assert (await ask(it, "routes"))["problems"] == []
