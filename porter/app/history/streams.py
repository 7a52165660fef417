"""What every reader of a history is given: the journal, and the speakers' streams."""

from __future__ import annotations

from typing import Protocol

from porter.ports import Journal


class Streams(Protocol):
    """Where the streams are: the cluster's journal, and one per speaker."""

    def journal(self) -> Journal: ...

    def speaker(self, name: str) -> Journal: ...

    async def speakers(self) -> tuple[str, ...]: ...
