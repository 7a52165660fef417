"""What the leader wants written and told, and that nothing is before its event is durable."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from porter.app.controller import status
from porter.app.controller.status import StatusDesk
from porter.events import observed
from porter.events.envelope import Envelope
from porter.model.address import Address
from porter.projections.sessions import Sessions
from tests.unit.projections.story import Story, node, pool, service


class Wishes:
    """A writer and a recorder that remember what they are asked for."""

    dropped = 0

    def __init__(self):
        self.wanted = []
        self.told = []

    def want(self, status):
        self.wanted.append(status)

    def record(self, event):
        self.told.append(event)

    def drop(self):
        self.wanted.clear()
        self.told.clear()

    async def run(self):
        await asyncio.Event().wait()

    def take(self):
        """The names of the Services whose status is wanted since the last call."""
        names = sorted(wish.name for wish in self.wanted if wish.kind == "Service")
        self.wanted.clear()
        return names


class Office:
    """A desk over a story: what the story says is touched, and durable when a test says so."""

    def __init__(self, *payloads):
        self.wishes = Wishes()
        self.desk = StatusDesk(self.wishes, self.wishes, Sessions.empty)
        self.story = Story(*payloads)
        self.story.settles()
        self.desk.everything(self.story.state)
        self.wishes.wanted.clear()

    def says(self, *payloads):
        for payload in payloads:
            self.story.says(payload)
            self.desk.touched(Envelope(self.story.position, 1, self.story.time_ms, 0, "", "", payload))

    def settles(self):
        while True:
            before = self.story.position
            made = self.story.settles()
            if not made:
                return
            for number, payload in enumerate(made, before + 1):
                self.desk.touched(Envelope(number, 1, self.story.time_ms, 0, "", "", payload))


@contextlib.asynccontextmanager
async def gathering(desk):
    task = asyncio.create_task(desk.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_decision_is_written_and_told_once_it_is_durable():
    office = Office(pool(default=True))
    office.says(service())
    office.settles()
    assert (office.wishes.wanted, office.wishes.told) == ([], [])
    office.desk.durable(office.story.state)
    (wish,) = office.wishes.wanted
    assert wish.status["loadBalancer"]["ingress"] == [{"ip": "192.0.2.0", "ipMode": "VIP"}]
    assert [one["type"] for one in wish.status["conditions"]] == ["porter.io/AddressAllocated"]
    assert [event.reason for event in office.wishes.told] == ["DefaultPool"]
    office.desk.durable(office.story.state)
    assert len(office.wishes.told) == 1


def test_who_leads_no_more_tells_nothing():
    office = Office(pool(default=True))
    office.says(service())
    office.settles()
    office.desk.drop()
    office.desk.durable(office.story.state)
    assert (office.wishes.wanted, office.wishes.told) == ([], [])


def test_who_shares_an_address_with_a_changed_service_is_written_too():
    asks = {"requested_addresses": ("192.0.2.5",)}
    office = Office(pool(), service(**asks), service("dns", ports=(("UDP", 53),), **asks), service("lone"))
    office.says(service("dns", ports=(("TCP", 80),), **asks))
    office.desk.durable(office.story.state)
    assert office.wishes.take() == ["dns", "web"]
    office.says(observed.ServiceGone("dns", "shop", "dns", "ServiceDeleted"))
    office.settles()
    office.desk.durable(office.story.state)
    assert office.wishes.take() == ["dns", "web"], "it is alone with the address now"


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(status, "GATHER_INTERVAL_S", 0.001)


async def wanted(office, *, kind="Service"):
    async with asyncio.timeout(2), gathering(office.desk):
        while not any(wish.kind == kind for wish in office.wishes.wanted):  # noqa: ASYNC110 - It sets no event.
            await asyncio.sleep(0.001)
    return sorted(wish.name for wish in office.wishes.wanted if wish.kind == kind)


async def test_an_edited_pool_has_its_services_looked_at(quickly):
    office = Office(
        pool(default=True), pool("q", "198.51.100.0-198.51.100.9"), service(), service("other", requested_pool="q")
    )
    office.says(observed.PoolGone("p", "p"))
    office.desk.durable(office.story.state)
    assert await wanted(office) == ["web"]
    (wish,) = [one for one in office.wishes.wanted if one.kind == "Service"]
    assert [one["type"] for one in wish.status["conditions"]][-1] == "porter.io/Degraded"


async def test_a_node_with_another_address_has_the_pools_looked_at_and_a_ready_one_has_not(quickly):
    office = Office(node(1), pool(default=True))
    async with gathering(office.desk):
        await asyncio.sleep(0.02)
    office.wishes.wanted.clear()
    office.says(node(1, ready=False))
    office.desk.durable(office.story.state)
    async with gathering(office.desk):
        await asyncio.sleep(0.02)
    assert office.wishes.wanted == []
    office.says(node(1)._replace(addresses=(Address("192.0.2.3"),)))
    office.desk.durable(office.story.state)
    assert await wanted(office, kind="Eip") == ["p"]


async def test_an_advertisement_gets_a_status(quickly):
    office = Office()
    office.says(observed.AdvertisementObserved("a", "a", "1", 4, 1))
    office.desk.durable(office.story.state)
    assert await wanted(office, kind="BgpAdvertisement") == ["a"]
    (wish,) = [one for one in office.wishes.wanted if one.kind == "BgpAdvertisement"]
    assert wish.status["observedGeneration"] == 4


@pytest.mark.parametrize(
    "edit",
    [
        observed.PoolGone("aa", "aa"),
        pool("aa", "203.0.113.0-203.0.113.9"),
        pool("aa"),
    ],
    ids=["deleted", "shrunk away", "no default any more"],
)
async def test_an_edit_of_a_pool_has_the_others_looked_at_too(quickly, edit):
    office = Office(pool("aa", default=True), pool("bb", created_ms=2, default=True))
    await wanted(office, kind="Eip")
    office.wishes.wanted.clear()
    office.says(edit)
    office.desk.durable(office.story.state)
    assert "bb" in await wanted(office, kind="Eip")
    *_, wish = [one for one in office.wishes.wanted if one.name == "bb"]
    overlaps = isinstance(edit, observed.PoolObserved) and edit.ranges[0][0] == "192.0.2.0"
    assert wish.status["conditions"][0]["status"] == ("False" if overlaps else "True")
