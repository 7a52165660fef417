"""Spans and measurements without a vendor's types. What is not wanted costs a call that does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

Attribute = str | int | float | bool | tuple[str, ...]


class Span(Protocol):
    """A span that is open; it may be ended in another turn of the event loop than it was begun in."""

    @property
    def traceparent(self) -> str:
        """Its own trace context as W3C writes it, or "" when it is not sampled."""
        ...

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """End it now, with some more attributes; an `error` says why it failed."""
        ...


class Tracer(Protocol):
    """Begins spans; `tracing` is False where none will ever be sampled, so that callers need not ask further."""

    @property
    def tracing(self) -> bool: ...

    def begin(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        start_ns: int | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        """Begin a span below a traceparent, or with "" a new trace, which the sampler may leave out.

        Args:
            name: one of `porter.telemetry.spans`.
            parent: the traceparent of the span above.
            links: traceparents of other traces that have to do with it.
            start_ns: when it began (Unix time), where that is not now.
            attributes: what is known so far.
        """
        ...


class Instrumentation(Tracer, Protocol):
    """A tracer, and the measurements that are no function of the folds, by their whole names."""

    def count(self, name: str, amount: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        ...

    def observe(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, *, traceparent: str = ""
    ) -> None:
        """Put a value into a histogram; the trace that it belongs to, where one is named, becomes its exemplar."""
        ...


class NoSpan:
    """A span that nobody records."""

    traceparent = ""

    def end(self, attributes: Mapping[str, Attribute] | None = None, *, error: str = "") -> None:
        """Nothing to do."""


NO_SPAN = NoSpan()


class NoInstrumentation:
    """Measures and records nothing."""

    tracing = False

    def begin(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        start_ns: int | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Span:
        """No span."""
        del name, parent, links, start_ns, attributes
        return NO_SPAN

    def count(self, name: str, amount: float = 1, labels: Mapping[str, str] | None = None) -> None:
        """Nothing to do."""

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Nothing to do."""

    def observe(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, *, traceparent: str = ""
    ) -> None:
        """Nothing to do."""


NO_INSTRUMENTATION = NoInstrumentation()
