"""`porter doctor`: what is checked, and what each check says.

A check is a name, a verdict, where it looked, what it found, and the mend. `problem` is a finding; `warning` is worth
knowing and may be meant so; `unknown` could not be looked at from where the question was asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from porter.app.answer_json import Json

Verdict = Literal["ok", "warning", "problem", "unknown"]
OK: Verdict = "ok"
WARNING: Verdict = "warning"
PROBLEM: Verdict = "problem"
UNKNOWN: Verdict = "unknown"


class Check(NamedTuple):
    """One thing that was looked at. `mend` is "" where nothing is to be done."""

    name: str
    verdict: Verdict
    where: str
    message: str
    mend: str = ""


def ok(name: str, where: str, message: str) -> Check:
    """A check that found all as it should be."""
    return Check(name, OK, where, message)


def problem(name: str, where: str, message: str, mend: str) -> Check:
    """A finding."""
    return Check(name, PROBLEM, where, message, mend)


def warning(name: str, where: str, message: str, mend: str) -> Check:
    """Something that may be meant so."""
    return Check(name, WARNING, where, message, mend)


def unknown(name: str, where: str, message: str, mend: str) -> Check:
    """Something that could not be looked at."""
    return Check(name, UNKNOWN, where, message, mend)


def several(name: str, where: str, found: list[Check], fine: str) -> list[Check]:
    """What was found of one kind, or that there was nothing."""
    return found or [ok(name, where, fine)]


def checks_json(checks: Iterable[Check]) -> list[Json]:
    """Checks as the answer holds them."""
    return [check._asdict() for check in checks]


def problems_of(checks: Iterable[Check]) -> list[str]:
    """Each finding as a sentence with its mend."""
    return [f"{one.where}: {one.message}; {one.mend}" for one in checks if one.verdict == PROBLEM]
