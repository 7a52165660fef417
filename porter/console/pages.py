"""The long answers a page at a time, for who looks at them: Services, addresses with routes, the journal's events.

Each row is what the whole answer (`porter.app.answers.cluster`, `explain`, `events`) says of the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import NamedTuple, TypeVar

from porter.app.answer_json import Json, event_json, time_json
from porter.app.answers.cluster import service_json
from porter.app.answers.outcome_causes import outcome_cause
from porter.app.answers.sentences import Teller, lane
from porter.app.explain.routes import route_json
from porter.app.history.causes import MAX_CAUSES, event_at
from porter.app.history.moments import Moment, position_of
from porter.app.history.reading import BadQuestion, EventFilter
from porter.app.history.streams import Streams
from porter.app.read_model import ReadModel
from porter.events.envelope import Envelope
from porter.events.observed import ServiceObserved
from porter.journal.chain import checkpoint_before
from porter.model.address import Address, InvalidAddress, address_number, family_of, host_prefix, parse_prefix
from porter.ports import Journal
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation
from porter.projections.status.services import degraded_message
from porter.projections.timeline import realised

ROWS_DEFAULT = 100
ROWS_MAX = 500
LOOK_BACK_FIRST = 512
LOOK_BACK_MAX = 100_000
"""Most events that are read for a page of the newest ones that a filter wants."""
TEXT_MAX = 256
"""Most characters of what is searched for."""

ALL, SERVED, WAITING, DEGRADED = "", "served", "waiting", "degraded"
ROUTED, ABSENT, HELD = "routed", "absent", "held"

T = TypeVar("T")


class Slice(NamedTuple):
    """Which rows: those that hold a text and are of a kind, `limit` of them from `offset` on."""

    text: str = ""
    show: str = ALL
    offset: int = 0
    limit: int = ROWS_DEFAULT

    @staticmethod
    def from_query(query: Mapping[str, str], kinds: Iterable[str]) -> Slice:
        """Read `q`, `show`, `offset` and `limit`.

        Raises:
            BadQuestion: one of them is malformed or out of bounds.
        """
        text, show = query.get("q", "").strip(), query.get("show", "")
        if len(text) > TEXT_MAX:
            raise BadQuestion(f"q has {len(text)} characters; {TEXT_MAX} at most")
        if show not in ("", *kinds):
            raise BadQuestion(f"show={show!r} is none of {', '.join(kinds)}")
        offset = _number(query, "offset", 0, 0, 1 << 31)
        return Slice(text.lower(), show, offset, _number(query, "limit", ROWS_DEFAULT, 1, ROWS_MAX))

    def of(self, rows: Sequence[T]) -> Sequence[T]:
        """The rows of this page."""
        return rows[self.offset : self.offset + self.limit]


def services(model: ReadModel, query: Mapping[str, str]) -> Json:
    """A page of Services by name; `q` is a part of a name or an address, `show` one of served, waiting, degraded.

    Raises:
        BadQuestion: the query is not understood.
    """
    state = model.state
    wanted = Slice.from_query(query, (SERVED, WAITING, DEGRADED))
    every = state.inventory.services.values()
    found = [service for service in every if _wants_service(state, wanted, service)]
    found.sort(key=lambda service: (service.namespace, service.name))
    return {
        "position": state.ledger.position,
        "total": len(every),
        "matching": len(found),
        "offset": wanted.offset,
        "services": [service_json(state, service) for service in wanted.of(found)],
    }


def _wants_service(state: ClusterState, wanted: Slice, service: ServiceObserved) -> bool:
    held = state.pools.of(service.uid) if wanted.show in (SERVED, WAITING) or wanted.text else ()
    if wanted.show in (SERVED, WAITING) and bool(held) is (wanted.show == WAITING):
        return False
    if wanted.show == DEGRADED and not degraded_message(state, service.uid):
        return False
    text = wanted.text
    return not text or text in f"{service.namespace}/{service.name}".lower() or any(one.address == text for one in held)


def rib(model: ReadModel, query: Mapping[str, str]) -> Json:
    """A page of the addresses in use with their routes: next hops, and what each session made of them.

    `q` is an address (its longest match), a prefix (all inside of it), or a part of a Service's name; `show` is one of
    routed, absent, held.

    Raises:
        BadQuestion: the query is not understood.
    """
    state = model.state
    wanted = Slice.from_query(query, (ROUTED, ABSENT, HELD))
    match = _matcher(wanted.text)
    found = [
        (address, holders)
        for address, holders in state.pools.by_address.items()
        if match(address, holders) and _wants_route(state, wanted.show, address)
    ]
    found.sort(key=lambda one: (family_of(one[0]), address_number(one[0])))
    return {
        "position": state.ledger.position,
        "total": len(state.pools.by_address),
        "matching": len(found),
        "offset": wanted.offset,
        "addresses": [_route_row(model, address, holders) for address, holders in wanted.of(found)],
    }


def _matcher(text: str) -> Callable[[Address, Sequence[Allocation]], bool]:
    if not text:
        return lambda _address, _holders: True
    try:
        network = ip_network(parse_prefix(text))
    except InvalidAddress:
        return lambda _address, holders: any(text in one.service.lower() for one in holders)
    if network.num_addresses == 1:
        exact = str(network.network_address)
        return lambda address, _holders: address == exact
    family = family_of(Address(str(network.network_address)))
    first, last = int(network.network_address), int(network.broadcast_address)
    return lambda address, _holders: family_of(address) == family and first <= address_number(address) <= last


def _wants_route(state: ClusterState, show: str, address: Address) -> bool:
    if not show:
        return True
    prefix = host_prefix(address)
    if show == HELD:
        return prefix in state.loc_rib.lost and prefix in state.loc_rib.routes
    return (prefix in state.loc_rib.routes) is (show == ROUTED)


def _route_row(model: ReadModel, address: Address, holders: Sequence[Allocation]) -> Json:
    return {
        "address": address,
        "pool": holders[0].pool,
        "services": [{"namespace": one.namespace, "name": one.name, "uid": one.uid} for one in holders],
        "route": route_json(model, holders[0]),
    }


async def events(streams: Streams, query: Mapping[str, str]) -> Json:
    """A page of the journal's events: the newest before `before`, or the first behind `after`.

    `first` and `last` are the positions that were looked at for it; `kept` is the first one that there is.

    Raises:
        BadQuestion: the query is not understood.
        JournalError: the journal could not be read.
    """
    wanted = EventFilter.from_query(query)._replace(after=None)
    if wanted.limit > ROWS_MAX:
        raise BadQuestion(f"limit={wanted.limit}: {ROWS_MAX} at most")
    journal = streams.journal()
    head, earliest = await journal.head(), await journal.commit_at(1)
    if head is None or earliest is None:
        return {"position": 0, "kept": 0, "first": 0, "last": 0, "events": []}
    kept = earliest.first_position
    if query.get("after"):
        after = _number(query, "after", 0, 0, 1 << 62)
        first = max(after + 1, kept)
        found, last = await _forwards(journal, wanted, first, head.position)
    else:
        last = min(_number(query, "before", head.position + 1, 1, 1 << 62) - 1, head.position)
        found, first = await _backwards(journal, wanted, last, kept)
    told = [event_json(envelope) for envelope in found]
    return {"position": head.position, "kept": kept, "first": first, "last": last, "events": told}


async def _forwards(journal: Journal, wanted: EventFilter, first: int, head: int) -> tuple[list[Envelope], int]:
    found: list[Envelope] = []
    step = LOOK_BACK_FIRST
    last = first - 1
    while last < head and last - first < LOOK_BACK_MAX:
        begin, last = last + 1, min(last + step, head)
        found += await _between(journal, wanted, begin, last)
        if len(found) >= wanted.limit:
            found = found[: wanted.limit]
            return found, found[-1].position
        step *= 2
    return found, last


async def _backwards(journal: Journal, wanted: EventFilter, last: int, kept: int) -> tuple[list[Envelope], int]:
    found: list[Envelope] = []
    step = LOOK_BACK_FIRST
    first = last + 1
    while first > kept and last - first < LOOK_BACK_MAX:
        end, first = first - 1, max(first - step, kept)
        found = await _between(journal, wanted, first, end) + found
        if len(found) >= wanted.limit:
            found = found[-wanted.limit :]
            return found, found[0].position
        step *= 2
    return found, first


async def _between(journal: Journal, wanted: EventFilter, first: int, last: int) -> list[Envelope]:
    begin = await journal.commit_at(first)
    found: list[Envelope] = []
    if begin is None:
        return found
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            found += [one for one in commit.events if first <= one.position <= last and wanted.wants(one)]
            if commit.last_position >= last:
                return found
    return found


async def causes(streams: Streams, query: Mapping[str, str]) -> Json:
    """An event of the journal, or of a speaker's `stream`, and what led to it, the newest first.

    Raises:
        BadQuestion: the position is none, or the event is not kept any more.
        JournalError: a stream could not be read.
    """
    stream, position = query.get("stream", ""), _number(query, "position", 0, 1, 1 << 62)
    if stream and stream not in await streams.speakers():
        raise BadQuestion(f"stream={stream!r} is no speaker's")
    chain: list[Json] = []
    journal = streams.journal()
    envelope = await event_at(streams.speaker(stream) if stream else journal, position)
    if envelope is None:
        raise BadQuestion(f"#{position} is not kept, or not there yet; see the first and last positions of the journal")
    while envelope is not None and len(chain) < MAX_CAUSES:
        told = {"stream": stream, "lane": lane(stream, envelope.payload), **event_json(envelope)}
        realises = realised(envelope) if stream else 0
        cause = (await outcome_cause(streams, stream, envelope)) or realises if stream else envelope.causation
        chain.append({**told, "cause": cause, "realises": realises, "summary": Teller().tell(stream, envelope)})
        stream = ""
        envelope = await event_at(journal, cause) if cause else None
    return {"position": position, "causes": chain}


async def moment(streams: Streams, query: Mapping[str, str]) -> Json:
    """What is kept of the journal, and which position a moment `at` is (the head if unset).

    Raises:
        BadQuestion: the moment lies outside of what is kept.
        JournalError: the journal could not be read.
    """
    journal = streams.journal()
    head, earliest = await journal.head(), await journal.commit_at(1)
    if head is None or earliest is None:
        return {"position": 0, "time": "", "first": 0, "firstTime": "", "last": 0, "lastTime": ""}
    wanted = Moment.from_query(query, "at")
    position = head.position if wanted is None else await position_of(journal, wanted, "at")
    there, newest = await journal.commit_at(position), await journal.commit_at(head.position)
    return {
        "position": position,
        "time": time_json(there.time_ms) if there is not None else "",
        "first": earliest.first_position,
        "firstTime": time_json(earliest.time_ms),
        "last": head.position,
        "lastTime": time_json(newest.time_ms) if newest is not None else "",
    }


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, "").removeprefix("#") or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadQuestion(f"{name}={text!r} is no number between {least} and {most}")
    return int(text)
