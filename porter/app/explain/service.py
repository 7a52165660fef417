"""Why a Service has the addresses and routes that it has, or none; what an address is; and of prefixes, nodes, peers.

The question is asked at one position. What is stands in the folds; how it came about is read from the journal, as far
as it is still there. One answer serves the HTTP API and the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from porter.app.answer_json import Json, as_json, time_json
from porter.app.answers.cluster import allocation_json
from porter.app.answers.standing import standing
from porter.app.explain.departed import refuse_departed, resolve
from porter.app.explain.node import tell_node
from porter.app.explain.peer import tell_peer
from porter.app.explain.prefix import tell_prefix
from porter.app.explain.question import Question, Unknown
from porter.app.explain.routes import NO_ROUTE, route_json, with_since
from porter.app.history.causes import History, causes, recall
from porter.app.history.next_hops import Since, routes_of, since
from porter.app.read_model import ReadModel
from porter.events.decided import AddressAllocated
from porter.events.envelope import Envelope
from porter.events.observed import ServiceObserved
from porter.model.address import Address, host_prefix, is_aggregate, prefix_address
from porter.ports import Journal
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation
from porter.projections.sentences import given
from porter.projections.status.services import DEGRADED, service_conditions


async def explain(model: ReadModel, journal: Journal, question: Question) -> Json:
    """The answer, with its history read from the journal. The folds are not looked at any more once this waits, but for
    a Service or an address: `recall_for` and `answer` do that in two steps.

    Raises:
        Unknown: there is nothing of this name.
        Ambiguous: a bare word is the name of several things.
        JournalError: the journal could not be read.
    """
    question = await resolve(model, journal, question)
    if question.service or question.address:
        return answer(model, question, await recall_for(model, journal, question))
    told, head = tell(model, question), model.state.ledger.position
    host = bool(question.prefix) and not is_aggregate(question.prefix)
    routes = routes_of(model.state, [prefix_address(question.prefix)] if host else [])
    answered = filled(told, await recall(journal, positions_told(told), head))
    if question.prefix:
        address = prefix_address(question.prefix) if host else Address("")
        hops = answered["prefix"]["nextHops"]
        answered["prefix"]["nextHops"] = with_since(hops, address, await since(journal, routes))
    return answered


async def explain_live(present: Callable[[], ReadModel], journal: Journal, asked: Question) -> Json:
    """The answer from folds that go on while the journal is read.

    Raises:
        Unknown, Ambiguous, JournalError: as `explain`.
    """
    model = present()
    question = await resolve(model, journal, asked)
    if not (question.service or question.address):
        return await explain(model, journal, question)
    history = await recall_for(model, journal, question)
    return answer(present(), question, history)


class Recalled(NamedTuple):
    """What the journal tells of what is asked about: events by position, and since when each next hop is there."""

    events: History
    since: Since


async def recall_for(model: ReadModel, journal: Journal, question: Question) -> Recalled:
    """Read what `answer` will tell of; the folds are not looked at any more once this waits.

    Raises:
        Unknown, JournalError: as `explain`.
    """
    head = model.state.ledger.position
    if question.service and question.service not in model.state.inventory.service_uids:
        await refuse_departed(journal, question.service, head)
    positions = _positions(model.state, question)
    held = [question.address] if question.address else [one.address for one in _held(model.state, question.service)]
    routes = routes_of(model.state, held)
    return Recalled(await recall(journal, positions, head), await since(journal, routes))


def answer(model: ReadModel, question: Question, history: Recalled) -> Json:
    """Everything there is to say of a Service or an address, as JSON.

    Raises:
        Unknown: no Service of Porter's has this name.
    """
    if question.service:
        return _as_answer(model, question, "service", _service(model, _known(model.state, question.service), history))
    return _as_answer(model, question, "address", _address(model, question.address, history))


def tell(model: ReadModel, question: Question) -> Json:
    """The same of a prefix, a node or a peer, with the positions of causes in place of their chains.

    Raises:
        Unknown: there is nothing of this name.
    """
    if question.prefix:
        return _as_answer(model, question, "prefix", tell_prefix(model, question.prefix))
    if question.node:
        return _as_answer(model, question, "node", tell_node(model, question.node))
    return _as_answer(model, question, "peer", tell_peer(model, question.peer))


def positions_told(told: Json) -> set[int]:
    """The positions that stand where `filled` puts chains of causes."""
    if isinstance(told, dict):
        found = {told["causes"]} if isinstance(told.get("causes"), int) else set[int]()
        return found.union(*(positions_told(each) for each in told.values()))
    return set[int]().union(*(positions_told(each) for each in told)) if isinstance(told, list) else set()


def filled(told: Json, history: History) -> Json:
    """What `tell` gave, each position of a cause replaced by the chain that led to it."""
    if isinstance(told, dict):
        return {
            name: _causes(history, each) if name == "causes" and isinstance(each, int) else filled(each, history)
            for name, each in told.items()
        }
    return [filled(each, history) for each in told] if isinstance(told, list) else told


def _as_answer(model: ReadModel, question: Question, kind: str, told: dict[str, Any]) -> Json:
    summary, problems = told.pop("summary"), told.pop("wrong")
    return {
        "position": model.state.ledger.position,
        "asked": question.asked,
        "summary": summary,
        "service": None,
        "address": None,
        "prefix": None,
        "node": None,
        "peer": None,
        **{kind: told},
        "problems": problems,
    }


def _known(state: ClusterState, name: str) -> ServiceObserved:
    uid = state.inventory.service_uids.get(name)
    if uid is None:
        raise Unknown(
            f"no Service {name} of Porter's is known; see that it exists, that its type is LoadBalancer, and that its "
            "annotation lb.kubesphere.io/v1alpha1 or its loadBalancerClass names Porter"
        )
    return state.inventory.services[uid]


def _held(state: ClusterState, service: str) -> Sequence[Allocation]:
    return state.pools.of(_known(state, service).uid)


def _positions(state: ClusterState, question: Question) -> list[int]:
    if question.address:
        return [one.position for one in state.pools.by_address.get(question.address, ())]
    service = _known(state, question.service)
    positions = [one.position for one in state.pools.of(service.uid)]
    refusal = state.pools.refusals.get(service.uid)
    return [*positions, *([refusal[1]] if refusal is not None else []), state.inventory.position_of(service.uid)]


# ----------------------------------------------------------------------------------------------------------- a Service


def _service(model: ReadModel, service: ServiceObserved, history: Recalled) -> dict[str, Any]:
    state, uid = model.state, service.uid
    name = f"{service.namespace}/{service.name}"
    holdings = [_holding(model, one, history) for one in state.pools.of(uid)]
    refusal = _refusal(state, uid, history.events)
    conditions = service_conditions(state, uid)
    degraded = [one["message"] for one in conditions if one["type"] == DEGRADED]
    summary = [f"{name} holds {given(one)}." for one in state.pools.of(uid)]
    if not holdings:
        summary.append(f"{name} has no address: {_why_none(state, refusal)}.")
    summary += [f"{message[:1].upper()}{message[1:]}." for message in degraded]
    summary += [f"{holding['route']['message']}." for holding in holdings]
    return {
        "service": {"namespace": service.namespace, "name": service.name, "uid": uid},
        "position": state.inventory.position_of(uid),
        "resourceVersion": service.resource_version,
        "trafficPolicy": service.traffic_policy,
        "ports": [{"protocol": protocol, "port": port} for protocol, port in service.ports],
        "requested": {
            "pool": service.requested_pool,
            "addresses": list(service.requested_addresses),
            "sharingKey": service.sharing_key,
            "families": list(service.families),
            "familyPolicy": service.family_policy,
        },
        "holdings": holdings,
        "refusal": refusal,
        "conditions": [{key: one[key] for key in ("type", "status", "reason", "message")} for one in conditions],
        "problems": as_json(service.problems),
        "causes": _causes(history.events, state.inventory.position_of(uid)),
        "summary": summary,
        "wrong": [
            *([f"{name} has no address: {_why_none(state, refusal)}"] if not holdings else []),
            *degraded,
            *_without_route(holdings),
        ],
    }


def _why_none(state: ClusterState, refusal: Json) -> str:
    if refusal is not None:
        return f"{refusal['message']} (#{refusal['position']})"
    if state.ledger.recovering:
        return "the journal is recovering, and nothing is decided until that is done"
    if not state.ledger.synced:
        return "the cluster's objects were never listed completely, and nothing is decided yet"
    return "nothing is decided about it yet"


def _refusal(state: ClusterState, uid: str, history: History) -> Json:
    refusal = state.pools.refusal(uid)
    if refusal is None:
        return None
    position = state.pools.refusals[uid][1]
    return {
        "reason": refusal.reason,
        "message": refusal.message,
        "candidates": as_json(refusal.candidates),
        "position": position,
        "causes": _causes(history, position),
    }


def _holding(model: ReadModel, one: Allocation, history: Recalled) -> dict[str, Any]:
    decision = history.events.get(one.position)
    route = route_json(model, one)
    candidates = None
    if decision is not None:
        # An adoption passed nobody over.
        payload = decision.payload
        candidates = as_json(payload.candidates) if isinstance(payload, AddressAllocated) else []
    return {
        "allocation": allocation_json(one),
        "countsFor": model.state.pools.pool_of(one),
        "candidates": candidates,
        "causes": _causes(history.events, one.position),
        "route": {**route, "nextHops": with_since(route["nextHops"], one.address, history.since)},
    }


def _without_route(holdings: Sequence[dict[str, Any]]) -> list[str]:
    return [holding["route"]["message"] for holding in holdings if holding["route"]["state"] == NO_ROUTE]


def _causes(history: History, position: int) -> list[Json]:
    return [_cause(envelope) for envelope in causes(history, position)]


def _cause(envelope: Envelope) -> Json:
    return {
        "position": envelope.position,
        "time": time_json(envelope.time_ms),
        "type": envelope.type,
        "aggregate": envelope.aggregate,
        "resourceVersion": getattr(envelope.payload, "resource_version", ""),
    }


# ---------------------------------------------------------------------------------------------------------- an address


def _address(model: ReadModel, address: Address, history: Recalled) -> dict[str, Any]:
    state = model.state
    now = standing(state, address, model.sessions.local_addresses())
    holders = state.pools.by_address.get(address, ())
    holdings = [_holding(model, one, history) for one in holders]
    cooling = None
    if now.cooling is not None:
        released = now.cooling
        cooling = {
            "service": {"namespace": released.namespace, "name": released.name, "uid": released.uid},
            "since": time_json(released.since_ms),
            "until": time_json(now.until_ms),
            "position": released.position,
        }
    reserved = now.reservation
    return {
        "address": address,
        "prefix": host_prefix(address),
        "state": now.state,
        "pool": now.pool,
        "message": now.message,
        "holdings": holdings,
        "reservedFor": None if reserved is None else {"namespace": reserved.namespace, "name": reserved.name},
        "coolingDown": cooling,
        "summary": [f"{now.message}.", *(f"{holding['route']['message']}." for holding in holdings[:1])],
        "wrong": _without_route(holdings[:1]),
    }
