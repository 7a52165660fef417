"""Spans, exported by the OpenTelemetry SDK: OTLP over HTTP, from a thread of its own.

Sampler, resource, batches, endpoint, headers, compression and time-outs are the SDK's, as the operator sets them. Only
a span that is still open is ours: the SDK's is made for any number of threads, and costs a change several times as
much as this one, which lives in one event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from porter import __version__
from porter.ports import NO_SPAN, Span
from porter.ports.instrumentation import Attribute
from porter.telemetry.spans import ERROR

CLOSE_TIMEOUT_S = 2.0
"""What the last spans may take at the end of a program: no collector may keep it from ending."""
MAX_LINKS = 64

TRACEPARENT_LENGTH = 55
"""version, trace id, span id, flags (W3C Trace Context, section 3.2)."""
TRACE_ID, SPAN_ID, FLAGS = slice(3, 35), slice(36, 52), slice(53, 55)
SAMPLED_FLAGS = frozenset({"01", "03"})
"""The flags that say so: the other bit that is defined says that the trace id is random."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SCOPE = InstrumentationScope("porter", __version__)
FINE = Status(StatusCode.UNSET)


class _Resource(Resource):
    """A resource whose hash is computed once: the encoder asks for it with every span."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class OtlpSpan:
    """A sampled span: no more than what it takes to build the SDK's when it is exported."""

    __slots__ = (
        "_attributes",
        "_end_ns",
        "_error",
        "_links",
        "_name",
        "_parent",
        "_start_ns",
        "_tracer",
        "traceparent",
    )

    context = SpanContext(1, 1, is_remote=False, trace_flags=SAMPLED)
    """All that the processor asks of it: that it is sampled."""

    def __init__(
        self,
        tracer: OtlpTracer,
        name: str,
        *,
        trace: str,
        parent: str,
        links: Sequence[str],
        start_ns: int,
        attributes: Mapping[str, Attribute] | None,
    ) -> None:
        self.traceparent = f"00-{trace}-{tracer.new_span_id():016x}-01"
        self._tracer = tracer
        self._name = name
        self._parent = parent
        self._links = links
        self._start_ns = start_ns
        self._end_ns = 0
        self._attributes: dict[str, Attribute] = dict(attributes or {})
        self._error = ""

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """End it, with some more attributes; an error sets its status."""
        self._end_ns = time.time_ns()
        if attributes:
            self._attributes |= attributes
        if error:
            self._attributes[ERROR] = self._error = error
        self._tracer.export(cast(ReadableSpan, self))

    def built(self, resource: Resource) -> ReadableSpan:
        """As the SDK exports it."""
        contexts = (context_of(link) for link in self._links[-MAX_LINKS:])
        return ReadableSpan(
            self._name,
            context_of(self.traceparent),
            context_of(self._parent),
            resource,
            self._attributes,
            links=[Link(context) for context in contexts if context is not None],
            status=Status(StatusCode.ERROR, self._error) if self._error else FINE,
            start_time=self._start_ns,
            end_time=self._end_ns,
            instrumentation_scope=SCOPE,
        )


class _Building(SpanExporter):
    """Builds the SDK's spans in the exporter's thread, many at once, before another exporter sends them."""

    def __init__(self, exporter: SpanExporter, resource: Resource) -> None:
        self._exporter = exporter
        self._resource = resource

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        built = [cast(OtlpSpan, span).built(self._resource) for span in spans]
        return self._exporter.export(built)

    def shutdown(self) -> None:
        self._exporter.shutdown()


class OtlpTracer:
    """`porter.ports.Tracer` over a sampler and a processor of its own; nothing global is touched."""

    tracing = True

    def __init__(self, program: str, instance: str, exporter: SpanExporter | None = None) -> None:
        own = Resource.create(
            {"service.name": f"porter-{program}", "service.instance.id": instance, "service.version": __version__}
        )
        # What the operator's variables say of the resource goes before what the program knows of itself.
        resource = _Resource(own.merge(OTELResourceDetector().detect()))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sampler = None if provider.sampler in (ALWAYS_ON, DEFAULT_ON) else provider.sampler
        self._new_trace_id = provider.id_generator.generate_trace_id
        self._processor = BatchSpanProcessor(_Building(exporter or OTLPSpanExporter(), resource))
        self.export = self._processor.on_end
        self.new_span_id = provider.id_generator.generate_span_id

    def begin(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        start_ns: int | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        """Begin a span; a trace that the sampler leaves out has none, and who began a trace decides for all of it."""
        if len(parent) >= TRACEPARENT_LENGTH:
            if parent[FLAGS] not in SAMPLED_FLAGS:
                return NO_SPAN
            trace = parent[TRACE_ID]
        else:
            parent, trace_id = "", self._new_trace_id()
            if self._sampler is not None:
                sampled = self._sampler.should_sample(None, trace_id, name, attributes=attributes)
                if sampled.decision is not Decision.RECORD_AND_SAMPLE:
                    return NO_SPAN
            trace = f"{trace_id:032x}"
        start_ns = start_ns or time.time_ns()
        return OtlpSpan(self, name, trace=trace, parent=parent, links=links, start_ns=start_ns, attributes=attributes)

    def close(self) -> None:
        """Send what is left, for `CLOSE_TIMEOUT_S` at most."""
        # The exporter would wait for its own time-out, ten seconds by default, where the collector does not answer.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)


def context_of(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names; None where it is none that can be read."""
    if len(traceparent) < TRACEPARENT_LENGTH:
        return None
    try:
        trace_id, span_id, flags = (int(traceparent[part], 16) for part in (TRACE_ID, SPAN_ID, FLAGS))
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None
