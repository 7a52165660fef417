"""Spans as the bytes of OTLP: the protobuf messages of `opentelemetry/proto/trace/v1/trace.proto`.

A change makes a handful of spans, and the SDK's own way from them to bytes, over three layers of objects, cost more
than all else that a trace costs. This writes the few fields that Porter's spans have, in the protocol's wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

INTERNAL_KIND = b"\x30\x01"
"""`kind` (6): SPAN_KIND_INTERNAL."""
ERROR_CODE = b"\x18\x02"
"""`code` (3) of a Status: STATUS_CODE_ERROR."""
REMOTE_KNOWN, REMOTE = 0x100, 0x200
"""Of `flags` (16): whether it is said that the parent is another process's, and that it is."""

MAX_KNOWN_KEYS = 1024
"""Most attribute names, and most names of spans, that are encoded once and kept."""

_TIMES = struct.Struct("<BQBQ")
_FLAGS = struct.Struct("<BBI")
_LINK_FLAGS = struct.Struct("<BI")
_DOUBLE = struct.Struct("<Bd")

_TRACE_ID, _SPAN_ID = slice(3, 35), slice(36, 52)
"""Where they stand in a traceparent (W3C Trace Context, section 3.2)."""


class WireSpan(NamedTuple):
    """One span that ended. Contexts are traceparents, `parent` is "" for a root; times are ns of Unix time."""

    name: str
    traceparent: str
    parent: str
    links: Sequence[str]
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    error: str


def encode_heading(attributes: Mapping[str, Any], schema_url: str, scope: str, scope_version: str) -> tuple[bytes, ...]:
    """The parts of a request that are the same every time: resource, its schema, scope."""
    resource = _field(1, b"".join(_field(1, _attribute(name, value)) for name, value in attributes.items()))
    named = _field(1, _field(1, scope.encode()) + _field(2, scope_version.encode()))
    return resource, _field(3, schema_url.encode()) if schema_url else b"", named


def encode_request(heading: tuple[bytes, ...], spans: Iterable[WireSpan]) -> bytes:
    """An ExportTraceServiceRequest."""
    resource, schema, scope = heading
    scope_spans = scope + b"".join([_field(2, encode_span(span)) for span in spans])
    return _field(1, resource + _field(2, scope_spans) + schema)


def encode_span(span: WireSpan) -> bytes:
    """A Span."""
    name, traceparent, parent, links, start_ns, end_ns, attributes, error = span
    parts = [b"\x0a\x10", bytes.fromhex(traceparent[_TRACE_ID]), b"\x12\x08", bytes.fromhex(traceparent[_SPAN_ID])]
    flags = REMOTE_KNOWN
    if parent:
        parts += b"\x22\x08", bytes.fromhex(parent[_SPAN_ID])
        flags |= REMOTE
    parts += _name(name), INTERNAL_KIND, _TIMES.pack(0x39, start_ns, 0x41, end_ns)
    parts += [_field(9, _attribute(key, value)) for key, value in attributes.items()]
    parts += [_field(13, _link(link)) for link in links]
    if error:
        parts.append(_field(15, _field(2, error.encode(errors="replace")) + ERROR_CODE))
    parts.append(_FLAGS.pack(0x85, 0x01, flags))
    return b"".join(parts)


def _link(traceparent: str) -> bytes:
    ids = b"\x0a\x10" + bytes.fromhex(traceparent[_TRACE_ID]) + b"\x12\x08" + bytes.fromhex(traceparent[_SPAN_ID])
    return ids + _LINK_FLAGS.pack(0x35, REMOTE_KNOWN | REMOTE)


def _attribute(name: str, value: Any) -> bytes:
    """A KeyValue."""
    return _key(name) + _field(2, _value(value))


def _value(value: Any) -> bytes:
    """An AnyValue: of what OpenTelemetry allows, a string, a bool, a number, or an array of these."""
    if isinstance(value, str):
        return _field(1, value.encode(errors="replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    return _field(5, b"".join([_field(1, _value(one)) for one in value]))


def _field(number: int, payload: bytes) -> bytes:
    """A field whose length goes before it; of the numbers up to 15."""
    size = len(payload)
    head = number << 3 | 2
    return bytes((head, size)) + payload if size < 0x80 else bytes((head,)) + _varint(size) + payload


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@lru_cache(MAX_KNOWN_KEYS)
def _key(name: str) -> bytes:
    return _field(1, name.encode())


@lru_cache(MAX_KNOWN_KEYS)
def _name(name: str) -> bytes:
    return _field(5, name.encode())
