"""The HTTP side over a real socket on loopback and a journal in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json

import aiohttp
import pytest

from porter.app.http import serve
from porter.app.settings import InvalidSettings, Settings
from porter.app.view import View
from porter.events import decided
from porter.events.envelope import Draft
from porter.journal.memory import MemoryJournals
from porter.ports import Claim
from tests.schema_check import violations
from tests.unit.projections.story import Story, node, pool, service

ANSWERS = {
    "/v1/status": "status",
    "/v1/routes": "routes",
    "/v1/pools": "pools",
    "/v1/services": "services",
    "/v1/peers": "peers",
    "/v1/events": "events",
    "/readyz": "readiness",
}


@pytest.fixture
async def journal():
    """A journal that holds an epoch's start, three Nodes and a pool."""
    stream = MemoryJournals(writer="a").journal()
    await stream.claim(Claim("g", 1, None, 1, False, "a"), [Draft(decided.EpochStarted("g", "a", 0, ""))])
    await stream.append([Draft(node(number)) for number in (1, 2, 3)])
    await stream.append([Draft(pool(default=True), causation=2)])
    return stream


@pytest.fixture
def view():
    story = Story(node(1), pool(default=True), service())
    story.settles()
    return View(state=story.state, parts=lambda: {"journal": "ok"})


class Client:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session = session
        self.base = f"http://{address}"

    async def get(self, path: str):
        async with self.session.get(self.base + path) as response:
            return response.status, await response.json()

    async def post(self, body, **more):
        async with self.session.post(f"{self.base}/v1/drain", json=body, **more) as response:
            return response.status, await response.json()


@pytest.fixture
async def client(tmp_path, view, journal):
    serving = asyncio.create_task(serve(Settings(state_dir=tmp_path, http="127.0.0.1:0"), view, journal))
    while not (tmp_path / "http").exists():
        await asyncio.sleep(0.001)
        assert not serving.done()
    async with aiohttp.ClientSession() as session:
        yield Client(session, (tmp_path / "http").read_text().strip())
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


@pytest.mark.parametrize("path", ANSWERS)
async def test_every_answer_is_json_by_its_schema(client, path):
    status, answer = await client.get(path)
    assert status == 200
    assert violations(answer, ANSWERS[path]) == []


async def test_health_tells_each_part(client, view):
    assert await client.get("/livez") == (200, {"status": "ok"})
    view.parts = lambda: {"journal": "the server is away", "nodes": "ok"}
    status, answer = await client.get("/readyz")
    assert status == 503
    assert answer["parts"] == {"journal": "the server is away", "nodes": "ok"}


async def test_events_are_the_newest_or_those_behind_a_position(client):
    async def positions(query: str) -> list[int]:
        return [event["position"] for event in (await client.get(f"/v1/events{query}"))[1]["events"]]

    assert await positions("") == [1, 2, 3, 4, 5]
    assert await positions("?limit=2") == [4, 5]
    assert await positions("?after=3") == [4, 5]
    assert await positions("?after=1&limit=2") == [2, 3]
    assert await positions("?type=Node*") == [2, 3, 4]
    assert await positions("?aggregate=node/n2") == [3]
    _, answer = await client.get("/v1/events?after=4")
    assert answer["events"][0]["cause"] == 2


async def test_events_are_followed_one_per_line(client, journal):
    async with client.session.get(f"{client.base}/v1/events?after=4&follow=1") as response:
        assert json.loads(await response.content.readline())["position"] == 5
        await journal.append([Draft(node(4))])
        assert json.loads(await response.content.readline())["aggregate"] == "node/n4"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/routes?prefix=web", "prefix=web"),
        ("/v1/events?limit=many", "limit='many'"),
        ("/readyz?sessions=some", "sessions='some'"),
    ],
)
async def test_a_question_that_is_not_understood_is_refused_with_a_sentence(client, path, told):
    status, answer = await client.get(path)
    assert status == 400
    assert violations(answer, "error") == []
    assert told in answer["message"]


async def test_what_does_not_exist_is_told_as_json(client):
    status, answer = await client.get("/v1/nothing")
    assert status == 404
    assert violations(answer, "error") == []


async def test_an_unavailable_journal_is_told_and_the_folds_still_answer(client, journal):
    journal._store._server.down = "gone"
    status, answer = await client.get("/v1/events")
    assert status == 503
    assert "gone" in answer["message"]
    assert (await client.get("/v1/routes"))[0] == 200


async def test_a_drain_becomes_an_event_of_the_leader(client, view):
    acts = []

    async def act(event):
        acts.append(event)
        return 42

    view.act = act
    status, answer = await client.post({"speaker": "s1", "why": "maintenance"})
    assert (status, answer) == (200, {"position": 42, "speaker": "s1", "drained": True})
    assert violations(answer, "action") == []
    await client.post({"speaker": "s1", "undo": True})
    assert acts == [
        decided.SpeakerDrained("s1", "loopback:127.0.0.1", "maintenance"),
        decided.SpeakerUndrained("s1", "loopback:127.0.0.1", ""),
    ]


async def test_a_follower_names_the_leader(client, view):
    view.leader = "b"
    status, answer = await client.post({"speaker": "s1", "why": ""})
    assert status == 409
    assert "the leader, b" in answer["message"]


@pytest.mark.parametrize("body", [[], {"why": "x"}, {"speaker": 1}, {"speaker": "x" * 2000}])
async def test_an_action_that_is_not_understood_is_refused(client, body):
    assert (await client.post(body))[0] == 400


async def test_a_page_in_a_browser_cannot_act(client):
    async with client.session.post(f"{client.base}/v1/drain", data='{"speaker": "s1"}') as response:
        assert response.status == 415


async def test_an_address_that_others_reach_is_refused_outside_of_a_cluster(tmp_path, view, journal):
    with pytest.raises(InvalidSettings, match="bind a loopback address"):
        await serve(Settings(state_dir=tmp_path, http="0.0.0.0:0"), view, journal)


async def test_an_address_that_is_taken_is_told(tmp_path, client, view, journal):
    taken = client.base.removeprefix("http://")
    with pytest.raises(InvalidSettings, match=f"{taken} cannot be bound"):
        await serve(Settings(state_dir=tmp_path, http=taken), view, journal)
