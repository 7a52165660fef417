"""Spans, exported by the OpenTelemetry SDK: OTLP over HTTP, from a thread of its own.

Sampler, resource, batches, endpoint, headers, compression, retries and time-outs are the SDK's, as the operator sets
them. Only a span and its bytes are ours: the SDK's are made for any number of threads and of formats, and cost a change
several times as much as these, which live in one event loop.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Decision
from opentelemetry.trace import SpanContext, TraceFlags
from requests.utils import get_netrc_auth

from porter import __version__
from porter.ports import NO_SPAN, Span
from porter.ports.instrumentation import Attribute
from porter.telemetry.otlp_bytes import WireSpan, encode_heading, encode_request
from porter.telemetry.spans import ERROR

CLOSE_TIMEOUT_S = 2.0
"""What the last spans may take at the end of a program: no collector may keep it from ending."""
MAX_LINKS = 64

is_context = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})").match
"""Whether a traceparent names a span (W3C Trace Context, section 3.2): its trace id, and its flags."""
SAMPLED_FLAGS = frozenset({"01", "03"})
"""The flags that say so: the other bit that is defined says that the trace id is random."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
CREDENTIALS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
"""Where one of them is set, the exporter has a session of the operator's."""
SCOPE = "porter"


class OtlpSpan:
    """A sampled span: no more than what it takes to write its bytes when it is exported."""

    __slots__ = (
        "_attributes",
        "_end_ns",
        "_error",
        "_links",
        "_more",
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
        self._attributes = attributes
        self._more: Mapping[str, Attribute] | None = None
        self._error = ""

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """End it, with some more attributes; an error sets its status."""
        self._end_ns = time.time_ns()
        self._more = attributes
        self._error = error
        self._tracer.export(cast(ReadableSpan, self))

    def wire(self) -> WireSpan:
        """As its bytes are made of it."""
        attributes = {**(self._attributes or {}), **(self._more or {})}
        if self._error:
            attributes[ERROR] = self._error
        links = [link for link in self._links[-MAX_LINKS:] if is_context(link)]
        return WireSpan(
            self._name, self.traceparent, self._parent, links, self._start_ns, self._end_ns, attributes, self._error
        )


class _Session(requests.Session):
    """Looks once for proxies, certificates and a netrc: to do that for every batch is a good part of sending it."""

    _found: Any = None

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """What the environment says of this URL, which is always the same."""
        if self._found is None:
            self._found = super().merge_environment_settings(url, proxies, stream, verify, cert)
            self.auth = self.auth or get_netrc_auth(url)
            self.trust_env = False
        return dict(self._found)


class _HttpExporter(OTLPSpanExporter):
    """The SDK's exporter, which is given bytes and no spans."""

    def __init__(self) -> None:
        super().__init__(session=None if any(map(os.environ.get, CREDENTIALS)) else _Session())

    def send(self, request: bytes) -> bool:
        """Send an ExportTraceServiceRequest, as often as it takes within the exporter's time-out."""
        return self._client.export(request).success


class _Encoding(SpanExporter):
    """Writes the bytes of many spans at once, in the exporter's thread, and has them sent."""

    def __init__(self, resource: Resource, send: Callable[[bytes], bool], shutdown: Callable[[], None]) -> None:
        self._heading = encode_heading(resource.attributes, resource.schema_url, SCOPE, __version__)
        self._send = send
        self._shutdown = shutdown

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        request = encode_request(self._heading, [cast(OtlpSpan, span).wire() for span in spans])
        return SpanExportResult.SUCCESS if self._send(request) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._shutdown()


class OtlpTracer:
    """`porter.ports.Tracer` over a sampler and a processor of its own; nothing global is touched."""

    tracing = True

    def __init__(self, program: str, instance: str, send: Callable[[bytes], bool] | None = None) -> None:
        """`send` takes a request's bytes and says whether they arrived; by default the SDK's exporter sends them."""
        own = Resource.create(
            {"service.name": f"porter-{program}", "service.instance.id": instance, "service.version": __version__}
        )
        # What the operator's variables say of the resource goes before what the program knows of itself.
        resource = own.merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sampler = None if provider.sampler in (ALWAYS_ON, DEFAULT_ON) else provider.sampler
        self._new_trace_id = provider.id_generator.generate_trace_id
        if send is None:
            exporter = _HttpExporter()
            encoding = _Encoding(resource, exporter.send, exporter.shutdown)
        else:
            encoding = _Encoding(resource, send, _nothing)
        self._processor = BatchSpanProcessor(encoding)
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
        above = is_context(parent)
        if above is not None:
            trace, flags = above.groups()
            if flags not in SAMPLED_FLAGS:
                return NO_SPAN
        else:
            parent, trace_id = "", self._new_trace_id()
            if self._sampler is not None:
                sampled = self._sampler.should_sample(None, trace_id, name, attributes=attributes)
                if sampled.decision is not Decision.RECORD_AND_SAMPLE:
                    return NO_SPAN
            trace = f"{trace_id:032x}"
        start_ns = start_ns or time.time_ns()
        return OtlpSpan(self, name, trace=trace, parent=parent, links=links, start_ns=start_ns, attributes=attributes)

    def flush(self) -> None:
        """Send what ended so far, and wait until that is done."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send what is left, for `CLOSE_TIMEOUT_S` at most."""
        # The exporter would wait for its own time-out, ten seconds by default, where the collector does not answer.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)


def _nothing() -> None:
    """Nothing to close."""
