"""Values of the domain as JSON: camelCase names, RFC 3339 times in UTC, named tuples as objects."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from porter.events.envelope import Envelope

Json = Any

PAIRS = frozenset({"labels", "selector", "namespace_selector", "node_selector"})
"""Fields that hold sorted pairs and are objects in JSON."""
TRACE_ID = slice(3, 35)
"""Where the trace id stands in a traceparent (W3C Trace Context, section 3.2)."""


def time_json(time_ms: int) -> str:
    """A moment as RFC 3339 in UTC with milliseconds; "" where there is none."""
    if not time_ms:
        return ""
    moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def camel(name: str) -> str:
    """`next_hop` as `nextHop`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def as_json(value: object) -> Json:
    """A value of the domain: named tuples become objects, other tuples lists, bytes their size and digest."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        fields: dict[str, object] = value._asdict()
        return {camel(name): dict(_pairs(each)) if name in PAIRS else as_json(each) for name, each in fields.items()}
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, tuple | list | frozenset):
        return [as_json(each) for each in (sorted(value) if isinstance(value, frozenset) else value)]
    return value


def event_json(envelope: Envelope) -> Json:
    """One event of the journal."""
    return {
        "position": envelope.position,
        "epoch": envelope.epoch,
        "time": time_json(envelope.time_ms),
        "type": envelope.type,
        "aggregate": envelope.aggregate,
        "cause": envelope.causation,
        "correlation": envelope.correlation,
        "trace": envelope.traceparent[TRACE_ID],
        "payload": as_json(envelope.payload),
    }


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    assert isinstance(value, tuple)
    return value
