"""A BgpAdvertisement's status: whether it is honoured, what contradicts it, and what it names in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from porter.events.observed import AdvertisementObserved
from porter.model.reasons import Problem, Reason
from porter.policy.problems import all_disqualifying, disqualifying
from porter.projections.cluster import ClusterState
from porter.projections.status.conditions import Tree, condition, degraded_condition, joined

_REFUSING = frozenset({Reason.CONTRADICTION, Reason.FIELD_INVALID})
"""Problems beside other objects for which a value of the advertisement does not count; the rest of it does."""

_THERE = "everything that it names is there"
_UNSEEN = "what it names is not looked at before it is well-formed"


def advertisement_statuses(state: ClusterState) -> Mapping[str, Tree]:
    """The status of each BgpAdvertisement, by name: they are compared with each other, once for all."""
    beside = state.exports.problems()
    return {
        name: _status(state, fact, beside.get(name, ()))
        for name, fact in sorted(state.inventory.advertisements.items())
    }


def advertisement_status(state: ClusterState, name: str) -> Tree:
    """A BgpAdvertisement's status; empty for one that is not there."""
    return advertisement_statuses(state).get(name, {})


def _status(state: ClusterState, fact: AdvertisementObserved, beside: Sequence[Problem]) -> Tree:
    generation = fact.generation
    malformed = disqualifying(fact.problems)
    degrading = [one for one in beside if one.reason not in _REFUSING | {Reason.FIELD_UNSUPPORTED}]
    return {
        "observedGeneration": generation,
        "conditions": [
            _accepted(malformed, [*fact.problems, *beside], generation),
            _ready(state, fact, malformed),
            degraded_condition(degrading, generation, _UNSEEN if malformed is not None else _THERE),
        ],
    }


def _accepted(malformed: Problem | None, problems: Sequence[Problem], generation: int) -> Tree:
    refusing = (
        list(all_disqualifying(problems))
        if malformed is not None
        else [one for one in problems if one.reason in _REFUSING]
    )
    if refusing:
        return condition("Accepted", False, refusing[0].reason, joined(refusing), generation)
    unsupported = [one for one in problems if one.reason == Reason.FIELD_UNSUPPORTED]
    if unsupported:
        return condition("Accepted", True, unsupported[0].reason, joined(unsupported), generation)
    return condition("Accepted", True, "Accepted", "every field is honoured", generation)


def _ready(state: ClusterState, fact: AdvertisementObserved, malformed: Problem | None) -> Tree:
    if malformed is None:
        return condition("Ready", True, "Used", "routes are announced by it", fact.generation)
    if ("Advertisement", fact.name) in state.inventory.last_good:
        message = "routes are announced by what it said when it was last well-formed"
        return condition("Ready", True, "LastGood", message, fact.generation)
    return condition("Ready", False, malformed.reason, joined((malformed,)), fact.generation)
