"""Announcing history to a router of the user's: what a peer was given, again, at a pace that people can follow.

    history (read only) --fold--> Adj-RIB-Out of one peer --an ExaBGP of its own--> the user's router

1. Read where the journal is, and what the cluster's own peers are: one of these is no target, unless forced.
2. Fold up to the beginning, bring the session up, and announce the Adj-RIB-Out that stood then.
3. Fold on event by event; where the Adj-RIB-Out changed, announce the difference and wait until it was sent.

Nothing is written anywhere else: no journal, no outcome, and no session of a speaker is touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from porter.app.answers.sentences import Teller
from porter.app.answers.timeline import before_of
from porter.app.history.moments import Moment, position_of
from porter.app.history.reading import BadQuestion, NotThere
from porter.app.history.streams import Streams
from porter.app.history.time_travel import as_of, fold_to
from porter.app.incident.lab_session import Router, session_with
from porter.app.speaker.adj_rib import AdjRibsOut
from porter.app.speaker.local_address import AddressBook
from porter.events.envelope import Envelope
from porter.journal.chain import checkpoint_before
from porter.model.address import FAMILIES, Address, plain_address
from porter.model.bgp import AGENT_PREFIX, PeerKey, SessionSettings, SpeakerName, node_of
from porter.policy.topology import NODE, topology_of
from porter.ports import JournalMissing
from porter.projections.adj_rib_out import exported_from
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from porter.projections.inventory import DEFAULT_CONF

OWN_SPEAKER = SpeakerName("replay")
FIRST_AS, LAST_AS = 1, 4294967295


class Target(NamedTuple):
    """The router, and as whom it is spoken to. AS numbers of 0 are those of the replayed peer and of the cluster.

    `peer` is the BgpPeer whose routes are announced ("": the only one), `speaker` the one that announced them ("": a
    central one, which chooses as one named `replay` would where a router takes one path).
    """

    address: Address
    port: int
    local_as: int = 0
    peer_as: int = 0
    local_address: str = ""
    peer: str = ""
    speaker: str = ""
    force: bool = False


class Step(NamedTuple):
    """One event of the history, and what became of the routes by it."""

    envelope: Envelope
    summary: str
    announced: int
    withdrawn: int
    routes: int


Pace = Callable[[Envelope], Awaitable[bool]]
"""Waits before an event is announced; False ends the replay there."""


class Stage(NamedTuple):
    """How a replay goes: its pace, who is told of each step, and what it waits for once everything is announced."""

    pace: Pace
    tell: Callable[[Step | str], None]
    stay: Callable[[], Awaitable[None]]


class Replayed(NamedTuple):
    """Where it ended, and how many paths the router has."""

    position: int
    routes: int


async def replay_into(
    streams: Streams, target: Target, stretch: tuple[Moment | None, Moment | None], stage: Stage
) -> Replayed:
    """Announce a stretch of history to a router, and stay there; then the session ends.

    Raises:
        BadQuestion: the stretch is not kept, the target is a peer of the cluster's, or no peer can be chosen.
        NoSession: the router does not take the session.
        JournalError: the journal could not be read.
    """
    journal = streams.journal()
    head = await journal.head()
    if head is None:
        raise JournalMissing("there is no journal there")
    since, until = stretch
    first = await position_of(journal, since, "since") if since is not None else 1
    last = await position_of(journal, until, "until", open_ended=True) if until is not None else head.position
    if last < first:
        raise BadQuestion(f"#{last} lies before #{first}: the end before the beginning")
    present = (await as_of(streams, None)).model.state
    refuse_own_peers(present, target)
    begun, _ = await fold_to(journal, first)
    peer = _chosen_peer(present, begun.state, target)
    with tempfile.TemporaryDirectory(prefix="porter-replay-") as folder:
        settings = session_of(begun.state, present, peer, target)
        async with session_with(Path(folder), settings, OWN_SPEAKER) as router:
            announcer = _Announcer(router, begun.state, peer, SpeakerName(target.speaker or OWN_SPEAKER))
            await announcer.begin()
            stage.tell(f"at #{first} {router.name} has {announcer.count} paths")
            teller = Teller(before_of(begun.state))
            position = first
            async for envelope in _events(streams, first, last):
                if not await stage.pace(envelope):
                    break
                summary = teller.tell("", envelope)
                announced, withdrawn = await announcer.apply(envelope)
                stage.tell(Step(envelope, summary, announced, withdrawn, announcer.count))
                position = envelope.position
            await stage.stay()
            return Replayed(position, announcer.count)


def refuse_own_peers(present: ClusterState, target: Target) -> None:
    """A router that the cluster itself speaks to would have two sources of one route.

    Raises:
        BadQuestion: the target is one, and nobody forced it.
    """
    asked = plain_address(target.address)
    own = sorted(name for name, fact in present.inventory.peers.items() if plain_address(fact.address) == asked)
    if own and not target.force:
        raise BadQuestion(
            f"{target.address} is BgpPeer {', '.join(own)} of this cluster: replayed routes would stand beside the "
            "live ones there; name a router of a lab, or --force it"
        )


def _chosen_peer(present: ClusterState, begun: ClusterState, target: Target) -> PeerKey:
    known = sorted(present.inventory.peers.keys() | begun.inventory.peers.keys())
    if target.peer:
        if target.peer not in known:
            raise NotThere(f"no BgpPeer {target.peer!r} is known; known: {', '.join(known) or 'none'}")
        return PeerKey(target.peer)
    if len(known) != 1:
        raise BadQuestion(
            f"say whose routes are to be announced, with --peer; known: {', '.join(known) or 'no BgpPeer at all'}"
        )
    return PeerKey(known[0])


def session_of(begun: ClusterState, present: ClusterState, peer: PeerKey, target: Target) -> SessionSettings:
    """The session with the router: as the replayed peer's, but for what the target says.

    Raises:
        BadQuestion: an AS number is none, or there is none to take.
    """
    fact = begun.inventory.good_peer(peer) or present.inventory.good_peer(peer)
    conf = begun.inventory.good_conf(DEFAULT_CONF) or present.inventory.good_conf(DEFAULT_CONF)
    assert fact is not None, "the peer was chosen among those that are known"
    if topology_of(fact, conf) == NODE and not node_of(target.speaker):
        raise BadQuestion(f"BgpPeer {peer} has its routes of agents; name the one with --speaker {AGENT_PREFIX}NODE")
    local_as = target.local_as or fact.local_as or (conf.as_number if conf is not None else 0)
    peer_as = target.peer_as or fact.peer_as
    for option, number in (("--local-as", local_as), ("--peer-as", peer_as)):
        if not FIRST_AS <= number <= LAST_AS:
            raise BadQuestion(f"{option} is to be an AS number between {FIRST_AS} and {LAST_AS}; {number} is none")
    book = AddressBook(target.local_address)
    local_address = book.towards(target.address)
    return SessionSettings(
        peer=peer,
        peer_address=target.address,
        peer_as=peer_as,
        local_as=local_as,
        router_id=book.router_id(local_address),
        local_address=local_address,
        port=target.port,
        families=tuple(family for family in FAMILIES if family in fact.families),
        multihop_ttl=0 if local_as == peer_as else 255,
        # What was replayed is gone with its session: nobody comes back for it.
        restart_time_s=1,
        description="a replay of history",
        extended_next_hop=fact.extended_next_hop,
    )


# ---------------------------------------------------------------------------------------------------------- the routes


class _Announcer:
    """Keeps the router's routes in step with the state."""

    def __init__(self, router: Router, state: ClusterState, peer: PeerKey, speaker: SpeakerName) -> None:
        self._router = router
        self._state = state
        self._peer = peer
        self._speaker = speaker
        self._ribs = AdjRibsOut(speaker)
        self._exported: object = None
        self._keys: frozenset[object] = frozenset()

    @property
    def count(self) -> int:
        """How many paths the router is to have."""
        return len(self._keys)

    async def begin(self) -> None:
        """Bring the session up with the routes that stand."""
        self._ribs.negotiated(self._peer, await self._router.established())
        self._state.loc_rib.take_changed()
        await self._publish_all()

    async def apply(self, envelope: Envelope) -> tuple[int, int]:
        """Fold an event, and announce what it changed; return how many paths came and went."""
        before = self._keys
        self._state = fold(self._state, (envelope,))
        prefixes, exported = self._state.loc_rib.take_changed(), exported_from(self._state, self._speaker)
        if exported != self._exported:
            await self._publish_all()
        elif prefixes:
            for desired in self._ribs.changed(self._state, prefixes, certain=True):
                self._router.publisher.desire(desired)
                self._keys = frozenset(desired.routes)
            await self._router.has(len(self._keys))
        return len(self._keys - before), len(before - self._keys)

    async def _publish_all(self) -> None:
        self._exported = exported_from(self._state, self._speaker)
        for desired in self._ribs.whole(self._state, certain=True):
            self._router.publisher.desire(desired)
            self._keys = frozenset(desired.routes)
        await self._router.has(len(self._keys))


async def _events(streams: Streams, first: int, last: int) -> AsyncIterator[Envelope]:
    """The events behind the first position, up to the last."""
    journal = streams.journal()
    begin = await journal.commit_at(first + 1)
    if begin is None or first >= last:
        return
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            for envelope in commit.events:
                if envelope.position > last:
                    return
                if envelope.position > first:
                    yield envelope
