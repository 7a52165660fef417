"""Percentiles and tables for the benches."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of at least one value."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)]


def milliseconds(name: str, seconds: Sequence[float]) -> list[str]:
    """A row of a latency table: name, p50, p90, p99, the number of samples."""
    return [name, *(f"{percentile(seconds, percent) * 1000:.1f}" for percent in (50, 90, 99)), str(len(seconds))]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )
