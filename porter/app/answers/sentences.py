"""Events as sentences of a few words, for the timeline: what is new, and what it was before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.app.answer_json import PAIRS, camel
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.selector import Selector

KUBE, ALLOCATOR, LEADER, OPERATOR, BGP = "kube", "allocator", "leader", "operator", "bgp"

PLAIN = frozenset({"uid", "resource_version", "generation", "created_ms", "name", "namespace", "problems", "held"})
"""Fields that a change is not told by."""

RANGES = frozenset({"ranges", "excludes"})
SHORT = 60
"""Most characters of one value."""

LANES: dict[type, str] = {
    **dict.fromkeys(
        (
            decided.AddressAllocated,
            decided.AddressAdopted,
            decided.AddressReleased,
            decided.AllocationRefused,
            decided.CoolDownElapsed,
            decided.PathIdentifierAssigned,
            decided.WithdrawalHeld,
            decided.HoldExpired,
            decided.HoldEnded,
            decided.NodeDrainElapsed,
            decided.ServiceDrainElapsed,
            decided.SpeakerDrainElapsed,
        ),
        ALLOCATOR,
    ),
    **dict.fromkeys(decided.OPERATOR_ACTIONS, OPERATOR),
}


def lane(stream: str, payload: Event) -> str:
    """Whose event it is: the API's, the allocator's, the leader's, an operator's, or BGP's."""
    if stream:
        return BGP
    known = LANES.get(type(payload))
    if known is not None:
        return known
    return KUBE if type(payload).__module__ == observed.__name__ else LEADER


class Teller:
    """Remembers the last event of each kind about each thing, so that a change can be told."""

    def __init__(self, before: Callable[[Event], Event | None] | None = None) -> None:
        self._last: dict[tuple[str, type, str], Event] = {}
        self._before = before

    def see(self, stream: str, payload: Event) -> None:
        """Remember an event that need not be told."""
        self._last[(stream, type(payload), payload.aggregate)] = payload

    def tell(self, stream: str, envelope: Envelope) -> str:
        """The event in a few words."""
        payload = envelope.payload
        last = self._last.get((stream, type(payload), payload.aggregate))
        if last is None and not stream and self._before is not None:
            last = self._before(payload)
        self.see(stream, payload)
        if stream and isinstance(payload, decided.EpochStarted):
            return f"{payload.holder} claims its stream, epoch {envelope.epoch}"
        sentence = _SENTENCES.get(type(payload))
        if sentence is not None:
            return sentence(payload, envelope)
        if isinstance(payload, routed.SessionStateChanged):
            return _session(payload, last)
        if isinstance(payload, observed.EndpointsObserved):
            return _endpoints(payload, last)
        return _changed(payload, last) if last is not None else _whole(payload)


def _session(event: routed.SessionStateChanged, last: Event | None) -> str:
    was = f"{last.state}→" if isinstance(last, routed.SessionStateChanged) else ""
    reason = f" ({event.reason})" if event.reason else ""
    return f"{event.peer} {was}{event.state}{reason}"


def _endpoints(event: observed.EndpointsObserved, last: Event | None) -> str:
    was = f"{_nodes(last)} → " if isinstance(last, observed.EndpointsObserved) else ""
    return f"ready on {was}{_nodes(event)}"


def _nodes(event: observed.EndpointsObserved) -> str:
    names = sorted({name or "(no node)" for _, nodes in event.ready for name in nodes})
    going = sorted({name for _, nodes in event.terminating for name in nodes})
    return (", ".join(names) or "nobody") + (f" (terminating on {', '.join(going)})" if going else "")


def _changed(payload: Any, last: Any) -> str:
    told = [
        f"{camel(name)} {_field(name, getattr(last, name))}→{_field(name, getattr(payload, name))}"
        for name in payload._fields
        if name not in PLAIN and getattr(last, name) != getattr(payload, name)
    ]
    return ", ".join(told) or "the same as before"


def _whole(payload: Any) -> str:
    told = [
        f"{camel(name)} {_field(name, value)}"
        for name, value in payload._asdict().items()
        if name not in PLAIN and value != payload._field_defaults.get(name) and value not in ("", 0, (), False, None)
    ]
    return ", ".join(told)


def _field(name: str, value: object) -> str:
    """One field's value in a few words."""
    joint = "=" if name in PAIRS else "-" if name in RANGES else ""
    text = _text(value, joint)
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _text(value: object, joint: str = "") -> str:
    if isinstance(value, Selector):
        told = [_text(value.labels, "=")] if value.labels else []
        told += [f"{one.key} {one.operator} {_text(one.values)}" for one in value.expressions]
        return ", ".join(told) or "everything"
    if isinstance(value, tuple):
        if joint:
            return ", ".join(joint.join(dict.fromkeys(map(str, pair))) for pair in value) or "none"
        return ", ".join(map(_text, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _paths(event: routed.RoutesAnnounced | routed.RoutesWithdrawn) -> str:
    hops: dict[str, list[str]] = {}
    for path in event.paths:
        hops.setdefault(path.prefix, []).append(path.next_hop)
    told = [f"{prefix} via {', '.join(sorted(found))}" for prefix, found in sorted(hops.items())]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f"{'; '.join(told[:3])}{more}"


def _started(event: decided.EpochStarted, envelope: Envelope) -> str:
    return f"{event.holder} leads, epoch {envelope.epoch}{', and recovers' if event.recovering else ''}"


def _why(event: Any) -> str:
    return f" by {event.by}{f': {event.why}' if event.why else ''}"


def _delay(event: decided.SpeakerDrained) -> str:
    return f"; it withdraws everything in {event.delay_ms / 1000:g} s" if event.delay_ms else ""


_SENTENCES: dict[type, Callable[[Any, Envelope], str]] = {
    decided.AddressAllocated: lambda e, _: f"{e.address} from Eip {e.pool} ({e.reason})",
    decided.AddressAdopted: lambda e, _: f"{e.address} is kept, of Eip {e.pool or '-'} ({e.reason})",
    decided.AddressReleased: lambda e, _: f"{e.address} is free again, of Eip {e.pool or '-'} ({e.reason})",
    decided.AllocationRefused: lambda e, _: f"{e.reason}: {e.message}",
    decided.CoolDownElapsed: lambda e, _: f"{e.address} may be given again",
    decided.EpochStarted: _started,
    decided.PositionsLost: lambda e, _: f"#{e.first} to #{e.last} are lost: {e.reason}",
    decided.RecoveryCompleted: lambda e, _: f"{e.adopted} addresses adopted",
    decided.SchemaActivated: lambda e, _: (
        f"{', '.join(f'{name} version {version}' for name, version in e.types)} is written from here on"
    ),
    decided.SpeakerDrained: lambda e, _: f"speaker {e.speaker}{_why(e)}{_delay(e)}",
    decided.SpeakerDrainElapsed: lambda e, _: f"speaker {e.speaker} withdraws everything",
    decided.SpeakerUndrained: lambda e, _: f"speaker {e.speaker}{_why(e)}",
    decided.NodeDrained: lambda e, _: f"node {e.node}{_why(e)}",
    decided.NodeUndrained: lambda e, _: f"node {e.node}{_why(e)}",
    decided.WithdrawalHeld: lambda e, _: f"{len(e.prefixes)} prefixes keep their next hops ({e.cause})",
    decided.WithdrawalApproved: lambda e, _: f"hold {e.hold}{_why(e)}",
    observed.ServiceGone: lambda e, _: str(e.reason),
    observed.NodeGone: lambda *_: "deleted",
    observed.NamespaceGone: lambda *_: "deleted",
    observed.PoolGone: lambda *_: "deleted; what it gave stays given",
    observed.PeerGone: lambda *_: "deleted",
    observed.ConfGone: lambda *_: "deleted",
    observed.AdvertisementGone: lambda *_: "deleted",
    routed.RoutesAnnounced: lambda e, _: f"{_paths(e)} → {e.peer}",
    routed.RoutesWithdrawn: lambda e, _: f"{_paths(e)} → {e.peer}",
    routed.BfdStateChanged: lambda e, _: f"{e.peer}: {e.state or 'not watched'}{f' ({e.reason})' if e.reason else ''}",
    routed.RibSynced: lambda e, _: f"{e.peer} has all {e.routes} routes of #{e.position}",
    routed.EndOfRibSent: lambda e, _: f"{', '.join(e.families)} → {e.peer}",
    routed.PeerUnsynced: lambda e, _: f"{e.peer}: {e.reason}",
    routed.DriftFound: lambda e, _: f"{e.peer}: {e.missing} missing, {e.unexpected} unexpected; repaired",
    routed.ImportsRefused: lambda e, _: f"{e.peer} sent {e.updates} UPDATEs, none of which is taken",
    routed.JournalLost: lambda e, _: f"followed up to #{e.position} of epoch {e.epoch}",
}
