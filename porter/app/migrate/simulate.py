"""Which addresses follow from a migration: the very conversions, adoption and decisions that a controller runs.

The Services bring their present status, as a cluster does when Porter comes up, and what they hold is adopted first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple, cast

import msgspec

from porter.allocator.adopt import adopt
from porter.allocator.decide import decide, unsettled
from porter.app.migrate.report import Migration, Report, Verdict
from porter.events.catalogue import Event
from porter.events.decided import EpochStarted
from porter.events.envelope import Envelope
from porter.events.observed import InventorySynced, ServiceObserved
from porter.kube.facts import FactSettings
from porter.kube.facts.service import held_addresses
from porter.kube.inventory import Inventory
from porter.kube.objects import KINDS, Service, decode
from porter.model.address import Address
from porter.model.reasons import Problem, Reason
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

MAX_ROUNDS = 100_000
"""Most rounds of asking for decisions; each round settles many Services."""

ASKED_AT_ONCE = 128
_SINCE = re.compile(r" since [^;,]*?,?[^;,]*?#\d+\)?")
"""When and where in the journal somebody came to hold an address: there is no journal here."""

_KINDS_IN_ORDER: tuple[str, ...] = ("Namespace", "Eip", "BgpConf", "BgpPeer", "BgpAdvertisement", "Service")
"""What a decision depends on comes before what is decided."""


VERDICTS = ("same", "more", "changes", "new", "none")
"""It keeps what it holds; that and one of another family; it loses or swaps one; it gets its first; it has none."""


class Outcome(NamedTuple):
    """A Service's addresses today and afterwards; `verdict` is one of `VERDICTS`, and `reason` says why."""

    service: str
    today: tuple[Address, ...]
    then: tuple[Address, ...]
    verdict: str
    reason: str


class Simulation(NamedTuple):
    """The outcomes by Service, and the state that they come from."""

    outcomes: tuple[Outcome, ...]
    state: ClusterState

    @property
    def changes(self) -> int:
        """How many Services would lose or swap an address that they have today."""
        return sum(outcome.verdict == "changes" for outcome in self.outcomes)


def simulate(migration: Migration, settings: FactSettings) -> Simulation:
    """Fold the migrated objects as a first genesis does, adopt, and decide until there is no more to say."""
    objects = [*migration.present, *migration.manifests, *migration.services]
    facts = _facts(objects, settings)
    report_problems(migration, facts)
    begun = _begun(facts)
    outcomes = list(_outcomes(migration.services, begun))
    if migration.joining:
        # Some apply the manifests to a Porter that runs already: each Service is a newcomer to it then.
        others = _outcomes(migration.services, _joined(facts))
        outcomes = [_worse(one, other) for one, other in zip(outcomes, others, strict=True)]
    return Simulation(tuple(outcomes), begun)


def _worse(begun: Outcome, joined: Outcome) -> Outcome:
    if set(begun.then) == set(joined.then):
        return begun
    return joined._replace(reason=f"if Porter runs before the manifests are applied: {joined.reason}")


def _begun(facts: Iterable[Event]) -> ClusterState:
    """The state where Porter comes up with everything there."""
    run = _Run()
    for fact in facts:
        run.fold(fact)
    for adoption in adopt(run.state, ()):
        run.fold(adoption)
    run.fold(_synced(run.state))
    run.settle()
    return run.state


def _joined(facts: Iterable[Event]) -> ClusterState:
    """The state where Services come to a Porter that runs, one after the other."""
    run = _Run()
    services = [fact for fact in facts if isinstance(fact, ServiceObserved)]
    for fact in facts:
        if not isinstance(fact, ServiceObserved):
            run.fold(fact)
    run.fold(_synced(run.state))
    for service in services:
        run.fold(service)
        run.settle()
    return run.state


def _synced(state: ClusterState) -> InventorySynced:
    inventory = state.inventory
    return InventorySynced(len(inventory.services), 0, len(inventory.pools), len(inventory.peers))


class _Run:
    """A journal of which only the fold is kept."""

    def __init__(self) -> None:
        self.state = ClusterState.empty()
        self.fold(EpochStarted("migration", "migration", 0, ""))

    def fold(self, payload: Event) -> None:
        position = self.state.ledger.position + 1
        self.state = evolve(self.state, Envelope(position, 1, 0, 0, "", "", payload))

    def settle(self) -> None:
        for _ in range(MAX_ROUNDS):
            uids = unsettled(self.state, ASKED_AT_ONCE)
            if not uids:
                return
            for uid in uids:
                for decision in decide(self.state, uid):
                    self.fold(decision)
        raise AssertionError(f"decisions did not come to rest in {MAX_ROUNDS} rounds")


def _facts(objects: Iterable[dict[str, Any]], settings: FactSettings) -> list[Event]:
    inventory = Inventory(settings)
    by_kind: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS_IN_ORDER}
    for tree in objects:
        if tree["kind"] in by_kind:
            by_kind[tree["kind"]].append(tree)
    for kind in _KINDS_IN_ORDER:
        if kind in KINDS:
            for tree in by_kind[kind]:
                inventory.put(kind, msgspec.json.encode(identified(tree)))
    return list(inventory.facts.values())


def identified(tree: dict[str, Any]) -> dict[str, Any]:
    """An object with the UID that files do not have."""
    metadata = dict(tree["metadata"])
    key = f"{metadata.get('namespace', '')}/{metadata['name']}"
    metadata.setdefault("uid", key)
    return {**deepcopy(tree), "metadata": metadata}


def _outcomes(services: Iterable[dict[str, Any]], state: ClusterState) -> Iterable[Outcome]:
    for tree in sorted(services, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"])):
        service = cast(Service, decode("Service", msgspec.json.encode(identified(tree))))
        uid, name = service.metadata.uid, f"{service.metadata.namespace}/{service.metadata.name}"
        today = held_addresses(service)
        held = state.pools.of(uid)
        then = tuple(one.address for one in held)
        refusal = state.pools.refusals.get(uid)
        given = ", ".join(sorted({str(one.reason) for one in held}))
        why = f"{refusal[0].reason}: {_SINCE.sub('', refusal[0].message)}" if refusal is not None else given
        if uid not in state.inventory.services:
            why = "Porter does not serve it: see the report"
        yield Outcome(name, today, then, _verdict(set(today), set(then)), why)


def _verdict(today: set[Address], then: set[Address]) -> str:
    if not today:
        return "new" if then else "none"
    if today == then:
        return "same"
    return "more" if today < then else "changes"


def report_problems(migration: Migration, facts: Iterable[Event]) -> None:
    """Say what Porter itself says of the manifests: a field that it will not honour must not come as a surprise."""
    kinds = {"pool": "Eip", "conf": "BgpConf", "peer": "BgpPeer", "advertisement": "BgpAdvertisement"}
    for fact in facts:
        kind = kinds.get(fact.aggregate.partition("/")[0])
        if kind is None or isinstance(fact, ServiceObserved):
            continue
        name: str = getattr(fact, "name", "")
        for problem in getattr(fact, "problems", ()):
            _report_problem(migration, kind, name, problem)


def _report_problem(migration: Migration, kind: str, name: str, problem: Problem) -> None:
    origin = migration.origins.get((kind, name))
    report: Report = migration.report
    if origin is None:
        return
    use = "is used without it" if problem.reason == Reason.FIELD_UNSUPPORTED else "is not used until that is mended"
    report.add(origin, problem.field, Verdict.REFUSED, f"{kind} {name} {use}: {problem.message}")
