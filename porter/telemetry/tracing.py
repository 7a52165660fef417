"""Whether traces are wanted, as the standard `OTEL_*` variables say; only then the SDK is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from porter.telemetry.otlp import OtlpTracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP_PROTOBUF = "http/protobuf"

_log = structlog.get_logger(__name__)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether a place to send spans to is named, and neither the SDK nor the exporter is switched off."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("otlp", ""):
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


def connect(program: str, instance: str, environment: Mapping[str, str] | None = None) -> OtlpTracer | None:
    """The tracer of this process; None, at no cost, where no traces are wanted."""
    environment = os.environ if environment is None else environment
    if not wanted(environment):
        return None
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), HTTP_PROTOBUF)
    if protocol != HTTP_PROTOBUF:
        _log.warning("traces are sent by OTLP over HTTP, the only protocol there is here", asked=protocol)
    from porter.telemetry.otlp import OtlpTracer  # noqa: PLC0415

    return OtlpTracer(program, instance)
