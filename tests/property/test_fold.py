"""A fold gives the same state on every machine, Python and hash seed, and a baseline stands for its prefix."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from porter.events import observed
from porter.model.address import Address
from porter.projections import baseline, loc_rib, pools
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from porter.projections.readiness import Readiness
from tests.property.fold_worker import LENGTH_BYTES, summary
from tests.property.operations import apply, operations
from tests.property.world import World

ROOT = Path(__file__).parents[2]
histories = st.lists(operations, min_size=5, max_size=40)


class Elsewhere:
    """Another process with another hash seed."""

    def __init__(self, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.property.fold_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )

    def fold(self, encoded: bytes, envelopes: list[Any], shuffle: int = 0) -> tuple[Any, ...]:
        question = pickle.dumps((encoded, envelopes, shuffle))
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(len(question).to_bytes(LENGTH_BYTES, "big") + question)
        self._process.stdin.flush()
        length = int.from_bytes(self._process.stdout.read(LENGTH_BYTES), "big")
        return pickle.loads(self._process.stdout.read(length))

    def close(self) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[Elsewhere, ...]]:
    processes = tuple(Elsewhere(seed) for seed in (1, 4242))
    yield processes
    for process in processes:
        process.close()


def played(history: list[tuple[Any, ...]]) -> World:
    world = World()
    world.start()
    for operation in history:
        apply(world, operation)
    return world


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories, st.integers(0, 100))
def test_the_rest_folds_elsewhere_onto_a_baseline(
    elsewhere: tuple[Elsewhere, ...], history: list[tuple[Any, ...]], share: int
) -> None:
    journal = played(history).journal
    cut = len(journal) * share // 100
    whole = summary(fold(ClusterState.empty(), journal))
    prefix = baseline.encode(fold(ClusterState.empty(), journal[:cut]))
    for process in elsewhere:
        assert process.fold(prefix, journal[cut:]) == whole


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(operations, min_size=20, max_size=60), st.integers(1, 1 << 30), st.integers(0, 5))
def test_other_orders_of_dictionaries_and_other_hash_seeds_decide_alike(
    elsewhere: tuple[Elsewhere, ...], history: list[tuple[Any, ...]], shuffle: int, unsettled_tail: int
) -> None:
    """The last operations are not settled, so that there is something to decide."""
    world = played(history)
    world.settles()
    for operation in history[:unsettled_tail]:
        apply(world, operation)
    whole = summary(fold(ClusterState.empty(), world.journal))
    empty = baseline.encode(ClusterState.empty())
    for process in elsewhere:
        assert process.fold(empty, world.journal, shuffle) == whole


@settings(max_examples=100, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_looking_at_the_state_in_between_changes_nothing(
    history: list[tuple[Any, ...]], random_: random.Random
) -> None:
    journal = played(history).journal
    looked = ClusterState.empty()
    for envelope in journal:
        looked = fold(looked, [envelope])
        if random_.random() < 0.3:
            summary(looked)
            looked.loc_rib.take_changed()
    assert summary(looked) == summary(fold(ClusterState.empty(), journal))


@settings(max_examples=50, deadline=None)
@given(histories, st.integers(1, 20), st.integers(0, 3))
def test_folding_far_before_anybody_looks_changes_nothing(
    history: list[tuple[Any, ...]], every: int, limit: int
) -> None:
    journal = played(history).journal
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("porter.projections.fold.INDEX_INTERVAL_EVENTS", 1)
        patch.setattr(pools, "MAX_TOUCHED", limit)
        patch.setattr(loc_rib, "MAX_DIRTY", limit)
        state = ClusterState.empty()
        for start in range(0, len(journal), every):
            state = fold(state, journal[start : start + every])
            if start % 3 == 0:
                summary(state)
    assert summary(state) == summary(fold(ClusterState.empty(), journal))


@settings(max_examples=100, deadline=None)
@given(histories, st.integers(0, 100))
def test_a_fork_is_independent(history: list[tuple[Any, ...]], share: int) -> None:
    journal = played(history).journal
    cut = len(journal) * share // 100
    state = fold(ClusterState.empty(), journal[:cut])
    before = summary(state.fork())
    fork = fold(state.fork(), journal[cut:])
    assert summary(state) == before
    assert summary(fork) == summary(fold(state, journal[cut:]))


@settings(max_examples=100, deadline=None)
@given(histories, st.integers(1, 10))
def test_changes_taken_one_after_the_other_give_the_routes(history: list[tuple[Any, ...]], every: int) -> None:
    journal = played(history).journal
    state, followed = ClusterState.empty(), {}
    for number, envelope in enumerate(journal):
        state = fold(state, [envelope])
        if number % every == 0 or number == len(journal) - 1:
            for prefix in state.loc_rib.take_changed():
                route = state.loc_rib.routes.get(prefix)
                followed[prefix] = None if route is None else route.next_hops
    assert {prefix: hops for prefix, hops in followed.items() if hops is not None} == {
        prefix: route.next_hops for prefix, route in state.loc_rib.routes.items()
    }


node_states = st.lists(st.sampled_from(("ready", "not ready", "gone")), min_size=1, max_size=6)


def _turn(readiness: Readiness, name: str, wanted: str, time_ms: int) -> None:
    if wanted == "gone":
        readiness.forget(observed.NodeGone(name), time_ms)
    else:
        fact = observed.NodeObserved(name, name, "1", (Address("10.0.0.1"),), wanted == "ready")
        readiness.observe(fact, time_ms)


@settings(max_examples=300, deadline=None)
@given(st.lists(node_states, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_nodes_that_change_at_one_time_are_held_alike_in_any_order(
    steps: list[list[str]], random_: random.Random
) -> None:
    one, other = Readiness({}), Readiness({})
    time_ms = 1
    for step in steps:
        changes = [(f"n{index}", wanted) for index, wanted in enumerate(step)]
        shuffled = random_.sample(changes, len(changes))
        time_ms += random_.choice((10_000, 70_000))
        for name, wanted in changes:
            _turn(one, name, wanted, time_ms)
        for name, wanted in shuffled:
            _turn(other, name, wanted, time_ms)
        assert one.held == other.held
        assert one.held <= set(one.nodes)
