"""Structured logs: JSON lines for machines, coloured columns on a terminal, and never a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from porter.model.credentials import HIDDEN, hide_credentials, is_secret_name

Level = Literal["debug", "info", "warning", "error"]

TRACE_ID = slice(3, 35)
"""Where the trace id stands in a traceparent (W3C Trace Context, section 3.2)."""


def hide_secrets(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every field with a secret's name, and the credentials inside of texts, however deep."""
    for name, value in fields.items():
        fields[name] = HIDDEN if is_secret_name(name) else _without_secrets(value)
    return fields


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, dict):
        return {name: HIDDEN if is_secret_name(str(name)) else _without_secrets(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(each) for each in value]
    return value


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
