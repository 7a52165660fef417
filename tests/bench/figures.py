"""Percentiles and tables for the benches."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path


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


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15 of stat); 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """MiB of resident memory of each process that is there."""
    found: dict[str, float] = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[name] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return found
