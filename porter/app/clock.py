"""The machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """`Clock` by the operating system."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
