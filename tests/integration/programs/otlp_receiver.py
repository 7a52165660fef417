"""A collector for tests: takes OTLP over HTTP, decodes the protobuf, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass
class Span:
    """One span as it came in; `service` is the program that sent it."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    error: str
    attributes: dict[str, Any] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes.get(f"porter.{attribute}")


class Receiver:
    """Listens on loopback until it is closed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.asked: list[tuple[str, str | None]] = []
        """Of each request: its target, which is a whole URL where this stands for a proxy, and its authorization."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                taken = self.path.endswith("/v1/traces")
                receiver.asked.append((self.path, self.headers.get("Authorization")))
                if taken:
                    receiver.spans += spans_of(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if taken else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str, **attributes: Any) -> list[Span]:
        """The spans of a name, with these attributes (dots as underlines, without `porter.`)."""
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}
        return [
            span
            for span in tuple(self.spans)
            if span.name == name and all(span[key] == value for key, value in wanted.items())
        ]

    def children(self, span: Span) -> list[Span]:
        """The spans right below one, by their beginning."""
        below = (one for one in tuple(self.spans) if one.trace == span.trace and one.parent == span.id)
        return sorted(below, key=lambda one: one.start_ns)

    def tree(self, span: Span) -> tuple[str, tuple[Any, ...]]:
        """The names below a span: what a person sees of a trace."""
        return span.name, tuple(sorted(self.tree(child) for child in self.children(span)))


def spans_of(body: bytes) -> Iterator[Span]:
    """Every span of one request."""
    request = ExportTraceServiceRequest.FromString(body)
    for of_resource in request.resource_spans:
        service = _attributes(of_resource.resource.attributes).get("service.name", "")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.message if span.status.code == 2 else "",
                    _attributes(span.attributes),
                    tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(one) for one in value.array_value.values)
    return getattr(value, kind)
