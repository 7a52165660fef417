"""Reading what the engine holds: now and then, and after every doubt, with growing pauses while doubt stays."""

from __future__ import annotations

from collections.abc import Iterable

from porter.bgp.commands import ReadRib
from porter.model.bgp import RouteKey

FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 30.0
RECONCILE_S = 45.0


class Reading:
    """At most one reading is under way; what is touched meanwhile is not judged by it."""

    def __init__(self, now_s: float) -> None:
        self.doubted: set[RouteKey] = set()
        self._serial = 0
        self._touched: set[RouteKey] | None = None
        self._repair_at_s: float | None = None
        self._pause_s = 0.0
        self._reconcile_at_s = now_s + RECONCILE_S

    def begin(self, now_s: float) -> None:
        """Forget everything: a session began or ended."""
        self.doubted = set()
        self._touched = None
        self._repair_at_s = None
        self._pause_s = 0.0
        self.postpone(now_s)

    def postpone(self, now_s: float) -> None:
        """All was well just now: reconcile a whole interval later."""
        self._reconcile_at_s = now_s + RECONCILE_S

    # ------------------------------------------------------------------------------------------------------------ doubt

    def doubt(self, keys: Iterable[RouteKey], now_s: float) -> None:
        """These keys are in doubt: read soon, the later the more often it happens."""
        self.doubted |= set(keys)
        if self._repair_at_s is None:
            self._repair_at_s = now_s + self._pause_s
            self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LAST_PAUSE_S)

    def cleared(self) -> None:
        """No doubt is left."""
        self._pause_s = 0.0

    @property
    def repairing(self) -> bool:
        """Whether a reading for a repair is due, or any is under way."""
        return self._repair_at_s is not None or self._touched is not None

    # ---------------------------------------------------------------------------------------------------- reading

    def for_repair(self, now_s: float) -> list[ReadRib]:
        """The reading that a doubt needs, when it is time."""
        if self._touched is not None or self._repair_at_s is None or now_s < self._repair_at_s:
            return []
        self._repair_at_s = None
        return [self._start()]

    def for_reconciliation(self, now_s: float) -> list[ReadRib]:
        """The reading of every interval, when it is time."""
        if self._touched is not None or now_s < self._reconcile_at_s:
            return []
        return [self._start()]

    def _start(self) -> ReadRib:
        self._touched = set()
        self._serial += 1
        return ReadRib(self._serial)

    def touch(self, keys: Iterable[RouteKey]) -> None:
        """These keys changed, or were told to change."""
        if self._touched is not None:
            self._touched.update(keys)

    def finish(self, command: ReadRib, now_s: float) -> set[RouteKey] | None:
        """A reading was answered: the keys touched meanwhile, or None when it does not count."""
        if self._touched is None or command.serial != self._serial:
            return None
        touched, self._touched = self._touched, None
        self.postpone(now_s)
        # Where doubt came up while an ordinary reading was under way, its own reading follows.
        return touched if self._repair_at_s is None else None
