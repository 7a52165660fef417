"""Conditions as every kind's status has them (meta/v1 Condition), and the sentences in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from porter.model.reasons import Problem
from porter.policy.problems import all_disqualifying

MAX_NAMED = 8
"""Most objects that a condition's message names."""

Tree = dict[str, Any]


def condition(kind: str, status: bool, reason: str, message: str, generation: int) -> Tree:
    """One entry of `conditions`, without `lastTransitionTime`.

    A generation that is not known is left out, as the API server would leave it out of what it stores.
    """
    tree: Tree = {"type": kind, "status": "True" if status else "False", "reason": reason, "message": message}
    return tree | ({"observedGeneration": generation} if generation else {})


def accepted_condition(problem: Problem | None, problems: Iterable[Problem], generation: int, fine: str) -> Tree:
    """The condition `Accepted`: false for all that keeps the object from being used, else with what is not honoured."""
    unsupported = list(problems)
    if problem is not None:
        refusing = [problem, *(one for one in all_disqualifying(unsupported) if one != problem)]
        return condition("Accepted", False, problem.reason, joined(refusing), generation)
    if unsupported:
        return condition("Accepted", True, unsupported[0].reason, joined(unsupported), generation)
    return condition("Accepted", True, "Accepted", fine, generation)


def degraded_condition(problems: Sequence[Problem], generation: int, fine: str) -> Tree:
    """The condition `Degraded`: the reason of the first problem, and what all of them say."""
    if not problems:
        return condition("Degraded", False, "AsExpected", fine, generation)
    return condition("Degraded", True, problems[0].reason, joined(problems), generation)


def sentence(problem: Problem) -> str:
    """A problem's message, which names the field if it does not do so by itself."""
    return problem.message if problem.field in problem.message else f"{problem.field}: {problem.message}"


def joined(problems: Sequence[Problem]) -> str:
    """What several problems say; those beyond the limit as a number."""
    more = len(problems) - MAX_NAMED
    return "; ".join(sentence(one) for one in problems[:MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, those beyond the limit as a number."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
