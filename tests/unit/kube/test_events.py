"""The recorder of Events: bounded, idempotent, and silent without leadership."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from porter.kube import events
from porter.kube.client import ApiError, ApiUnavailable
from porter.kube.events import MAX_ATTEMPTS, KubeEventRecorder, event_name, event_object
from porter.kube.manifest_events import LogEventRecorder
from porter.model.object_event import ObjectEvent

EVENT = ObjectEvent("Service", "shop", "web", "u-1", "7", "AddressAllocated", "DefaultPool", "it is", False, 12, 0)


class Server:
    """Takes what is posted, or refuses it with the answers that a test lines up."""

    def __init__(self):
        self.posted = []
        self.refusals = []

    async def request(self, method, path, *, body, timeout_s):
        assert (method, path) == ("POST", "/api/v1/namespaces/shop/events")
        assert timeout_s > 0
        self.posted.append(body)
        if self.refusals:
            raise self.refusals.pop(0)
        return b"{}"


@asynccontextmanager
async def running(recorder):
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def count(posted, number):
    async with asyncio.timeout(2):
        while len(posted) < number:  # noqa: ASYNC110 - The server sets no event.
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(events, "PAUSE_S", 0.0)
    monkeypatch.setattr(events, "LINGER_S", 0.0)
    monkeypatch.setattr(events, "RETRY_S", 0.001)


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def recorder(server):
    made = KubeEventRecorder(server, lambda: True, "porter-0")
    async with running(made):
        yield made


async def test_an_event_names_its_object_and_what_happened(server, recorder):
    recorder.record(EVENT)
    recorder.record(EVENT._replace(warning=True, position=13))
    await count(server.posted, 2)
    first, second = server.posted
    assert first["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "web",
        "uid": "u-1",
        "resourceVersion": "7",
    }
    assert (first["type"], first["reason"], first["action"]) == ("Normal", "DefaultPool", "AddressAllocated")
    assert (first["message"], first["reportingInstance"]) == ("it is", "porter-0")
    assert first["firstTimestamp"] == "1970-01-01T00:00:00Z"
    assert second["type"] == "Warning"
    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_the_name_is_of_the_object_and_the_position_alone():
    assert event_name(EVENT) == event_name(EVENT._replace(message="other"))
    assert event_name(EVENT).startswith("web.12-")
    assert len({event_name(EVENT._replace(**field)) for field in ({}, {"uid": "u-2"}, {"time_ms": 1})}) == 3
    longest = EVENT._replace(name="n" * 63, position=2**53)
    assert len(event_name(longest)) < 253


def test_a_long_message_is_cut():
    assert len(event_object(EVENT._replace(message="m" * 5000), "i")["message"]) == events.MAX_MESSAGE_CHARACTERS


async def test_what_is_told_already_is_a_success(server, recorder):
    server.refusals = [ApiError(409, "AlreadyExists", "it is there")]
    recorder.record(EVENT)
    recorder.record(EVENT._replace(position=13))
    await count(server.posted, 2)
    assert recorder.dropped == 0


async def test_a_server_that_is_away_is_asked_again(server, recorder):
    server.refusals = [ApiUnavailable("away"), ApiError(503, "", "busy")]
    recorder.record(EVENT)
    await count(server.posted, 3)
    assert len({body["metadata"]["name"] for body in server.posted}) == 1
    assert recorder.dropped == 0


async def test_a_server_that_stays_away_costs_the_event(server, recorder):
    server.refusals = [ApiUnavailable("away")] * MAX_ATTEMPTS
    recorder.record(EVENT)
    recorder.record(EVENT._replace(position=13))
    await count(server.posted, MAX_ATTEMPTS + 1)
    assert recorder.dropped == 1


async def test_a_refusal_for_good_costs_the_event_at_once(server, recorder):
    server.refusals = [ApiError(403, "Forbidden", "the namespace is being terminated")]
    recorder.record(EVENT)
    recorder.record(EVENT._replace(position=13))
    await count(server.posted, 2)
    assert recorder.dropped == 1


async def test_where_too_many_wait_the_oldest_go_and_are_counted(server, monkeypatch):
    monkeypatch.setattr(events, "MAX_EVENTS_WAITING", 3)
    recorder = KubeEventRecorder(server, lambda: True, "porter-0")
    for position in range(1, 6):
        recorder.record(EVENT._replace(position=position))
    async with running(recorder):
        await count(server.posted, 3)
    assert [body["metadata"]["name"].split("-")[0] for body in server.posted] == ["web.3", "web.4", "web.5"]
    assert recorder.dropped == 2


async def test_without_leadership_nothing_is_told_and_all_is_forgotten(server):
    leading = [False]
    recorder = KubeEventRecorder(server, lambda: leading[0], "porter-0")
    async with running(recorder):
        recorder.record(EVENT)
        await asyncio.sleep(0.01)
        leading[0] = True
        recorder.record(EVENT._replace(position=13))
        await count(server.posted, 1)
        await asyncio.sleep(0.01)
    assert [body["metadata"]["name"].split("-")[0] for body in server.posted] == ["web.13"]


async def test_an_event_waits_for_the_statuses_of_its_burst(server, recorder, monkeypatch):
    monkeypatch.setattr(events, "LINGER_S", 0.05)
    recorder.record(EVENT)
    await asyncio.sleep(0.02)
    assert server.posted == []
    await count(server.posted, 1)


async def test_drop_forgets_what_waits(server):
    recorder = KubeEventRecorder(server, lambda: True, "porter-0")
    recorder.record(EVENT)
    recorder.drop()
    async with running(recorder):
        await asyncio.sleep(0.01)
    assert server.posted == []


def test_for_a_folder_of_manifests_it_is_a_line_of_the_log(capsys):
    LogEventRecorder().record(EVENT)
    printed = capsys.readouterr()
    line = printed.out + printed.err
    assert "it is" in line
    assert "shop/web" in line
    assert "DefaultPool" in line
