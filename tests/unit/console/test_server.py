"""The console over a real socket and an exported file: the answers, their pages, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path

import aiohttp
import pytest

from porter.app.history.moments import Moment
from porter.app.incident import direct
from porter.app.settings import InvalidSettings
from porter.console import reader
from porter.console.live import CLIENTS_MAX
from porter.console.server import STATIC, run_console
from porter.console.settings import ConsoleSettings
from porter.events.envelope import BEGINNING
from porter.journal.archive import Archive
from porter.journal.export import ExportJournals
from porter.ports import JournalError
from tests.schema_check import violations
from tests.unit.app.scripted_incident import exported, incident

SAMPLE = Path(__file__).resolve().parents[3] / "docs/operate/samples/incident.porter-export"
SECRET = "s3cret-of-the-journal"
SAME = {
    "status": [{}, {"at": "15"}, {"at": "2026-11-25T14:00:07Z"}],
    "pools": [{}, {"at": "12"}],
    "peers": [{}, {"at": "17"}],
    "explain": [
        {"service": "shop/web"},
        {"service": "shop/late-comer"},
        {"ip": "192.0.2.0", "at": "15"},
        {"node": "n1"},
        {"name": "tor-a"},
    ],
    "timeline": [{}, {"service": "shop/web", "since": "12", "limit": "5"}],
    "diff": [{"a": "16", "b": "17"}],
    "routes": [{"prefix": "192.0.2.0", "at": "15"}],
}


class Client:
    """Asks one console."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def get(self, path: str, query: dict[str, str] | None = None, **headers: str):
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(self.base + path, params=query, headers=wanted) as response:
            return response.status, await response.json()


@contextlib.asynccontextmanager
async def serving(**settings):
    said: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(run_console(ConsoleSettings(listen="127.0.0.1:0", **settings), said.put_nowait))
    waiting = asyncio.create_task(said.get())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        await task
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, waiting.result().rstrip("/"))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def client():
    async with serving(file=SAMPLE) as made:
        yield made


@pytest.mark.parametrize(("question", "query"), [(name, query) for name, each in SAME.items() for query in each])
async def test_every_answer_is_the_one_that_the_commands_give(client, question, query):
    status, answer = await client.get(f"/api/{question}", query)
    assert status == 200
    assert answer == await asyncio.to_thread(direct.ask, question, query, direct.Place(file=SAMPLE))
    assert violations(answer, question) == []


async def test_what_was_trimmed_is_read_from_the_archive(tmp_path):
    it = await incident()
    archive = Archive(tmp_path / "archive", "porter")
    archive.open()
    archive.begin((await it.journal.head()).genesis, BEGINNING)
    async for blobs in it.journal.blobs(BEGINNING):
        archive.add(blobs)
    archive.seal()
    archive.close()
    file = tmp_path / "trimmed.porter-export"
    file.write_bytes(await exported(it, Moment(it.marks["recovered"])))
    async with serving(file=file) as client:
        status, answer = await client.get("/api/pools", {"at": "3"})
        assert (status, "lies before the first position" in answer["message"]) == (400, True)
    async with serving(file=file, archive=str(tmp_path / "archive")) as client:
        for question, query in (("pools", {"at": "3"}), ("timeline", {"until": "9"}), ("diff", {"a": "3", "b": "20"})):
            status, answer = await client.get(f"/api/{question}", query)
            assert (status, answer) == (200, await direct.answer(it.streams, "porter", question, query)), question
        _, events = await client.get("/api/events", {"limit": "3", "before": "4"})
        assert [one["position"] for one in events["events"]] == [1, 2, 3]


async def test_an_answer_that_takes_too_long_says_what_to_do_instead(client, monkeypatch):
    async def slow(_books, _query):
        await asyncio.Event().wait()

    monkeypatch.setattr(reader, "ANSWER_S", 0.05)
    for name, told in (("diff", "`porter diff A B`"), ("pools", "ask about less")):
        monkeypatch.setitem(reader.QUESTIONS, name, reader.QUESTIONS[name]._replace(answer=slow))
        status, answer = await client.get(f"/api/{name}", {"a": "3"} if name == "diff" else {})
        assert (status, told in answer["message"]) == (504, True), answer


async def test_pages_of_services_are_the_whole_answer_in_pieces(client):
    whole = await asyncio.to_thread(direct.ask, "services", {}, direct.Place(file=SAMPLE))
    found = []
    for offset in ("0", "1"):
        _, answer = await client.get("/api/services", {"limit": "1", "offset": offset})
        assert (answer["total"], answer["matching"], answer["offset"]) == (2, 2, int(offset))
        found += answer["services"]
    assert found == whole["services"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "LATE"}, ["late-comer"]),
        ({"q": "192.0.2.0"}, ["web"]),
        ({"show": "waiting"}, ["late-comer"]),
        ({"show": "served"}, ["web"]),
        ({"show": "degraded"}, []),
        ({"show": "served", "at": "9"}, []),
    ],
)
async def test_services_are_searched(client, query, names):
    _, answer = await client.get("/api/services", query)
    assert [one["service"]["name"] for one in answer["services"]] == names


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 1),
        ({"q": "192.0.2.0"}, 1),
        ({"q": "192.0.2.0/24"}, 1),
        ({"q": "192.0.3.0/24"}, 0),
        ({"q": "shop/we"}, 1),
        ({"show": "absent"}, 0),
        ({"show": "routed"}, 1),
        ({"at": "10"}, 0),
        ({"at": "12", "show": "absent"}, 0),
    ],
)
async def test_the_rib_is_searched(client, query, count):
    _, answer = await client.get("/api/rib", query)
    assert answer["matching"] == len(answer["addresses"]) == count
    for row in answer["addresses"]:
        asked = {"ip": row["address"], **({"at": query["at"]} if "at" in query else {})}
        _, told = await client.get("/api/explain", asked)
        route = told["address"]["holdings"][0]["route"]
        # A page of many routes does not tell since when each next hop is one.
        hops = [{name: hop[name] for name in ("node", "address", "pathId")} for hop in route["nextHops"]]
        assert row["route"] == {**route, "nextHops": hops}


async def test_events_are_turned_page_by_page_in_both_directions(client):
    _, newest = await client.get("/api/events", {"limit": "10"})
    assert [one["position"] for one in newest["events"]] == list(range(14, 24))
    _, older = await client.get("/api/events", {"limit": "10", "before": "14"})
    assert [one["position"] for one in older["events"]] == list(range(4, 14))
    _, oldest = await client.get("/api/events", {"limit": "10", "before": "4"})
    assert (oldest["first"], oldest["last"], oldest["kept"], oldest["position"]) == (1, 3, 1, 23)
    _, behind = await client.get("/api/events", {"limit": "3", "after": "3"})
    assert [one["position"] for one in behind["events"]] == [4, 5, 6]
    _, filtered = await client.get("/api/events", {"type": "Endpoints*", "aggregate": "service/shop/web"})
    assert {one["type"] for one in filtered["events"]} == {"EndpointsObserved"}
    assert len(filtered["events"]) == 3
    assert all(violations(one, "event") == [] for one in filtered["events"])


async def test_an_events_causes_go_back_to_the_object(client):
    _, answer = await client.get("/api/causes", {"position": "22"})
    assert [(one["position"], one["type"]) for one in answer["causes"]] == [
        (22, "AllocationRefused"),
        (21, "ServiceObserved"),
    ]
    _, answer = await client.get("/api/causes", {"position": "5", "stream": "speaker-0"})
    assert [one["type"] for one in answer["causes"]] == ["RoutesAnnounced", "AddressAllocated", "ServiceObserved"]
    assert answer["causes"][0]["stream"] == "speaker-0"


async def test_a_moment_is_a_position_with_a_time(client):
    _, answer = await client.get("/api/moment", {"at": "2026-11-25T14:00:07Z"})
    assert (answer["position"], answer["first"], answer["last"]) == (17, 1, 23)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/status?at=9999", 400, "behind the head, #23"),
        ("/api/rib?at=2199-01-01T00:00:00Z", 400, "is yet to come: it lies behind the head, #23 of "),
        ("/api/moment?at=2199-01-01T00:00:00Z", 400, "is yet to come: it lies behind the head, #23 of "),
        ("/api/status?at=0", 400, "count from 1"),
        ("/api/status?at=noon", 400, "neither a position"),
        ("/api/status?when=3", 400, "takes at"),
        ("/api/services?limit=100000", 400, "between 1 and 500"),
        ("/api/services?show=good", 400, "served, waiting, degraded"),
        ("/api/explain?service=shop/none", 404, "no Service shop/none"),
        ("/api/causes?position=77", 400, "not kept"),
        ("/api/causes?position=1&stream=nobody", 400, "no speaker"),
        ("/api/routes", 400, "prefix is missing"),
        ("/api/nothing", 404, "no question"),
        ("/static/..%2fserver.py", 404, ""),
        ("/static/server.py", 404, "no file"),
        ("/elsewhere", 404, ""),
    ],
)
async def test_what_cannot_be_answered_is_said_in_a_sentence(client, path, status, words):
    code, answer = await client.get(path)
    assert code == status
    assert words in answer["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_written(client, method):
    for path in ("/", "/api/status", "/api/drain", "/static/main.js"):
        async with client.session.request(method, client.base + path) as response:
            assert response.status in (404, 405)


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline(client):
    for path in ("/", "/services", "/static/main.js", "/api/status", "/api/nothing"):
        async with client.session.get(client.base + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    for file in STATIC.iterdir():
        text = file.read_text()
        addresses = re.findall(r"https?://[^\s\"']+", text)
        # The name of SVG's namespace is never fetched.
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, file
        assert not any(
            word in text for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(")
        ), file
    page = (STATIC / "index.html").read_text()
    assert " style=" not in page
    assert "<style" not in page
    assert not re.search(r"\son[a-z]+=", page)
    assert page.count("<script") == page.count('<script type="module" src="/static/main.js"></script>') == 1


async def test_a_foreign_name_or_site_is_refused(client):
    status, answer = await client.get("/api/status", Host="rebound.example")
    assert (status, "localhost" in answer["message"]) == (403, True)
    assert (await client.get("/api/status", Sec_Fetch_Site="cross-site"))[0] == 403
    assert (await client.get("/api/status", Host="localhost:9180", Sec_Fetch_Site="same-origin"))[0] == 200


async def test_live_pages_are_told_at_once_and_are_bounded(client):
    opened = []
    try:
        for _ in range(CLIENTS_MAX):
            response = await client.session.get(f"{client.base}/api/live")
            assert response.status == 200
            opened.append(response)
        line = b""
        async with asyncio.timeout(10):
            while not line.startswith(b"data: "):
                line = await opened[0].content.readline()
        assert json.loads(line[6:])["position"] == 23
        status, answer = await client.get("/api/live")
        assert (status, "live already" in answer["message"]) == (503, True)
    finally:
        for response in opened:
            response.close()


async def test_a_journal_that_is_away_is_waited_for_and_its_password_is_never_shown():
    async with serving(redis_url=f"redis://porter-reader:{SECRET}@127.0.0.1:9/0") as client:
        status, answer = await client.get("/api/status")
        assert status == 503
        assert "unavailable" in answer["message"]
        assert SECRET not in json.dumps(answer)
        assert (await client.get("/livez"))[0] == 200


async def test_a_damaged_file_is_refused_at_the_start(tmp_path):
    damaged = tmp_path / "damaged"
    content = bytearray(SAMPLE.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(JournalError):
        async with serving(file=damaged):
            pass
    assert ExportJournals(SAMPLE).digest


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "give one of"),
        ({"file": SAMPLE, "redis_url": "redis://127.0.0.1"}, "give one of"),
        ({"file": SAMPLE, "listen": "0.0.0.0:9180"}, "--behind-proxy"),
        ({"file": SAMPLE, "listen": "9180"}, "HOST:PORT"),
        ({"file": SAMPLE, "trace_url": "javascript:{trace}"}, "--trace-url"),
        ({"file": SAMPLE, "trace_url": "https://traces.example/"}, "--trace-url"),
        ({"file": SAMPLE, "health": "nowhere"}, "--health"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings, words):
    with pytest.raises(InvalidSettings, match=words):
        ConsoleSettings(**settings).check()


def test_a_proxy_may_stand_before_it():
    ConsoleSettings(file=SAMPLE, listen="0.0.0.0:9180", behind_proxy=True).check()
