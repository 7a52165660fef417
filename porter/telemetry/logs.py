"""Structured logs: JSON lines for machines, coloured columns on a terminal, and never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]

SECRET_NAMES = frozenset({"password", "authpassword", "auth_password", "token", "authorization", "secret", "md5"})
HIDDEN = "***"
TRACE_ID = slice(3, 35)
"""Where the trace id stands in a traceparent (W3C Trace Context, section 3.2)."""
URL_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]*@")


def hide_secrets(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every field with a secret's name, and the credentials inside of URLs."""
    for name, value in fields.items():
        if name.lower() in SECRET_NAMES:
            fields[name] = HIDDEN
        elif isinstance(value, str) and "://" in value:
            fields[name] = URL_CREDENTIALS.sub(rf"\1{HIDDEN}@", value)
    return fields


def name_trace(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give the trace id alone of a `traceparent`, by which traces are looked for; nothing where it is empty."""
    traceparent = fields.pop("traceparent", "")
    if traceparent:
        fields["trace_id"] = traceparent[TRACE_ID]
    return fields


def configure_logging(program: str, *, level: Level | str = "info", json: bool | None = None) -> None:
    """Set up structlog and the standard library's logging alike, once, at the start of a program.

    `json` is decided by whether standard error is a terminal, if it is not given.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _program(program),
        name_trace,
        structlog.processors.format_exc_info if as_json else _unchanged,
        hide_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries chat about every connection at INFO: only what is wrong is of interest.
    root.setLevel(max(number, logging.WARNING) if number > logging.DEBUG else logging.DEBUG)


def _program(name: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields.setdefault("program", name)
        return fields

    return add


def _unchanged(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return fields
