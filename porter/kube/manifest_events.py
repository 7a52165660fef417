"""`LogEventRecorder`: what a cluster is told by Events is told by log lines where a folder stands for the cluster."""

from __future__ import annotations

import asyncio

import structlog

from porter.model.object_event import ObjectEvent

_log = structlog.get_logger(__name__)


class LogEventRecorder:
    """The port `EventRecorder` over the log: nothing waits, and nothing is given up."""

    dropped = 0

    def record(self, event: ObjectEvent) -> None:
        """Write one line."""
        log = _log.warning if event.warning else _log.info
        kind = event.kind.lower()
        about = f"{event.namespace}/{event.name}" if event.namespace else event.name
        log(event.message, **{kind: about}, action=event.action, reason=event.reason, position=event.position)

    def drop(self) -> None:
        """Nothing waits."""

    async def run(self) -> None:
        """Nothing is left to do; it ends with the others."""
        await asyncio.Event().wait()
