"""A small incident in a journal in memory: an endpoint flap, a router restart, and a pool edit that exhausts the pool.

Each step comes a second after the one before; the speaker's outcomes follow their causes within 20 ms.
"""

from __future__ import annotations

from io import BytesIO

from porter.allocator.decide import cause, decide, unsettled
from porter.app.incident.export import export
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Draft
from porter.journal.memory import MemoryJournals
from porter.model.address import Address, Prefix
from porter.model.selector import Selector
from porter.ports import Claim
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve
from tests.unit.projections.story import NOON_MS, SYNCED, endpoints, node, pool, service

SPEAKER = "speaker-0"
CONF = observed.ConfObserved("default", "c", "1", 1, 64500)
PEER = observed.PeerObserved("tor-a", "tor-uid", "1", 1, Address("10.0.0.254"), 64512, description="the rack's first")
UP = routed.SessionStateChanged("tor-a", "Established", "", ("IPv4",), ("IPv4",), 90)
DOWN = routed.SessionStateChanged("tor-a", "Idle", "hold timer expired at 10.0.0.254")


class Incident:
    """The journal, its fold, and the marks of its steps."""

    def __init__(self, start_ms: int = NOON_MS) -> None:
        self.streams = MemoryJournals(writer="leader")
        self.journal = self.streams.journal()
        self.speaker = self.streams.speaker(SPEAKER)
        self.state = ClusterState.empty()
        self.now_ms = start_ms
        self.marks: dict[str, int] = {}
        self.outcomes = 0

    async def begin(self) -> Incident:
        await self._commit(
            await self.journal.claim(
                Claim("0f" * 16, 1, None, 1, recovering=False, holder="leader"),
                [Draft(decided.EpochStarted("0f" * 16, "controller-0", 0, ""))],
                time_ms=self.now_ms,
            )
        )
        await self.speaker.claim(
            Claim("5e" * 16, 1, None, 1, recovering=False, holder=SPEAKER),
            [Draft(decided.EpochStarted("5e" * 16, SPEAKER, 0, ""))],
            time_ms=self.now_ms,
        )
        self.outcomes = 1
        await self.tells(routed.SpeakerStarted(SPEAKER, "0.1.0", "10.0.0.9", 0))
        return self

    async def _commit(self, commit) -> None:
        for envelope in commit.events:
            self.state = evolve(self.state, envelope)

    async def says(self, *payloads: Event, causation: int = 0) -> Incident:
        self.now_ms += 1000
        for payload in payloads:
            await self._commit(await self.journal.append([Draft(payload, causation)], time_ms=self.now_ms))
        while uids := unsettled(self.state, 1):
            because = cause(self.state, uids[0])
            for decision in decide(self.state, uids[0]):
                await self._commit(await self.journal.append([Draft(decision, because)], time_ms=self.now_ms + 1))
        return self

    async def tells(self, *payloads: Event) -> Incident:
        for payload in payloads:
            self.outcomes += 1
            await self.speaker.append([Draft(payload)], time_ms=self.now_ms + 12)
        return self

    def mark(self, name: str) -> None:
        self.marks[name] = self.state.ledger.position

    async def records(self) -> Incident:
        state = baseline.encode(self.state)
        return await self.says(decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(state), state))

    async def witnesses(self) -> Incident:
        head = await self.speaker.head()
        assert head is not None
        return await self.says(decided.HeadWitnessed(SPEAKER, head.epoch, head.position, head.hash.hex()))

    def paths(self, *numbers: int) -> tuple[routed.Path, ...]:
        return tuple(
            routed.Path(Prefix("192.0.2.0/32"), (10 << 24) + number, Address(f"10.0.0.{number}")) for number in numbers
        )


async def incident(start_ms: int = NOON_MS) -> Incident:
    """The whole incident; `marks` names the positions between its steps."""
    it = await Incident(start_ms).begin()
    await it.says(
        CONF,
        PEER,
        observed.NamespaceObserved("shop", (("team", "checkout"),)),
        *(node(number, labels=(("zone", f"hall-{number}"),)) for number in (1, 2, 3)),
        pool(
            "public",
            "192.0.2.0-192.0.2.1",
            default=True,
            namespace_label_selector=(Selector((("team", "checkout"),)),),
        ),
        SYNCED,
    )
    await it.tells(UP, routed.RibSynced("tor-a", it.state.ledger.position, 0, "d0" * 32))
    await it.says(
        service("web", traffic_policy="Local", labels=(("app", "web-frontend"),)), endpoints("web", "n1", "n2")
    )
    await it.tells(routed.RoutesAnnounced("tor-a", it.state.ledger.position, it.paths(1, 2)))
    await it.records()
    await it.witnesses()
    it.mark("calm")
    await it.says(endpoints("web", "n1"), causation=it.state.ledger.position)
    await it.tells(routed.RoutesWithdrawn("tor-a", it.state.ledger.position, it.paths(2)))
    it.mark("flapped")
    await it.says(endpoints("web", "n1", "n2"))
    await it.tells(routed.RoutesAnnounced("tor-a", it.state.ledger.position, it.paths(2)))
    it.mark("recovered")
    await it.says(node(3, ready=False, labels=(("zone", "hall-3"),)))
    await it.tells(DOWN)
    it.mark("router-down")
    await it.says(node(3, labels=(("zone", "hall-3"),)))
    await it.tells(UP, routed.RibSynced("tor-a", it.state.ledger.position, 2, "d1" * 32))
    await it.records()
    it.mark("router-up")
    await it.says(pool("public", "192.0.2.0-192.0.2.0", default=True))
    await it.says(service("late-comer"))
    it.mark("exhausted")
    await it.witnesses()
    return it


async def exported(it: Incident, since=None) -> bytes:
    """The incident as a file's content."""
    file = BytesIO()
    await export(it.streams, "porter", file, since)
    return file.getvalue()
