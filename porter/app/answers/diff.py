"""What changed between two moments: addresses, refusals, routes and sessions, each with the event that did it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from porter.app.answer_json import Json, time_json
from porter.app.answers.cluster import allocation_json, pools
from porter.app.answers.routes import peers, routes
from porter.app.answers.sentences import Teller
from porter.app.answers.timeline import before_of
from porter.app.history.moments import Moment
from porter.app.history.reading import BadQuestion, check_length
from porter.app.history.streams import Streams
from porter.app.history.time_travel import AsOf, as_of
from porter.events.decided import AddressReleased
from porter.events.envelope import BEGINNING, Envelope
from porter.events.observed import EndpointsObserved, NodeGone, NodeObserved, PoolGone, PoolObserved, ServiceGone
from porter.events.routed import SessionStateChanged
from porter.journal.chain import checkpoint_before
from porter.model.address import Address, prefix_address
from porter.ports import Journal
from porter.projections.cluster import ClusterState

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


class Between(NamedTuple):
    """The newest events between the moments: about each thing, by each position, and of each session."""

    by_aggregate: Mapping[tuple[str, type], Envelope]
    by_position: Mapping[int, Envelope]
    sessions: Mapping[tuple[str, str], Envelope]
    summaries: Mapping[int, str]
    """What the journal's events say in a few words, where that is known already."""


async def diff(streams: Streams, query: Mapping[str, str], *, events_max: int = 0) -> Json:
    """The differences from the moment `a` to the moment `b` (the head if unset), at most `events_max` events apart.

    Raises:
        BadQuestion: a moment is missing or not kept, or they are the wrong way round, or too far apart.
        JournalError: a stream could not be read.
    """
    begin = Moment.from_query(query, "a")
    if begin is None:
        raise BadQuestion("say from which moment on: a=TIME|POSITION, and b=TIME|POSITION unless it is the head")
    before, after = await as_of(streams, begin, "a"), await as_of(streams, Moment.from_query(query, "b"), "b")
    first, last = (one.model.state.ledger.position for one in (before, after))
    if first > last:
        raise BadQuestion(f"a is #{first}, behind b, #{last}; write the earlier moment first")
    check_length(first + 1, last, events_max)
    between = await _between(streams, before, after)
    return {
        "position": last,
        "from": _moment(before),
        "to": _moment(after),
        **compared(before, after, between),
    }


def compared(before: AsOf, after: AsOf, between: Between) -> dict[str, Json]:
    """What is different, by kind; the causes are among the events between."""
    return {
        "addresses": list(_addresses(before.model.state, after.model.state, between)),
        "refusals": list(_refusals(before.model.state, after.model.state, between)),
        "pools": list(_pools(before, after, between)),
        "routes": list(_routes(before, after, between)),
        "sessions": list(_sessions(before, after, between)),
    }


def _moment(then: AsOf) -> Json:
    ledger = then.model.state.ledger
    return {"position": ledger.position, "time": time_json(ledger.time_ms)}


async def _between(streams: Streams, before: AsOf, after: AsOf) -> Between:
    first, last = before.model.state.ledger.position + 1, after.model.state.ledger.position
    by_aggregate: dict[tuple[str, type], Envelope] = {}
    by_position: dict[int, Envelope] = {}
    teller, summaries = Teller(before_of(before.model.state)), dict[int, str]()
    for envelope in await _events(streams.journal(), first, last):
        summaries[envelope.position] = teller.tell("", envelope)
        by_aggregate[envelope.aggregate, type(envelope.payload)] = envelope
        by_position[envelope.position] = envelope
    sessions: dict[tuple[str, str], Envelope] = {}
    for name, told in after.model.sessions.speakers.items():
        known = before.model.sessions.speakers.get(name)
        since = known.position if known is not None else 0
        async for page in streams.speaker(name).read(BEGINNING):
            for commit in page:
                for envelope in commit.events:
                    if since < envelope.position <= told.position and isinstance(envelope.payload, SessionStateChanged):
                        sessions[name, envelope.payload.peer] = envelope
    return Between(by_aggregate, by_position, sessions, summaries)


async def _events(journal: Journal, first: int, last: int) -> list[Envelope]:
    found: list[Envelope] = []
    begin = await journal.commit_at(first) if first <= last else None
    if begin is None:
        return found
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            found += [one for one in commit.events if first <= one.position <= last]
        if page and page[-1].last_position >= last:
            break
    return found


def _cause(between: Between, envelope: Envelope | None, stream: str = "") -> Json:
    if envelope is None:
        return None
    known = between.summaries.get(envelope.position) if not stream else None
    return {
        "stream": stream,
        "position": envelope.position,
        "time": time_json(envelope.time_ms),
        "type": envelope.type,
        "aggregate": envelope.aggregate,
        "summary": known if known is not None else Teller().tell(stream, envelope),
    }


def _change(before: object, after: object) -> str:
    return ADDED if before is None else REMOVED if after is None else CHANGED


# ------------------------------------------------------------------------------------------------------------ addresses


def _addresses(before: ClusterState, after: ClusterState, between: Between) -> Iterator[Json]:
    were, are = _held(before), _held(after)
    for key in sorted(were.keys() | are.keys()):
        was, now = were.get(key), are.get(key)
        if was == now:
            continue
        either: Json = now or was
        holder = either["service"]
        service = f"{holder['namespace']}/{holder['name']}"
        released = between.by_aggregate.get((f"service/{service}", AddressReleased))
        cause = between.by_position.get(now["position"]) if now is not None else released
        yield {
            "change": _change(was, now),
            "address": key[0],
            "before": was,
            "after": now,
            "cause": _cause(between, cause),
        }


def _held(state: ClusterState) -> dict[tuple[str, str], Json]:
    return {
        (one.address, one.uid): allocation_json(one) for sharers in state.pools.by_address.values() for one in sharers
    }


def _refusals(before: ClusterState, after: ClusterState, between: Between) -> Iterator[Json]:
    were, are = _refused(before), _refused(after)
    for uid in sorted(were.keys() | are.keys()):
        was, now = were.get(uid), are.get(uid)
        if was == now:
            continue
        told: Json = now or was
        service = {"namespace": told["namespace"], "name": told["name"], "uid": uid}
        cause = between.by_position.get(now["position"]) if now is not None else None
        if cause is None:
            name = f"service/{told['namespace']}/{told['name']}"
            newest = [one for (aggregate, _), one in between.by_aggregate.items() if aggregate == name]
            cause = max(newest, key=lambda one: one.position, default=None)
        plain = [
            None if one is None else {key: one[key] for key in ("reason", "message", "position")} for one in (was, now)
        ]
        yield {
            "change": _change(was, now),
            "service": service,
            "before": plain[0],
            "after": plain[1],
            "cause": _cause(between, cause),
        }


def _pools(before: AsOf, after: AsOf, between: Between) -> Iterator[Json]:
    were, are = ({pool["name"]: pool for pool in pools(one.model)["pools"]} for one in (before, after))
    names = ("ranges", "size", "used", "available", "default", "disabled", "unusable", "problems")
    for name in sorted(were.keys() | are.keys()):
        was, now = ({key: one[name][key] for key in names} if name in one else None for one in (were, are))
        if was == now:
            continue
        about = f"pool/{name}"
        cause = between.by_aggregate.get((about, PoolObserved)) or between.by_aggregate.get((about, PoolGone))
        yield {"change": _change(was, now), "pool": name, "before": was, "after": now, "cause": _cause(between, cause)}


def _refused(state: ClusterState) -> dict[str, Json]:
    found = {}
    for uid, (refused, position) in state.pools.refusals.items():
        if state.pools.refusal(uid) is not None:
            found[uid] = {
                "namespace": refused.namespace,
                "name": refused.name,
                "reason": refused.reason,
                "message": refused.message,
                "position": position,
            }
    return found


# -------------------------------------------------------------------------------------------------- routes and sessions


def _routes(before: AsOf, after: AsOf, between: Between) -> Iterator[Json]:
    were, are = _by_key(before), _by_key(after)
    for key in sorted(were.keys() | are.keys()):
        was, now = were.get(key), are.get(key)
        if was is not None and now is not None and _same(was, now):
            continue
        peer, speaker, prefix, path_id = key
        yield {
            "change": _change(was, now),
            "prefix": prefix,
            "pathId": path_id,
            "peer": peer,
            "speaker": speaker,
            "before": was,
            "after": now,
            "cause": _cause_of_route(before, after, between, was, now),
        }


def _by_key(then: AsOf) -> dict[tuple[str, str, str, int], Json]:
    return {(one["peer"], one["speaker"], one["prefix"], one["pathId"]): one for one in routes(then.model)["routes"]}


def _same(was: Json, now: Json) -> bool:
    return all(was[name] == now[name] for name in ("nextHop", "attributes", "state"))


def _cause_of_route(before: AsOf, after: AsOf, between: Between, was: Json, now: Json) -> Json:
    """What changed the route itself; where that did not change, what its session told."""
    told: Json = now or was
    session = between.sessions.get((told["speaker"], told["peer"]))
    if was is not None and now is not None and was["cause"] == now["cause"]:
        return _cause(between, session, told["speaker"])
    if now is not None and now["cause"] in between.by_position:
        return _cause(between, between.by_position[now["cause"]])
    route = after.model.state.loc_rib.routes.get(told["prefix"])
    if route is not None and route.position in between.by_position:
        return _cause(between, between.by_position[route.position])
    newest = _withdrawn_by(before.model.state, prefix_address(told["prefix"]), between)
    return _cause(between, newest) if newest is not None else _cause(between, session, told["speaker"])


def _withdrawn_by(before: ClusterState, address: Address, between: Between) -> Envelope | None:
    """The newest event that may have taken the last next hop of an address that was held."""
    services = {f"service/{one.service}" for one in before.pools.by_address.get(address, ())}
    about = [
        one
        for (aggregate, kind), one in between.by_aggregate.items()
        if aggregate in services and kind in {EndpointsObserved, ServiceGone, AddressReleased}
    ]
    nodes = [one for (_, kind), one in between.by_aggregate.items() if kind in {NodeObserved, NodeGone}]
    return max(about or nodes, key=lambda one: one.position, default=None)


def _sessions(before: AsOf, after: AsOf, between: Between) -> Iterator[Json]:
    were, are = _session_states(before), _session_states(after)
    for key in sorted(were.keys() | are.keys()):
        was, now = were.get(key), are.get(key)
        if was is not None and now is not None and was["state"] == now["state"] and was["since"] == now["since"]:
            continue
        peer, speaker = key
        cause = between.sessions.get((speaker, peer))
        yield {
            "change": _change(was, now),
            "peer": peer,
            "speaker": speaker,
            "before": was,
            "after": now,
            "cause": _cause(between, cause, speaker),
        }


def _session_states(then: AsOf) -> dict[tuple[str, str], Json]:
    names = ("state", "reason", "since", "confirmed", "flaps")
    return {
        (peer["peer"], session["speaker"]): {name: session[name] for name in names}
        for peer in peers(then.model)["peers"]
        for session in peer["sessions"]
    }
