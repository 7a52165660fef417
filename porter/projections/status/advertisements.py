"""A BgpAdvertisement's status: whether it is honoured, and what contradicts it."""

from __future__ import annotations

from porter.policy.problems import disqualifying
from porter.projections.cluster import ClusterState
from porter.projections.status.conditions import Tree, accepted_condition, condition, sentence


def advertisement_status(state: ClusterState, name: str) -> Tree:
    """A BgpAdvertisement's status; empty for one that is not there."""
    fact = state.inventory.advertisements.get(name)
    if fact is None:
        return {}
    problem = disqualifying(fact.problems)
    accepted = accepted_condition(problem, fact.problems, fact.generation, "every field is honoured")
    ready = condition("Ready", True, "Used", "routes are announced by it", fact.generation)
    if problem is not None:
        ready = condition("Ready", False, problem.reason, sentence(problem), fact.generation)
    return {"observedGeneration": fact.generation, "conditions": [accepted, ready]}
