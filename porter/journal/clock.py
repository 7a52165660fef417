"""The machine's time, as the journal stamps commits with it."""

from __future__ import annotations

import time


class SystemClock:
    """`porter.ports.Clock` by the operating system."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()
