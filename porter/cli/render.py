"""Answers as people read them: columns, local times, colours only on a terminal."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from porter.cli.options import Output

GAP = "   "
GOOD = frozenset({"Established", "confirmed", "LIVE", "ok", "yes"})
BAD = frozenset({"Idle", "Active", "DOWN", "UNSYNCED", "no"})


def print_answer(answer: Any, output: Output) -> bool:
    """Print an answer as JSON or YAML if that is wanted; return whether it was."""
    if output is Output.JSON:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return True
    if output is Output.YAML:
        import yaml  # noqa: PLC0415 -- only this form of output needs it.

        typer.echo(yaml.safe_dump(answer, sort_keys=False, allow_unicode=True), nl=False)
        return True
    return False


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings, as wide as the widest cell."""
    cells = [list(columns), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(columns))]
    for number, row in enumerate(cells):
        line = GAP.join(_coloured(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        typer.echo(typer.style(line, bold=True) if number == 0 and coloured() else line)


def coloured() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def time_text(moment: str, *, utc: bool) -> str:
    """A moment of an answer (RFC 3339, UTC), to the millisecond, in the reader's zone or as it is."""
    if not moment:
        return "-"
    if utc:
        return moment.replace("T", " ")
    return dt.datetime.fromisoformat(moment).astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]


def attributes_text(attributes: Mapping[str, Any]) -> str:
    """Path attributes as `name=value`, the unset ones left out."""
    return " ".join(f"{name}={_text(value)}" for name, value in attributes.items() if value not in (None, [], 0))


def _text(cell: object) -> str:
    if isinstance(cell, list | tuple):
        return ",".join(str(each) for each in cell) or "-"
    return "-" if cell is None or cell == "" else str(cell)


def _coloured(cell: str, width: int) -> str:
    padded = cell.ljust(width)
    if not coloured() or cell not in GOOD | BAD:
        return padded
    return typer.style(padded, fg=typer.colors.GREEN if cell in GOOD else typer.colors.RED)
