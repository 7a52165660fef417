"""Histories to look at: a rack of routers with an incident in it, and a cluster of many Services."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from porter.allocator.decide import cause, decide, unsettled
from porter.app.incident.export import export
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Commit, Draft
from porter.journal.memory import MemoryJournals
from porter.model.address import Address, Prefix
from porter.ports import Claim
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.unit.projections.story import SYNCED, endpoints, node, pool, service

BEGIN_MS = 1_795_615_200_000
"""2026-11-25T14:00:00Z."""
COMMIT_EVENTS = 128
NODES = (1, 2, 3)
SPEAKERS = ("speaker-0", "speaker-1")
PEERS = {"tor-a": "10.0.0.254", "tor-b": "10.0.0.253"}
MARKUP = '<img src=x onerror="window.injected=1"><script>window.injected=1</script>'


class History:
    """A journal in memory with its speakers' streams, written event by event."""

    def __init__(self, speakers: Sequence[str] = SPEAKERS) -> None:
        self.streams = MemoryJournals(writer="leader")
        self.journal = self.streams.journal()
        self.state = ClusterState.empty()
        self.now_ms = BEGIN_MS
        self._speakers = {name: self.streams.speaker(name) for name in speakers}

    async def begin(self) -> History:
        started = Draft(decided.EpochStarted("0f" * 16, "controller-0", 0, ""))
        claim = Claim("0f" * 16, 1, None, 1, recovering=False, holder="leader")
        self._fold(await self.journal.claim(claim, [started], time_ms=self.now_ms))
        for number, (name, stream) in enumerate(self._speakers.items()):
            genesis = f"{0x5E + number:02x}" * 16
            started = Draft(decided.EpochStarted(genesis, name, 0, ""))
            await stream.claim(Claim(genesis, 1, None, 1, False, name), [started], time_ms=self.now_ms)
            await self.tells(name, routed.SpeakerStarted(name, "0.1.0", f"10.0.0.{9 - number}", 0))
        return self

    def _fold(self, commit: Commit) -> None:
        self.state = fold(self.state, commit.events)

    async def says(self, *payloads: Event, after_ms: int = 40, causation: int = 0, settle: bool = True) -> None:
        """Facts, and all that is decided because of them."""
        self.now_ms += after_ms
        for first in range(0, len(payloads), COMMIT_EVENTS):
            drafts = [Draft(payload, causation) for payload in payloads[first : first + COMMIT_EVENTS]]
            self._fold(await self.journal.append(drafts, time_ms=self.now_ms))
        while settle and (uids := unsettled(self.state, 1)):
            because = cause(self.state, uids[0])
            drafts = [Draft(decision, because) for decision in decide(self.state, uids[0])]
            if drafts:
                self._fold(await self.journal.append(drafts, time_ms=self.now_ms + 2))

    async def tells(self, speaker: str, *payloads: Event) -> None:
        """Outcomes of a speaker."""
        drafts = [Draft(payload) for payload in payloads]
        await self._speakers[speaker].append(drafts, time_ms=self.now_ms + 9)

    async def announces(self, prefix: str, *numbers: int, peers: Sequence[str] = tuple(PEERS)) -> None:
        """All speakers announce a prefix by some nodes."""
        paths = tuple(routed.Path(Prefix(prefix), (10 << 24) + one, Address(f"10.0.0.{one}")) for one in numbers)
        for speaker in self._speakers:
            for peer in peers:
                await self.tells(speaker, routed.RoutesAnnounced(peer, self.state.ledger.position, paths))

    async def records(self) -> None:
        state = baseline.encode(self.state)
        recorded = decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(state), state)
        await self.says(recorded)

    async def content(self) -> bytes:
        """The export."""
        file = BytesIO()
        await export(self.streams, "rack-7", file, None)
        return file.getvalue()


def session(peer: str, state: str = "Established", reason: str = "") -> routed.SessionStateChanged:
    if state != "Established":
        return routed.SessionStateChanged(peer, state, reason)
    return routed.SessionStateChanged(peer, state, "", ("IPv4",), ("IPv4",), 90)


async def begun() -> History:
    """Three nodes, two routers, two speakers whose sessions are up, three pools."""
    it = await History().begin()
    await it.says(observed.ConfObserved("default", "c", "1", 1, 64500))
    for number, (name, address) in enumerate(PEERS.items()):
        uid = f"{name}-uid"
        await it.says(observed.PeerObserved(name, uid, "1", 1, Address(address), 64512 + number))
    await it.says(*(node(number) for number in NODES))
    await it.says(
        pool("public", "203.0.113.0-203.0.113.31", default=True),
        pool("edge", "198.51.100.16-198.51.100.19"),
        pool("lab", "192.0.2.128-192.0.2.191"),
        SYNCED,
    )
    for speaker in SPEAKERS:
        for peer in PEERS:
            await it.tells(speaker, session(peer), routed.RibSynced(peer, it.state.ledger.position, 0, "d0" * 32))
    return it


async def rack() -> History:
    """A morning at a rack: Services come, endpoints flap, a router restarts, a pool runs out."""
    it = await begun()
    names = ("checkout", "cart", "search", "catalogue", "payments", "login", "images", "recommend", "orders", "stock")
    for number, name in enumerate(names):
        policy = "Local" if number % 3 == 0 else "Cluster"
        await it.says(service(name, traffic_policy=policy), endpoints(name, "n1", "n2", "n3"), after_ms=700)
        await it.announces(f"203.0.113.{number}/32", 1, 2, 3)
    for number in range(5):
        named = service(f"edge-{number}", requested_pool="edge")
        await it.says(named, endpoints(f"edge-{number}", "n1", "n3"), after_ms=400)
        if number < 4:
            await it.announces(f"198.51.100.{16 + number}/32", 1, 2, 3)
    await it.records()
    it.now_ms += 240_000
    await _flap(it)
    it.now_ms += 95_000
    for speaker in SPEAKERS:
        await it.tells(speaker, session("tor-b", "Idle", "hold timer expired"))
    it.now_ms += 31_000
    await it.tells(SPEAKERS[0], session("tor-b"), routed.RibSynced("tor-b", it.state.ledger.position, 42, "d1" * 32))
    await it.says(pool("edge", "198.51.100.16-198.51.100.18"), after_ms=61_000)
    await it.says(service("late-comer", requested_pool="edge"), after_ms=2500)
    await it.says(decided.SpeakerDrained("speaker-1", "ada", "new memory"), after_ms=9000)
    return it


async def _flap(it: History) -> None:
    await it.says(endpoints("checkout", "n1", "n2"), after_ms=300)
    flapped = it.state.ledger.position
    gone = (routed.Path(Prefix("203.0.113.0/32"), (10 << 24) + 3, Address("10.0.0.3")),)
    for speaker in SPEAKERS:
        for peer in PEERS:
            await it.tells(speaker, routed.RoutesWithdrawn(peer, flapped, gone))
    await it.says(endpoints("checkout", "n1", "n2", "n3"), after_ms=5200)
    await it.announces("203.0.113.0/32", 3)


async def hostile() -> History:
    """Names and reasons that are markup."""
    it = await begun()
    await it.says(service(MARKUP), endpoints(MARKUP, "n1"))
    await it.says(
        observed.PeerObserved(MARKUP, "x-uid", "1", 1, Address("10.0.0.250"), 64513),
        pool(MARKUP, "192.0.2.0-192.0.2.0"),
    )
    await it.tells(SPEAKERS[0], session(MARKUP, "Idle", MARKUP))
    await it.says(decided.SpeakerDrained("speaker-1", MARKUP, MARKUP))
    return it


async def many(count: int) -> History:
    """So many Services, each with an address."""
    it = await begun()
    await it.says(pool("wide", "10.64.0.0-10.65.255.255"))
    facts: list[Event] = []
    for number in range(count):
        name, address = f"web-{number:05}", Address(f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}")
        facts += [service(name), endpoints(name, "n1", "n2")]
        facts.append(decided.AddressAllocated(name, "shop", name, address, "wide", "RequestedPool"))
    for first in range(0, len(facts), COMMIT_EVENTS):
        await it.journal.append([Draft(one) for one in facts[first : first + COMMIT_EVENTS]], time_ms=it.now_ms)
    return it


def write(path: Path, telling: Coroutine[None, None, History]) -> Path:
    """A history as a file."""

    async def content() -> bytes:
        return await (await telling).content()

    # Fixtures run beside a loop of the tests.
    with ThreadPoolExecutor(1) as aside:
        path.write_bytes(aside.submit(asyncio.run, content()).result())
    return path
