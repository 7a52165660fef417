"""The HTTP side over a real socket on loopback and a journal in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import aiohttp
import pytest

from porter.app.http import server as http
from porter.app.http import turns
from porter.app.http.server import serve
from porter.app.settings import InvalidSettings, Settings
from porter.app.view import View
from porter.events import decided, routed
from porter.events.envelope import Draft
from porter.journal.export import ExportJournals
from porter.journal.memory import MemoryJournals
from porter.ports import Claim, Fenced
from porter.projections.sessions import Sessions
from tests.schema_check import violations
from tests.unit.app.answers.test_cluster import told
from tests.unit.projections.story import Story, endpoints, node, pool, service

ANSWERS = {
    "/v1/status": "status",
    "/v1/routes": "routes",
    "/v1/pools": "pools",
    "/v1/services": "services",
    "/v1/peers": "peers",
    "/v1/readers": "readers",
    "/v1/explain?service=shop/web": "explain",
    "/v1/explain?ip=192.0.2.0": "explain",
    "/v1/explain?prefix=192.0.2.0/32": "explain",
    "/v1/explain?node=n1": "explain",
    "/v1/explain?name=n1": "explain",
    "/v1/doctor": "doctor",
    "/v1/events": "events",
    "/v1/status?at=4": "status",
    "/v1/pools?at=%235": "pools",
    "/v1/explain?ip=192.0.2.0&at=5": "explain",
    "/v1/timeline": "timeline",
    "/v1/timeline?since=2&until=4&service=shop/web": "timeline",
    "/v1/diff?a=2&b=4": "diff",
    "/readyz": "readiness",
}


@pytest.fixture
def streams():
    return MemoryJournals(writer="a")


@pytest.fixture
async def journal(streams):
    """A journal that holds an epoch's start, three Nodes and a pool."""
    stream = streams.journal()
    await stream.claim(Claim("g", 1, None, 1, False, "a"), [Draft(decided.EpochStarted("g", "a", 0, ""))])
    await stream.append([Draft(node(number)) for number in (1, 2, 3)])
    await stream.append([Draft(pool(default=True), causation=2)])
    return stream


@pytest.fixture
def view():
    story = Story(node(1), pool(default=True), service())
    story.settles()
    started = told(routed.SpeakerStarted("s1", "0", "10.0.0.1", 0))
    return View(state=story.state, sessions=started, parts=lambda: {"journal": "ok"})


class Client:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session = session
        self.base = f"http://{address}"

    async def get(self, path: str):
        async with self.session.get(self.base + path) as response:
            return response.status, await response.json()

    async def post(self, body, path="/v1/drain", **more):
        async with self.session.post(self.base + path, json=body, **more) as response:
            return response.status, await response.json()


@pytest.fixture
async def client(tmp_path, view, journal, streams):
    serving = asyncio.create_task(serve(Settings(state_dir=tmp_path, http="127.0.0.1:0"), view, streams))
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


async def test_the_timeline_is_followed_one_event_per_line(client, journal):
    async with client.session.get(f"{client.base}/v1/timeline?follow=1&since=5") as response:
        first = json.loads(await response.content.readline())
        assert (first["position"], violations(first, "timeline-entry")) == (5, [])
        await journal.append([Draft(node(4))])
        assert json.loads(await response.content.readline())["aggregate"] == "node/n4"


async def test_questions_about_the_past_wait_in_a_line_of_bounded_length(client, monkeypatch):
    going, answered = asyncio.Event(), http.direct.answer

    async def slow(*arguments):
        await going.wait()
        return await answered(*arguments)

    monkeypatch.setattr(http.direct, "answer", slow)
    most = turns.LOOKING_BACK_MAX + turns.WAITING_MAX
    asked = [asyncio.create_task(client.get("/v1/pools?at=5")) for _ in range(most)]
    async with asyncio.timeout(30):
        message = ""
        while not message:
            # Who comes before the line is full waits in it, too.
            brief = aiohttp.ClientTimeout(total=0.2)
            with contextlib.suppress(TimeoutError):
                async with client.session.get(f"{client.base}/v1/diff?a=2", timeout=brief) as response:
                    if response.status != 200:
                        assert response.status == 503
                        assert response.headers["Retry-After"] == str(turns.RETRY_AFTER_S)
                        message = (await response.json())["message"]
    assert f"{turns.WAITING_MAX} questions about the past wait already" in message
    assert (await client.get("/v1/pools"))[0] == 200, "the present is answered all the same"
    going.set()
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    assert (await client.get("/v1/diff?a=2"))[0] == 200


async def test_the_history_is_handed_out_as_an_export(client):
    async with client.session.get(f"{client.base}/v1/export") as response:
        assert response.content_type == "application/octet-stream"
        opened = ExportJournals.from_bytes(await response.read())
    assert (await opened.journal().head()).position == 5
    async with client.session.get(f"{client.base}/v1/export?redact=1&since=5") as response:
        assert ExportJournals.from_bytes(await response.read()).redacted
    assert (await client.get("/v1/export?redact=yes"))[0] == 400


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
    assert await positions("?after=3&follow=false") == [4, 5]
    assert await positions("?after=1&limit=2") == [2, 3]
    assert await positions("?type=Node*") == [2, 3, 4]
    assert await positions("?aggregate=node/n2") == [3]
    _, answer = await client.get("/v1/events?after=4")
    assert answer["events"][0]["cause"] == 2


@pytest.mark.parametrize("yes", ["1", "true"])
async def test_events_are_followed_one_per_line(client, journal, yes):
    async with client.session.get(f"{client.base}/v1/events?after=4&follow={yes}") as response:
        assert json.loads(await response.content.readline())["position"] == 5
        await journal.append([Draft(node(4))])
        assert json.loads(await response.content.readline())["aggregate"] == "node/n4"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/routes?prefix=web", "prefix=web"),
        ("/v1/events?limit=many", "limit='many'"),
        ("/readyz?sessions=some", "sessions='some'"),
        ("/v1/routes?at=noon", "at='noon'"),
        ("/v1/status?at=2026-11-25T12:00:00", "names no zone"),
        ("/v1/status?at=0001-01-01T00:00:00%2B14:00", "lies before any journal"),
        ("/v1/pools?at=6", "at=#6 lies behind the head, #5 of "),
        ("/v1/pools?at=2199-01-01T00:00:00Z", "00.000Z is yet to come: it lies behind the head, #5 of "),
        ("/v1/explain?node=n1&at=2199-01-01T00:00:00Z", "at=2199-01-01T00:00:00.000Z is yet to come"),
        ("/v1/timeline?since=2199-01-01T00:00:00Z", "since=2199-01-01T00:00:00.000Z is yet to come"),
        ("/v1/export?since=2199-01-01T00:00:00Z", "since=2199-01-01T00:00:00.000Z is yet to come"),
        ("/v1/diff?a=1&b=2199-01-01T00:00:00Z", "b=2199-01-01T00:00:00.000Z is yet to come"),
        ("/v1/routes?peeer=a", "'peeer'"),
        ("/v1/routes?follow=1", "'follow'"),
        ("/v1/routes?peer=a&peer=b", "'peer' is given more than once"),
        ("/v1/status?since=3", "'since'"),
        ("/v1/services?name=web", "'name'"),
        ("/v1/peers?speaker=s1", "'speaker'"),
        ("/v1/events?since=3", "'since'"),
        ("/v1/events?follow=yes", "follow='yes'"),
        ("/v1/events?follow=", "follow=''"),
        ("/v1/timeline?ip=web", "ip=web"),
        ("/v1/timeline?at=3", "'at'"),
        ("/v1/timeline?follow=1&until=3", "until is a moment"),
        ("/v1/diff", "a=TIME|POSITION"),
        ("/v1/diff?a=4&b=2", "behind b"),
        ("/v1/explain", "ask about one thing"),
        ("/v1/explain?service=web", "NAMESPACE/NAME"),
        ("/v1/explain?ip=web", "ip=web"),
    ],
)
async def test_a_question_that_is_not_understood_is_refused_with_a_sentence(client, path, told):
    status, answer = await client.get(path)
    assert status == 400
    assert violations(answer, "error") == []
    assert told in answer["message"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/status?at=1969-11-25T12:00:00Z", "lies before the first position that is kept, #1"),
    ],
)
async def test_a_moment_that_is_not_kept_is_not_found(client, path, told):
    status, answer = await client.get(path)
    assert (status, violations(answer, "error"), told in answer["message"]) == (404, [], True)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/timeline?since=1", "a stretch of 5 events, and a controller holds 4"),
        ("/v1/timeline?since=1&follow=1", "a stretch of 5 events"),
        ("/v1/diff?a=1", None),
        ("/v1/timeline?since=2", None),
        ("/v1/export?redact=1", "the export takes more than"),
    ],
)
async def test_a_question_that_would_take_too_much_memory_is_refused(client, monkeypatch, path, told):
    monkeypatch.setattr(http, "STRETCH_EVENTS_MAX", 4)
    monkeypatch.setattr(http, "REDACTED_BYTES_MAX", 8)
    if told is None:
        assert (await client.get(path))[0] == 200
        return
    status, answer = await client.get(path)
    assert (status, told in answer["message"]) == (400, True)


async def test_a_word_that_several_things_are_called_is_answered_with_the_choices(client, view):
    view.state.inventory.service_uids["default/n1"] = "other"
    status, answer = await client.get("/v1/explain?name=n1")
    assert (status, "service/default/n1 and of node/n1" in answer["message"]) == (300, True)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/explain?service=shop/absent", "/v1/explain?node=n9"])
async def test_what_does_not_exist_is_told_as_json(client, path):
    status, answer = await client.get(path)
    assert status == 404
    assert violations(answer, "error") == []


async def test_an_unavailable_journal_is_told_and_the_folds_still_answer(client, journal):
    journal._store._server.down = "gone"
    status, answer = await client.get("/v1/events")
    assert status == 503
    assert "gone" in answer["message"]
    assert (await client.get("/v1/routes"))[0] == 200


async def test_a_drain_becomes_an_event_of_the_leader(client, view):
    acts = acting(view)
    status, answer = await client.post({"speaker": "s1", "why": "maintenance"})
    assert (status, answer) == (200, {"position": 42, "speaker": "s1", "drained": True})
    assert violations(answer, "action") == []
    await client.post({"speaker": "s1", "delayMs": 5})
    await client.post({"speaker": "s1", "undo": True})
    assert acts == [
        decided.SpeakerDrained("s1", "loopback:127.0.0.1", "maintenance", 10_000),
        decided.SpeakerDrained("s1", "loopback:127.0.0.1", "", 5),
        decided.SpeakerUndrained("s1", "loopback:127.0.0.1", ""),
    ]


NODE_DRAIN = decided.NodeDrained("n1", "n1", "loopback:127.0.0.1", "disk", 2000, force=True)


@pytest.mark.parametrize(
    ("body", "event", "told"),
    [
        (
            {"node": "n1", "why": "disk", "delayMs": 2000, "force": True},
            NODE_DRAIN,
            {"node": "n1", "drained": True},
        ),
        (
            {"service": "shop/web"},
            decided.ServiceDrained("web", "shop", "web", "loopback:127.0.0.1", "", 10_000),
            {"service": "shop/web", "drained": True},
        ),
    ],
)
async def test_nodes_and_services_are_drained_and_brought_back(client, view, body, event, told):
    acts = acting(view)
    status, answer = await client.post(body)
    assert (status, answer) == (200, {"position": 42, **told})
    assert violations(answer, "action") == []
    assert acts == [event]
    subject = {name: body[name] for name in ("node", "service") if name in body}
    assert (await client.post({**subject, "undo": True}))[0] == 404, "it is not drained yet"
    story = Story(node(1), pool(default=True), service())
    view.state = story.says(event).state
    assert (await client.post({**subject, "undo": True}))[1] == {"position": 42, **told, "drained": False}
    assert isinstance(acts[1], decided.NodeUndrained | decided.ServiceUndrained)


async def test_a_cordoned_node_is_brought_back_by_kubernetes(client, view):
    acts = acting(view)
    story = Story(node(1, cordoned=True))
    view.state = story.says(decided.NodeDrained("n1", "n1", "cordon", "", 0)).state
    status, answer = await client.post({"node": "n1", "undo": True})
    assert status == 409
    assert "kubectl uncordon n1" in answer["message"]
    assert acts == []


async def test_a_hold_is_approved_and_shown(client, view):
    acts = acting(view)
    story = Story(node(1), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    story.says(
        decided.WithdrawalHeld(9, "NoReadyEndpoint", ("192.0.2.0/32",), 30, 40, 25, 20, 600_000), endpoints("web")
    )
    view.state = story.state
    _, status = await client.get("/v1/status")
    assert violations(status, "status") == []
    assert [hold["held"] for hold in status["holds"]] == [1]
    assert any("`porter approve 9`" in problem for problem in status["problems"])
    assert (await client.post({"hold": 8}, path="/v1/approve"))[0] == 404
    assert await client.post({"hold": 9, "why": "planned"}, path="/v1/approve") == (200, {"position": 42, "hold": 9})
    assert acts == [decided.WithdrawalApproved(9, "loopback:127.0.0.1", "planned")]


async def test_a_follower_names_the_leader(client, view):
    view.leader = lambda: "b"
    status, answer = await client.post({"speaker": "s1", "why": ""})
    assert status == 409
    assert "the leader, b" in answer["message"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"why": "x"},
        {"speaker": 1},
        {"speaker": "x" * 2000},
        {"speaker": "s1", "undo": "false"},
        {"speaker": "s1", "undo": 1},
        {"speaker": "s1", "undo": None},
        {"speaker": "s1", "revert": True},
        {"speaker": "s1", "node": "n1"},
        {"speaker": "s1", "force": "yes"},
        {"speaker": "s1", "delayMs": -5},
        {"node": "n1", "delayMs": -1},
        {"node": "n1", "delayMs": "10s"},
        {"node": "n1", "delayMs": True},
        {"service": "shop/web", "force": True},
    ],
)
async def test_an_action_that_is_not_understood_is_refused(client, view, body):
    acts = acting(view)
    assert (await client.post(body))[0] == 400
    assert acts == []


@pytest.mark.parametrize("undo", [False, True])
async def test_an_action_upon_a_speaker_that_nobody_knows_is_refused_and_names_the_known(client, view, undo):
    acts = acting(view)
    status, answer = await client.post({"speaker": "nosuch", "undo": undo})
    assert status == 404
    assert violations(answer, "error") == []
    assert "'nosuch'" in answer["message"]
    assert "s1" in answer["message"]
    assert acts == []


async def test_a_drain_ends_also_when_the_speaker_and_its_stream_are_gone(client, view):
    acts = acting(view)
    story = Story(node(1))
    story.says(decided.SpeakerDrained("gone", "ada", ""))
    view.state, view.sessions = story.state, Sessions.empty()
    assert (await client.post({"speaker": "gone", "undo": True}))[0] == 200
    assert len(acts) == 1


async def test_a_speaker_that_a_leader_witnessed_is_known_before_its_stream_is_read(client, view):
    acting(view)
    story = Story(node(1))
    story.says(decided.HeadWitnessed("s9", 1, 7, ""))
    view.state, view.sessions = story.state, Sessions.empty()
    assert (await client.post({"speaker": "s9"}))[0] == 200


@pytest.mark.parametrize("failure", [Fenced("another process claimed epoch 3"), OverflowError("64 actions wait")])
async def test_an_action_that_the_leader_cannot_journal_is_told_to_be_asked_again(client, view, failure):
    async def act(_event):
        raise failure

    view.act = act
    status, answer = await client.post({"speaker": "s1"})
    assert status == 503
    assert violations(answer, "error") == []
    assert "the leader changed or the journal is away; ask again" in answer["message"]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("--peer", "nosuch"), "no BgpPeer 'nosuch' is known"),
        (("--speaker", "nosuch"), "no speaker 'nosuch' is known; known: s1"),
        (("--speaker", "nosuch", "-o", "json"), "no speaker 'nosuch' is known; known: s1"),
        (("--speaker", "s1"), ""),
    ],
)
async def test_the_command_tells_that_nobody_knows_the_peer_or_the_speaker(client, arguments, wrong):
    address = client.base.removeprefix("http://")
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "porter", "routes", *arguments, "--server", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await asyncio.wait_for(asked.communicate(), 60)
    assert wrong in stderr.decode()
    assert asked.returncode == (1 if wrong else 0), stderr


def acting(view: View) -> list:
    """Have the view lead; what is asked of it stands in the list."""
    acts: list = []

    async def act(event):
        acts.append(event)
        return 42

    view.act = act
    return acts


async def test_a_page_in_a_browser_cannot_act(client):
    async with client.session.post(f"{client.base}/v1/drain", data='{"speaker": "s1"}') as response:
        assert response.status == 415


async def test_an_address_that_others_reach_is_refused_outside_of_a_cluster(tmp_path, view, streams):
    with pytest.raises(InvalidSettings, match="bind a loopback address"):
        await serve(Settings(state_dir=tmp_path, http="0.0.0.0:0"), view, streams)


async def test_an_address_that_is_taken_is_told(tmp_path, client, view, streams):
    taken = client.base.removeprefix("http://")
    with pytest.raises(InvalidSettings, match=f"{taken} cannot be bound"):
        await serve(Settings(state_dir=tmp_path, http=taken), view, streams)
