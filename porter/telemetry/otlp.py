"""Spans by the OpenTelemetry SDK, exported by OTLP over HTTP from a thread of its own.

Everything that an operator may set is the SDK's: sampler, limits, batches, endpoint, headers, compression, time-outs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as SdkSpan

from porter import __version__
from porter.ports import NO_SPAN, Span
from porter.ports.instrumentation import Attribute
from porter.telemetry.spans import ERROR

CLOSE_TIMEOUT_S = 2.0
"""What the last spans may take at the end of a program: no collector may keep it from ending."""
MAX_LINKS = 64

TRACEPARENT_PARTS = 4
"""version, trace id, span id, flags (W3C Trace Context, section 3.2)."""


class OtlpSpan:
    """A sampled span."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: SdkSpan) -> None:
        context = span.get_span_context()
        self._span = span
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """End it, with some more attributes; an error sets its status."""
        if attributes:
            self._span.set_attributes(attributes)
        if error:
            self._span.set_attribute(ERROR, error)
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class OtlpTracer:
    """`porter.ports.Tracer` over a provider of its own; nothing global is touched."""

    tracing = True

    def __init__(self, program: str, instance: str, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create(
            {"service.name": f"porter-{program}", "service.instance.id": instance, "service.version": __version__}
        )
        # What the operator's variables say of the resource goes before what the program knows of itself.
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("porter", __version__)

    def begin(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        start_ns: int | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        """Begin a span; one that the sampler leaves out is none."""
        above = context_of(parent)
        span = self._tracer.start_span(
            name,
            context=None if above is None else set_span_in_context(NonRecordingSpan(above)),
            attributes=attributes,
            links=[Link(context) for link in links[-MAX_LINKS:] if (context := context_of(link)) is not None],
            start_time=start_ns,
        )
        return OtlpSpan(span) if span.get_span_context().trace_flags.sampled else NO_SPAN

    def close(self) -> None:
        """Send what is left, for `CLOSE_TIMEOUT_S` at most."""
        # The exporter would wait for its own time-out, ten seconds by default, where the collector does not answer.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)


def context_of(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names; None where it is none that can be read."""
    parts = traceparent.split("-")
    if len(parts) < TRACEPARENT_PARTS:
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:TRACEPARENT_PARTS])
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None
