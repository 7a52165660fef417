"""The names of spans and of their attributes, in one table: what is recorded, and the page of the reference.

A span that is begun under another name, or gets an attribute that its row does not name, fails the tests.
"""

from __future__ import annotations

from typing import NamedTuple

SERVICE_CHANGE = "service.change"
OBJECT_CHANGE = "object.change"
OPERATOR_ACTION = "operator.action"
TIMER_ELAPSED = "timer.elapsed"
APPEND = "journal.append"
ALLOCATE = "allocate"
ANNOUNCE = "announce"
WITHDRAW = "withdraw"
SEND = "{engine}.send"

OBJECT = "porter.object"
EVENT = "porter.event"
RESOURCE_VERSION = "porter.resource_version"
FIRST_POSITION = "porter.position.first"
LAST_POSITION = "porter.position.last"
POSITION = "porter.position"
EPOCH = "porter.epoch"
CAUSE = "porter.cause"
DECISION = "porter.decision"
REASON = "porter.reason"
ADDRESS = "porter.address"
POOL = "porter.pool"
SPEAKER = "porter.speaker"
PREFIXES = "porter.prefixes"
PREFIX_COUNT = "porter.prefixes.count"
PEER = "porter.peer"
ANNOUNCED = "porter.routes.announced"
WITHDRAWN = "porter.routes.withdrawn"
REPLAY = "porter.replay"
ERROR = "error.type"

ATTRIBUTES: dict[str, tuple[str, str]] = {
    OBJECT: ("string", "what changed, as events name it, such as `service/shop/web`"),
    EVENT: ("string", "the type of the event that began the trace"),
    RESOURCE_VERSION: ("string", "the version of the object that was seen, where it has one"),
    POSITION: ("int", "the journal's position of the event, or of what is desired"),
    FIRST_POSITION: ("int", "the first position of the commit"),
    LAST_POSITION: ("int", "the last position of the commit"),
    EPOCH: ("int", "the leader's epoch"),
    CAUSE: ("int", "the position of the event that the decision follows from"),
    DECISION: ("string", "the type of the decision's event, such as `AddressAllocated`"),
    REASON: ("string", "the decision's reason code"),
    ADDRESS: ("string", "the address that was given, or taken back"),
    POOL: ("string", "the pool that it belongs to"),
    SPEAKER: ("string", "the speaker that announces"),
    PREFIXES: ("string[]", "the prefixes, ten of them at most"),
    PREFIX_COUNT: ("int", "how many prefixes"),
    PEER: ("string", "the peer that is told"),
    ANNOUNCED: ("int", "routes of the change that the engine sent"),
    WITHDRAWN: ("int", "routes of the change that the engine withdrew"),
    REPLAY: ("boolean", "true where a speaker follows up what was decided before it could be told"),
    ERROR: ("string", "why it failed; the span's status is ERROR then"),
}
"""Attributes with their types and meanings."""


class SpanRow(NamedTuple):
    """One span: what it is below of, from when to when it lasts, and what it may carry."""

    name: str
    parent: str
    lasts: str
    attributes: tuple[str, ...]


_ROOT = (OBJECT, EVENT, RESOURCE_VERSION, ERROR)
_TOLD = (SPEAKER, POSITION, PREFIXES, PREFIX_COUNT, REPLAY, ERROR)

SPANS: tuple[SpanRow, ...] = (
    SpanRow(
        SERVICE_CHANGE,
        "-",
        "from when the leader's watch brought the change of a Service or of its endpoints until it is durable",
        _ROOT,
    ),
    SpanRow(OBJECT_CHANGE, "-", "likewise for a Node, a Namespace, a pool, a peer, and what else is watched", _ROOT),
    SpanRow(OPERATOR_ACTION, "-", "from an operator's drain or approval until it is durable", _ROOT),
    SpanRow(TIMER_ELAPSED, "-", "from when something scheduled was due until it is durable", _ROOT),
    SpanRow(
        APPEND,
        "the root",
        "the commit that carries the change, from its first event until the journal has it",
        (EVENT, POSITION, FIRST_POSITION, LAST_POSITION, EPOCH, ERROR),
    ),
    SpanRow(
        ALLOCATE,
        f"`{APPEND}` of the cause",
        "one decision about one Service",
        (OBJECT, POSITION, CAUSE, DECISION, REASON, ADDRESS, POOL, EPOCH),
    ),
    SpanRow(
        ANNOUNCE,
        f"`{ALLOCATE}`, or `{APPEND}` where nothing was decided",
        "one per speaker: from when it folded the event until every peer's routes are sent",
        _TOLD,
    ),
    SpanRow(WITHDRAW, f"as `{ANNOUNCE}`", "likewise, where no route of the prefixes is left", _TOLD),
    SpanRow(
        SEND,
        f"`{ANNOUNCE}` or `{WITHDRAW}`",
        "one per peer: from the hand-over to the engine until the last send event of its windows",
        (PEER, POSITION, ANNOUNCED, WITHDRAWN, ERROR),
    ),
)


def reference_page() -> str:
    """The page of the reference, in Markdown."""
    lines = [
        "# Spans",
        "",
        "One OpenTelemetry trace per change, from the watch to the wire, across the controller and the speakers; see",
        "[Traces](../operate/traces.md) for how to switch them on. `{engine}` is the speaker's BGP engine, `exabgp`",
        "where no other was chosen.",
        "",
        "This page is made from `porter/telemetry/spans.py` by `scripts/reference`.",
        "",
        "## Names",
        "",
        "| span | below | lasts |",
        "|---|---|---|",
    ]
    lines += [f"| `{row.name}` | {row.parent} | {row.lasts} |" for row in SPANS]
    lines += ["", "## Attributes", "", "| attribute | type | meaning | spans |", "|---|---|---|---|"]
    for name, (kind, meaning) in ATTRIBUTES.items():
        carriers = ", ".join(f"`{row.name}`" for row in SPANS if name in row.attributes)
        lines.append(f"| `{name}` | {kind} | {meaning} | {carriers} |")
    lines += [
        "",
        "The resource names the program: `service.name` (`porter-controller`, `porter-speaker`, `porter-agent`, where",
        "`OTEL_SERVICE_NAME` says nothing else), `service.instance.id` and `service.version`.",
        "",
    ]
    return "\n".join(lines)
