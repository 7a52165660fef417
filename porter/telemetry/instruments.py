"""What is measured as it happens, by `prometheus_client`: the measurements that are no function of the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from porter.ports import NO_INSTRUMENTATION, Span, Tracer
from porter.ports.instrumentation import Attribute

APPEND_SECONDS = "porter_journal_append_duration_seconds"
ANNOUNCE_SECONDS = "porter_announce_latency_seconds"
WITHDRAW_SECONDS = "porter_withdraw_latency_seconds"
WATCH_RESTARTS = "porter_kube_watch_restarts_total"
LAST_WATCH_EVENT = "porter_kube_last_event_timestamp_seconds"

TRACE_ID = slice(3, 35)
"""Where the trace id stands in a traceparent (W3C Trace Context, section 3.2)."""

APPEND_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""1 s is the objective of the alert rules: it must be one of the bounds."""


class Instrument(NamedTuple):
    """One of them, by its whole name; `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        APPEND_SECONDS,
        "histogram",
        "What an append to the journal took, with all its attempts; only the leader appends.",
        ("result",),
        APPEND_BUCKETS_S,
    ),
    Instrument(
        ANNOUNCE_SECONDS,
        "histogram",
        "From the journaled change until a peer's routes of the prefix were sent; only the leader measures it.",
        (),
        LATENCY_BUCKETS_S,
    ),
    Instrument(
        WITHDRAW_SECONDS,
        "histogram",
        "From the journaled change until a peer's routes of the prefix were withdrawn; only the leader measures it.",
        (),
        LATENCY_BUCKETS_S,
    ),
    Instrument(
        WATCH_RESTARTS,
        "counter",
        "How often a watch of the API server failed or had to be listed anew, by resource and reason.",
        ("resource", "reason"),
    ),
    Instrument(
        LAST_WATCH_EVENT,
        "gauge",
        "When a watch brought something last, a bookmark at least, in seconds since the Unix epoch.",
        ("resource",),
    ),
)


class Instruments:
    """`porter.ports.Instrumentation`: spans by a tracer, and the measurements in a registry of their own."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        # When each series began is a series more of each, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self._tracer = tracer or NO_INSTRUMENTATION
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for name, kind, text, labels, buckets in INSTRUMENTS:
            if kind == "counter":
                self._counters[name] = Counter(name, text, labels, registry=self.registry)
            elif kind == "gauge":
                self._gauges[name] = Gauge(name, text, labels, registry=self.registry)
            else:
                self._histograms[name] = Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    @property
    def tracing(self) -> bool:
        """Whether there is a tracer."""
        return self._tracer.tracing

    def begin(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        start_ns: int | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        """Begin a span, if there is a tracer."""
        return self._tracer.begin(name, parent=parent, links=links, start_ns=start_ns, attributes=attributes)

    def count(self, name: str, amount: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, *, traceparent: str = ""
    ) -> None:
        """Put a value into a histogram, with the trace as its exemplar."""
        histogram = self._histograms[name]
        exemplar = {"trace_id": traceparent[TRACE_ID]} if traceparent else None
        (histogram.labels(**labels) if labels else histogram).observe(value, exemplar)
