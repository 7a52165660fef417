"""Spans, exported by the OpenTelemetry SDK: OTLP over HTTP, from a thread of its own.

Sampler, resource, batches, endpoint, headers, compression and time-outs are the SDK's, as the operator sets them. Only
a span that is still open is ours: the SDK's is made for any number of threads, and costs a change several times as
much as this one, which lives in one event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
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
    """A sampled span."""

    __slots__ = ("_attributes", "_links", "_name", "_parent", "_span_id", "_start_ns", "_trace_id", "_tracer")

    def __init__(
        self,
        tracer: OtlpTracer,
        name: str,
        *,
        trace_id: int,
        parent: SpanContext | None,
        links: Sequence[Link],
        start_ns: int,
        attributes: Mapping[str, Attribute] | None,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._trace_id = trace_id
        self._span_id = tracer.new_span_id()
        self._parent = parent
        self._links = links
        self._start_ns = start_ns
        self._attributes: dict[str, Attribute] = dict(attributes or {})

    @property
    def traceparent(self) -> str:
        """Its own trace context as W3C writes it."""
        return f"00-{self._trace_id:032x}-{self._span_id:016x}-01"

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """End it, with some more attributes; an error sets its status."""
        if attributes:
            self._attributes |= attributes
        status = FINE
        if error:
            self._attributes[ERROR] = error
            status = Status(StatusCode.ERROR, error)
        self._tracer.export(
            ReadableSpan(
                self._name,
                SpanContext(self._trace_id, self._span_id, is_remote=False, trace_flags=SAMPLED),
                self._parent,
                self._tracer.resource,
                self._attributes,
                links=self._links,
                status=status,
                start_time=self._start_ns,
                end_time=time.time_ns(),
                instrumentation_scope=SCOPE,
            )
        )


class OtlpTracer:
    """`porter.ports.Tracer` over a provider of its own; nothing global is touched."""

    tracing = True

    def __init__(self, program: str, instance: str, exporter: SpanExporter | None = None) -> None:
        own = Resource.create(
            {"service.name": f"porter-{program}", "service.instance.id": instance, "service.version": __version__}
        )
        # What the operator's variables say of the resource goes before what the program knows of itself.
        self.resource = _Resource(own.merge(OTELResourceDetector().detect()))
        provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        self._sampler = provider.sampler
        self._ids = provider.id_generator
        self._processor = BatchSpanProcessor(exporter or OTLPSpanExporter())
        self.export = self._processor.on_end
        self.new_span_id = self._ids.generate_span_id

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
        above = context_of(parent) if parent else None
        if above is not None:
            if not above.trace_flags.sampled:
                return NO_SPAN
            trace_id = above.trace_id
        else:
            trace_id = self._ids.generate_trace_id()
            sampled = self._sampler.should_sample(None, trace_id, name, attributes=attributes)
            if sampled.decision is not Decision.RECORD_AND_SAMPLE:
                return NO_SPAN
        others = [Link(context) for link in links[-MAX_LINKS:] if (context := context_of(link)) is not None]
        return OtlpSpan(
            self,
            name,
            trace_id=trace_id,
            parent=above,
            links=others,
            start_ns=start_ns or time.time_ns(),
            attributes=attributes,
        )

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
        trace_id, span_id, flags = (int(traceparent[part], 16) for part in (slice(3, 35), slice(36, 52), slice(53, 55)))
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None
