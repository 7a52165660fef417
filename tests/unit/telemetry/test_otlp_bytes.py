"""What is written by hand is what the SDK's own encoder writes of the same spans."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from porter.telemetry.otlp_bytes import WireSpan, encode_heading, encode_request

OWN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ABOVE = "00-4bf92f3577b34da6a3ce929d0e0e4736-ffffffffffffffff-01"
OTHER = "00-00000000000000000000000000000001-0000000000000001-01"
RESOURCE = {"service.name": "porter-speaker", "replicas": 3, "long": "x" * 300}


def context_of(traceparent: str) -> SpanContext:
    _, trace, span, _ = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(1))


def by_the_sdk(span: WireSpan, schema_url: str) -> ExportTraceServiceRequest:
    status = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET)
    return encode_spans(
        [
            ReadableSpan(
                span.name,
                context_of(span.traceparent),
                context_of(span.parent) if span.parent else None,
                Resource(RESOURCE, schema_url),
                span.attributes,
                links=[Link(context_of(link)) for link in span.links],
                status=status,
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=InstrumentationScope("porter", "1.0"),
            )
        ]
    )


@pytest.mark.parametrize("schema_url", ["", "https://opentelemetry.io/schemas/1.30.0"])
@pytest.mark.parametrize(
    "span",
    [
        WireSpan("service.change", OWN, "", (), 5, 1_790_000_000_000_000_000, {}, ""),
        WireSpan("announce", OWN, ABOVE, (OTHER, ABOVE), 5, 6, {"porter.position": 2**40, "zero": 0}, "lost"),
        WireSpan("größe", OWN, ABOVE, (), 5, 6, {"text": "é" * 200, "empty": "", "below": -7, "half": 0.5}, "ä" * 100),
        WireSpan("send", OWN, ABOVE, (), 5, 6, {"yes": True, "no": False, "many": ("a", "b" * 200), "none": ()}, ""),
    ],
)
def test_the_bytes_say_what_the_sdk_says(span, schema_url):
    heading = encode_heading(RESOURCE, schema_url, "porter", "1.0")
    request = ExportTraceServiceRequest.FromString(encode_request(heading, [span]))
    expected = by_the_sdk(span, schema_url)
    # The SDK sends a status that says nothing; both read the same.
    for one in (request, expected):
        for sent in one.resource_spans[0].scope_spans[0].spans:
            sent.status.SetInParent()
    assert request == expected


def test_a_request_holds_all_spans():
    spans = [WireSpan("send", OWN, ABOVE, (), number, number + 1, {}, "") for number in range(300)]
    request = ExportTraceServiceRequest.FromString(encode_request(encode_heading({}, "", "porter", "1.0"), spans))
    sent = request.resource_spans[0].scope_spans[0].spans
    assert [span.start_time_unix_nano for span in sent] == list(range(300))


def test_text_that_utf_8_has_no_form_for_loses_no_batch():
    span = WireSpan("send", OWN, "", (), 5, 6, {"text": "\udcff"}, "\udcff")
    request = ExportTraceServiceRequest.FromString(encode_request(encode_heading({}, "", "porter", "1.0"), [span]))
    [sent] = request.resource_spans[0].scope_spans[0].spans
    assert (sent.attributes[0].value.string_value, sent.status.message) == ("?", "?")
