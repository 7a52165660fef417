"""Operators' actions as they are asked for: read from a body of JSON, and checked against the state, into an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from porter.app.answer_json import Json
from porter.app.answers import routes as route_answers
from porter.app.answers.last_speaker import announced_by_it_alone
from porter.app.history.reading import BadQuestion
from porter.app.read_model import ReadModel
from porter.app.settings import DRAIN_DELAY_MS
from porter.events.decided import (
    NodeDrained,
    NodeUndrained,
    OperatorAction,
    ServiceDrained,
    ServiceUndrained,
    SpeakerDrained,
    SpeakerUndrained,
    WithdrawalApproved,
)
from porter.projections.maintenance import CORDON

TEXT_CHARS_MAX = 1024
"""Longest reason, and longest name, of an operator's action."""
DELAY_MS_MAX = 24 * 3600 * 1000

SUBJECTS = ("speaker", "node", "service")
"""What can be drained; a body names exactly one."""
DRAIN_FIELDS = frozenset({*SUBJECTS, "delayMs", "force", "undo", "why"})
APPROVE_FIELDS = frozenset({"hold", "why"})


class NotKnown(Exception):
    """Nothing has the name that an action is upon; the message names what is known."""


class NotPossible(Exception):
    """The action cannot be done as things stand; the message names the mend."""


def drain(body: Mapping[str, Any], by: str, model: ReadModel) -> OperatorAction:
    """A drain, or its end: `{"node": .., "why": .., "undo": false, "delayMs": 10000, "force": false}`.

    Raises:
        BadQuestion: the body is not understood.
        NotKnown, NotPossible: see there.
    """
    _only(body, DRAIN_FIELDS)
    named = [subject for subject in SUBJECTS if subject in body]
    if len(named) != 1:
        raise BadQuestion(f"an action names exactly one of {', '.join(SUBJECTS)}; this one names {len(named)}")
    subject = named[0]
    name, why = _text(body, subject), _text(body, "why", required=False)
    undo, force = _boolean(body, "undo"), _boolean(body, "force")
    delay_ms = _number(body, "delayMs", DRAIN_DELAY_MS, DELAY_MS_MAX)
    if subject == "service" and force:
        raise BadQuestion('"force" is of drains of nodes and speakers')
    if subject == "speaker":
        known = route_answers.known_speakers(model)
        if name not in known:
            raise NotKnown(route_answers.not_known("speaker", name, known))
        if undo:
            return SpeakerUndrained(name, by, why)
        return _drained_speaker(name, by, why, model, delay_ms, force)
    if subject == "node":
        return _undrained_node(name, by, why, model) if undo else _drained_node(name, by, why, model, delay_ms, force)
    return _service(name, by, why, model, None if undo else delay_ms)


def approval(body: Mapping[str, Any], by: str, model: ReadModel) -> WithdrawalApproved:
    """The end of a hold: `{"hold": 4711, "why": ..}`.

    Raises:
        BadQuestion: the body is not understood.
        NotKnown: there is no such hold.
    """
    _only(body, APPROVE_FIELDS)
    number = _number(body, "hold", 0, 1 << 63)
    opened = model.state.ledger.holds.open
    if number not in opened:
        raise NotKnown(route_answers.not_known("hold", str(number), [str(one) for one in opened]))
    return WithdrawalApproved(number, by, _text(body, "why", required=False))


def answer(action: OperatorAction, position: int) -> Json:
    """What is said of an action that was journaled."""
    match action:
        case SpeakerDrained() | SpeakerUndrained():
            return {"position": position, "speaker": action.speaker, "drained": isinstance(action, SpeakerDrained)}
        case NodeDrained() | NodeUndrained():
            return {"position": position, "node": action.node, "drained": isinstance(action, NodeDrained)}
        case ServiceDrained() | ServiceUndrained():
            service = f"{action.namespace}/{action.name}"
            return {"position": position, "service": service, "drained": isinstance(action, ServiceDrained)}
        case WithdrawalApproved():
            return {"position": position, "hold": action.hold}


def _drained_speaker(name: str, by: str, why: str, model: ReadModel, delay_ms: int, force: bool) -> SpeakerDrained:  # noqa: PLR0917 -- the event's fields.
    alone = 0 if force else announced_by_it_alone(model, name)
    if alone:
        raise NotPossible(
            f"no other speaker announces {alone} of {len(model.state.loc_rib.routes)} prefixes, which every router "
            f"would lose; bring another speaker into service first, or say `porter drain speaker {name} --force`"
        )
    return SpeakerDrained(name, by, why, delay_ms)


def _drained_node(name: str, by: str, why: str, model: ReadModel, delay_ms: int, force: bool) -> NodeDrained:  # noqa: PLR0917 -- the event's fields.
    node = model.state.inventory.nodes.get(name)
    if node is None:
        raise NotKnown(route_answers.not_known("node", name, model.state.inventory.nodes))
    return NodeDrained(name, node.uid, by, why, delay_ms, force)


def _undrained_node(name: str, by: str, why: str, model: ReadModel) -> NodeUndrained:
    drains = model.state.ledger.maintenance.nodes
    drain = drains.get(name)
    if drain is None:
        raise NotKnown(route_answers.not_known("drained node", name, drains))
    node = model.state.inventory.nodes.get(name)
    if drain.by == CORDON and node is not None and node.cordoned:
        raise NotPossible(f"node {name} is drained because it is cordoned; `kubectl uncordon {name}` ends that")
    return NodeUndrained(name, by, why)


def _service(name: str, by: str, why: str, model: ReadModel, delay_ms: int | None) -> ServiceDrained | ServiceUndrained:
    inventory = model.state.inventory
    uid = inventory.service_uids.get(name)
    if uid is None:
        raise NotKnown(f"no Service {name!r} of Porter's is known; name it as NAMESPACE/NAME, and see `/v1/services`")
    service = inventory.services[uid]
    if delay_ms is not None:
        return ServiceDrained(uid, service.namespace, service.name, by, why, delay_ms)
    if uid not in model.state.ledger.maintenance.services:
        raise NotKnown(f"Service {name} is not drained")
    return ServiceUndrained(uid, service.namespace, service.name, by, why)


def _text(body: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    text = body.get(name, "")
    if not isinstance(text, str) or len(text) > TEXT_CHARS_MAX or (required and not text):
        raise BadQuestion(f'"{name}" must be a text of at most {TEXT_CHARS_MAX} characters')
    return text


def _boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadQuestion(f'"{name}" must be true or false, without quotes')
    return value


def _number(body: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise BadQuestion(f'"{name}" must be a whole number from 0 to {most}')
    return value


def _only(body: Mapping[str, Any], names: frozenset[str]) -> None:
    unknown = sorted(set(body) - names)
    if unknown:
        raise BadQuestion(f'"{unknown[0]}" is not understood; an action has {", ".join(sorted(names))}')
