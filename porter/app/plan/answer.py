"""The plan as an answer: what would be different, by which planned event, and which Services would lose something.

1. Fork the state, and fold the planned facts into the copy, behind its last position.
2. Decide on the copy until there is nothing more to say, as the leader would.
3. Compare the copy with the present, as `porter diff` compares two moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from porter.allocator.decide import cause, decide, unsettled
from porter.allocator.path_identifiers import assign
from porter.app.answer_json import Json
from porter.app.answers.diff import Between, compared
from porter.app.answers.routes import DESIRED, routes
from porter.app.answers.sentences import Teller, lane
from porter.app.answers.timeline import before_of
from porter.app.history.moments import Moment
from porter.app.history.streams import Streams
from porter.app.history.time_travel import AsOf, as_of
from porter.app.plan.changes import Changes, facts_of
from porter.app.read_model import ReadModel
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.events.observed import PeerObserved, PoolObserved
from porter.kube.facts import FactSettings
from porter.model.address import host_prefix
from porter.policy.problems import disqualifying
from porter.projections.adj_rib_out import refused
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve
from porter.projections.sessions import IDLE, Sessions
from porter.projections.status.conditions import sentence

MAX_ROUNDS = 100_000
ASKED_AT_ONCE = 128
PLANNED_DOWN = "planned to be down"


class _Copy:
    """A copy of the present that the plan happens to."""

    def __init__(self, state: ClusterState) -> None:
        self.state = state.fork()
        self.events: list[Envelope] = []

    def fold(self, payload: Event, causation: int = 0) -> None:
        ledger = self.state.ledger
        envelope = Envelope(ledger.position + 1, ledger.epoch, ledger.time_ms, causation, "plan", "", payload)
        self.state = evolve(self.state, envelope)
        self.events.append(envelope)

    def settle(self) -> None:
        """Raises AssertionError where decisions do not come to rest."""
        for _ in range(MAX_ROUNDS):
            for payload in assign(self.state):
                self.fold(payload)
            uids = unsettled(self.state, ASKED_AT_ONCE)
            if not uids:
                return
            for uid in uids:
                because = cause(self.state, uid)
                for decision in decide(self.state, uid):
                    self.fold(decision, because)
        raise AssertionError(f"decisions did not come to rest in {MAX_ROUNDS} rounds")


async def plan_at(streams: Streams, moment: Moment | None, changes: Changes, settings: FactSettings) -> Json:
    """`plan` upon a moment of the history; None is the present.

    Raises:
        BadQuestion, JournalError: the moment cannot be told.
        NotThere: as `plan`.
    """
    return plan(await as_of(streams, moment), changes, settings)


def plan(present: AsOf, changes: Changes, settings: FactSettings) -> Json:
    """What the changes would do to the present.

    Raises:
        NotThere: something that is to go is not there.
    """
    model = present.model
    facts, notes, objects = facts_of(changes, model.state, settings)
    copy = _Copy(model.state)
    for fact in facts:
        copy.fold(fact)
    copy.settle()
    sessions = _sessions(model.sessions, changes.peers_down)
    then = present._replace(model=ReadModel(copy.state, sessions))
    teller = Teller(before_of(model.state))
    summaries = {one.position: teller.tell("", one) for one in copy.events}
    between = Between(
        {(one.aggregate, type(one.payload)): one for one in copy.events},
        {one.position: one for one in copy.events},
        {},
        summaries,
    )
    losses = list(_losses(model, then.model, frozenset(name for kind, name in changes.deletions if kind == "Service")))
    different = compared(present, then, between)
    return {
        "position": model.state.ledger.position,
        "changes": [_change(one, summaries[one.position]) for one in copy.events],
        **different,
        "routes": [one for one in different["routes"] if not _sent_again(one)],
        "losses": losses,
        "notes": [*changes.faults, *notes],
        "problems": [*(loss["message"] for loss in losses), *changes.faults, *_unusable(copy.state, objects)],
    }


def _unusable(state: ClusterState, objects: Iterable[tuple[str, Event]]) -> Iterator[str]:
    """Each object of a manifest that could not be used, with why: by itself, or beside the others."""
    for title, fact in objects:
        problem = disqualifying(getattr(fact, "problems", ()))
        if problem is None and isinstance(fact, PoolObserved):
            problem = state.pools.table.by_name[fact.name].problem
        if problem is None and isinstance(fact, PeerObserved) and not fact.admin_down:
            problem = refused(state, fact.name)
        if problem is not None:
            yield f"{title} could not be used: {sentence(problem)}"


def _change(envelope: Envelope, summary: str) -> Json:
    return {
        "position": envelope.position,
        "lane": lane("", envelope.payload),
        "type": envelope.type,
        "aggregate": envelope.aggregate,
        "cause": envelope.causation,
        "summary": summary,
    }


def _sent_again(row: Json) -> bool:
    """Whether nothing but the confirmation of a route is missing: a copy has no router that would confirm it anew."""
    was, now = row["before"], row["after"]
    if was is None or now is None or DESIRED in (was["state"], now["state"]):
        return False
    return all(was[name] == now[name] for name in ("nextHop", "attributes"))


def _sessions(sessions: Sessions, peers_down: list[str]) -> Sessions:
    copy = sessions.fork()
    for speaker in copy.speakers.values():
        for name in peers_down:
            session = speaker.peers.get(name)
            if session is not None:
                session.state, session.reason = IDLE, PLANNED_DOWN
                session.down()
    return copy


def _losses(before: ReadModel, after: ReadModel, deleted: frozenset[str]) -> Iterator[Json]:
    """Each Service that goes on and loses an address, or the last route of one."""
    # A session may just be down: what has no next hop any more would not come back with it.
    unreached = (_reached(before) - _reached(after)) | (_routed(before) - _routed(after))
    pools = before.state.pools
    for uid in sorted(pools.by_uid):
        kept = set(after.state.pools.addresses_of(uid))
        for one in pools.of(uid):
            service = f"{one.namespace}/{one.name}"
            if service in deleted:
                continue
            told = {"service": {"namespace": one.namespace, "name": one.name, "uid": uid}, "address": one.address}
            if one.address not in kept:
                yield {**told, "lost": "address", "message": f"{service} would lose its address {one.address}"}
            elif host_prefix(one.address) in unreached:
                yield {**told, "lost": "routes", "message": f"{service} would lose all routes of {one.address}"}


def _reached(model: ReadModel) -> frozenset[str]:
    """The prefixes that go to an established session; where no session is known, those that have next hops."""
    routed = _routed(model)
    if not any(speaker.peers for speaker in model.sessions.speakers.values()):
        return routed
    announced = {one["prefix"] for one in routes(model)["routes"] if one["state"] != DESIRED}
    aggregates = [one for one in announced if not one.endswith(("/32", "/128"))]
    return frozenset(prefix for prefix in routed if prefix in announced or _within(prefix, aggregates))


def _routed(model: ReadModel) -> frozenset[str]:
    """The prefixes that have next hops."""
    return frozenset(model.state.loc_rib.routes)


def _within(prefix: str, aggregates: list[str]) -> bool:
    """Whether one of the aggregates holds a host prefix."""
    address = ip_address(prefix.partition("/")[0])
    return any(address in ip_network(one) for one in aggregates)
