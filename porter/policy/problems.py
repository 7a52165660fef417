"""Which of an object's problems keep it from being used."""

from __future__ import annotations

from collections.abc import Iterable

from porter.model.reasons import Problem, Reason

_TOLERABLE = frozenset({Reason.FIELD_UNSUPPORTED, Reason.CONTRADICTION})


def disqualifying(problems: Iterable[Problem]) -> Problem | None:
    """The first problem that keeps the whole object from being used, or None.

    A field that is not supported, or that an older object contradicts, is reported, and the rest of the object is used
    as if it were not set.
    """
    return next(iter(all_disqualifying(problems)), None)


def all_disqualifying(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Every problem that does so, in the same order."""
    return tuple(problem for problem in problems if problem.reason not in _TOLERABLE)
