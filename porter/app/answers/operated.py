"""Answers about what operators took out of service, and what is held back, as pure functions of the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from porter.app.answer_json import Json, time_json
from porter.model.address import Prefix
from porter.projections.cluster import ClusterState
from porter.projections.holds import Hold
from porter.projections.maintenance import NodeDrain, ServiceDrain, routes_on_last_resort
from porter.projections.sentences import would_have

PREFIXES_TOLD_MAX = 100
"""Most prefixes that one hold names; their number is always told."""


def drained_speakers(state: ClusterState) -> list[Json]:
    """Every speaker that is drained, until when it still announces, and whether that is over."""
    return [
        {
            "speaker": name,
            "by": drain.by,
            "why": drain.why,
            "position": drain.position,
            "until": time_json(drain.until_ms),
            "elapsed": drain.elapsed,
        }
        for name, drain in sorted(state.ledger.maintenance.speakers.items())
    ]


def speaker_problem(told: Json) -> str:
    """What `drained_speakers` tells of one as a clause."""
    if told["elapsed"]:
        return f"is drained by {told['by']}"
    return f"leaves service and withdraws everything at {told['until']}, drained by {told['by']}"


def drained_nodes(state: ClusterState) -> list[Json]:
    """Every node that is drained, and how many routes still depend on it."""
    last = routes_on_last_resort(state.ledger.maintenance, state.loc_rib.routes)
    return [
        {"node": name, **_drain(drain), "force": drain.force, "lastNextHopOf": last.get(name, 0)}
        for name, drain in sorted(state.ledger.maintenance.nodes.items())
    ]


def drained_services(state: ClusterState) -> list[Json]:
    """Every Service that is drained."""
    return [{"service": name, **_drain(drain)} for name, drain in _services(state)]


def holds(state: ClusterState) -> list[Json]:
    """Every hold that stands."""
    return [_hold(state, number, hold) for number, hold in sorted(state.ledger.holds.open.items())]


def operated_problems(state: ClusterState) -> list[str]:
    """Every drain and every hold as a sentence that says how it ends."""
    problems = [_hold_problem(told) for told in holds(state)]
    for told in drained_nodes(state):
        name, routes = told["node"], told["lastNextHopOf"]
        step = "is out of service" if told["elapsed"] else "leaves service"
        problems.append(f"node {name} {step}, drained by {told['by']}; `porter uncordon node {name}` ends it")
        if routes:
            problems.append(
                f"node {name} is drained but still the last next hop of {routes} routes, which stay; bring another "
                f"node into service, or withdraw them by `porter drain node {name} --force`"
            )
    for told in drained_services(state):
        name = told["service"]
        step = "is withdrawn" if told["elapsed"] else "is about to be withdrawn"
        problems.append(f"Service {name} {step}, drained by {told['by']}; `porter uncordon service {name}` ends it")
    return problems


def held_prefixes(state: ClusterState) -> Counter[str]:
    """How many prefixes keep next hops, or their peers, by a hold alone, by cause."""
    kept = state.ledger.holds
    return Counter(
        hold.cause
        for prefix, route in kept.routes.items()
        if (hold := kept.open.get(route.hold)) is not None and _is_held(state, prefix, hold)
    )


def _is_held(state: ClusterState, prefix: Prefix, hold: Hold) -> bool:
    return prefix in (state.loc_rib.routes if hold.of_facts else state.loc_rib.lost)


def _services(state: ClusterState) -> Iterator[tuple[str, ServiceDrain]]:
    services = state.inventory.services
    for uid, drain in state.ledger.maintenance.services.items():
        yield f"{services[uid].namespace}/{services[uid].name}", drain


def _drain(drain: NodeDrain | ServiceDrain) -> Json:
    return {
        "by": drain.by,
        "why": drain.why,
        "position": drain.position,
        "since": time_json(drain.since_ms),
        "delayMs": drain.delay_ms,
        "elapsed": drain.elapsed,
    }


def _hold(state: ClusterState, number: int, hold: Hold) -> Json:
    prefixes = sorted(state.ledger.holds.prefixes_of(number))
    return {
        "hold": number,
        "cause": hold.cause,
        "since": time_json(hold.since_ms),
        "until": time_json(hold.since_ms + hold.bound_ms),
        "lost": hold.lost,
        "total": hold.total,
        "sharePercent": hold.share_percent,
        "minimum": hold.minimum,
        "held": sum(1 for prefix in prefixes if _is_held(state, prefix, hold)),
        "prefixes": prefixes[:PREFIXES_TOLD_MAX],
    }


def _hold_problem(told: Json) -> str:
    return (
        f"hold {told['hold']}: {told['held']} prefixes stay as they are, because {told['lost']} of {told['total']} "
        f"{would_have(told['cause'])} ({told['cause']}); find out why, or let it happen by "
        f"`porter approve {told['hold']}`; without either it happens at {told['until']}"
    )
