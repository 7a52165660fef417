"""What `/metrics` says, as a pure function of the folds: pools, Services, sessions, routes, and the controller itself.

No metric has a label by Service: their number is bounded by pools, peers, speakers, and the list of reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from porter import __version__
from porter.app.answers.operated import held_prefixes
from porter.app.answers.routes import route_counts
from porter.app.read_model import ReadModel
from porter.model.bgp import BFD_UP
from porter.projections.adj_rib_out import serves
from porter.projections.cluster import ClusterState
from porter.projections.maintenance import routes_on_last_resort
from porter.projections.sessions import Sessions
from porter.projections.status import pool_status
from porter.telemetry.metrics import Measured

Samples = tuple[tuple[tuple[str, ...], float], ...]

_POOL = ("pool",)
_SESSION = ("peer", "speaker")


class Archived(Protocol):
    """`porter.app.retention.archiving.Standing`, which the metrics do not import."""

    @property
    def position(self) -> int: ...

    @property
    def segments(self) -> int: ...

    @property
    def bytes(self) -> int: ...


class KeptSizes(NamedTuple):
    """What the journal takes at its server and may take, in bytes, and what this controller's archive holds."""

    journal_bytes: int = 0
    journal_limit_bytes: int = 0
    archive: Archived | None = None


class Self(NamedTuple):
    """What a controller says of itself: whether it leads, "ok" or a sentence for each of its parts, how many
    Kubernetes Events it gave up, where the journal's end is (None: no answer), what time it is, how much is kept."""

    leading: bool
    parts: Mapping[str, str]
    untold: int = 0
    head_position: int | None = None
    now_ms: int = 0
    kept: KeptSizes = KeptSizes()


def measured(model: ReadModel, self_: Self) -> tuple[Measured, ...]:
    """Everything that is measured, at one position of the journal."""
    state = model.state
    return (
        *_controller(self_),
        *_journal(state, self_),
        *_kept(self_),
        *_pools(state),
        *_services(state),
        *_sessions(model.state, model.sessions),
        *_speakers(model.sessions),
        *_operated(state),
        Measured("routes", "gauge", "Routes of all Adj-RIBs-Out by what became of them.", ("state",), _routes(model)),
    )


def _one(number: float) -> Samples:
    return (((), number),)


def _controller(self_: Self) -> Iterator[Measured]:
    parts: Samples = tuple(
        ((name,), float(said == "ok" or said.startswith("ok,"))) for name, said in sorted(self_.parts.items())
    )
    yield Measured("build_info", "gauge", "The version that runs; always 1.", ("version",), (((__version__,), 1.0),))
    text = "Kubernetes Events that were given up, because too many waited or the API server refused them."
    yield Measured("events_dropped", "counter", text, (), _one(self_.untold))
    yield Measured("leader", "gauge", "Whether this controller leads.", (), _one(self_.leading))
    yield Measured("component_ready", "gauge", "Whether a part of this controller is ready.", ("component",), parts)


def _journal(state: ClusterState, self_: Self) -> Iterator[Measured]:
    ledger = state.ledger
    text = "Whether the journal's server answered when this was asked."
    yield Measured("journal_up", "gauge", text, (), _one(self_.head_position is not None))
    yield Measured("journal_position", "gauge", "The position that is folded.", (), _one(ledger.position))
    yield Measured("journal_epoch", "gauge", "The epoch of the last commit that was folded.", (), _one(ledger.epoch))
    yield Measured("journal_recovering", "gauge", "Whether a loss is recovered from.", (), _one(ledger.recovering))
    gone = sum(last - first + 1 for first, last in ledger.lost)
    text = "How many positions this journal lost at its end, in all recoveries together."
    yield Measured("journal_positions_lost", "gauge", text, (), _one(gone))
    last_s = ledger.time_ms / 1000
    text = "When the last commit that was folded was made, in seconds since the Unix epoch."
    yield Measured("journal_last_commit_timestamp_seconds", "gauge", text, (), _one(last_s))
    # A leader has folded what is about to be appended.
    behind = max(0, (self_.head_position or 0) - ledger.position)
    lag: Samples = () if self_.head_position is None else ((("cluster",), float(behind)),)
    text = "Events of the journal that a projection has not folded yet."
    yield Measured("projection_lag_events", "gauge", text, ("projection",), lag)
    lag = tuple((labels, max(0.0, self_.now_ms / 1000 - last_s) if number else 0.0) for labels, number in lag)
    text = "Age of what a projection folded last, while there is more to fold; 0 where it is at the journal's end."
    yield Measured("projection_lag_seconds", "gauge", text, ("projection",), lag)


def _kept(self_: Self) -> Iterator[Measured]:
    kept = self_.kept
    taken = _one(kept.journal_bytes) if self_.head_position is not None else ()
    yield Measured("journal_stream_bytes", "gauge", "What the journal takes at its server.", (), taken)
    text = "What the journal may take; beyond it only baselines are appended, until it was trimmed."
    yield Measured("journal_stream_limit_bytes", "gauge", text, (), _one(kept.journal_limit_bytes))
    archive = kept.archive
    held = archive is not None
    text = "The last position in this controller's archive."
    yield Measured("archive_position", "gauge", text, (), _one(archive.position) if archive else ())
    text = "What this controller's archive takes on its volume."
    yield Measured("archive_bytes", "gauge", text, (), _one(archive.bytes) if archive else ())
    text = "The sealed segments of this controller's archive."
    yield Measured("archive_segments", "gauge", text, (), _one(archive.segments) if archive else ())
    fine: Samples = _one(self_.parts.get("archive") == "ok") if held else ()
    text = "Whether this controller archives the journal, and can trim it when it leads."
    yield Measured("archive_up", "gauge", text, (), fine)


def _pools(state: ClusterState) -> Iterator[Measured]:
    statuses = {name: pool_status(state, name) for name in sorted(state.inventory.pools)}
    fields = (
        ("pool_addresses", "poolSize", "Addresses that a pool can give, in use or not."),
        ("pool_addresses_in_use", "usage", "Distinct addresses of a pool that Services hold."),
        ("pool_addresses_available", "available", "Addresses of a pool that can be given now."),
        (
            "pool_addresses_reserved",
            "reserved",
            "Addresses of a pool that wait for their Service.",
        ),
    )
    for name, field, text in fields:
        samples: Samples = tuple(((pool,), float(status.get(field, 0))) for pool, status in statuses.items())
        yield Measured(name, "gauge", text, _POOL, samples)
    ready: Samples = tuple(((pool,), float(bool(status.get("ready")))) for pool, status in statuses.items())
    yield Measured("pool_ready", "gauge", "Whether a pool is in order.", _POOL, ready)


def _speakers(sessions: Sessions) -> Iterator[Measured]:
    speakers = sorted(sessions.speakers.items())
    up: Samples = tuple(((name,), float(speaker.engine_up)) for name, speaker in speakers)
    told: Samples = tuple(((name,), speaker.time_ms / 1000) for name, speaker in speakers)
    dropped: Samples = tuple(((name,), float(speaker.dropped)) for name, speaker in speakers)
    yield Measured("engine_up", "gauge", "Whether a speaker's BGP engine is there.", ("speaker",), up)
    bfd: Samples = tuple(((name,), float(one.bfd_up)) for name, one in speakers if one.bfd_up is not None)
    text = "Whether the program that runs BFD beside a speaker is there, where a peer asks for BFD."
    yield Measured("bfd_daemon_up", "gauge", text, ("speaker",), bfd)
    text = "When a speaker told an outcome last, in seconds since the Unix epoch."
    yield Measured("speaker_last_outcome_timestamp_seconds", "gauge", text, ("speaker",), told)
    text = "Outcomes that a speaker gave up, because the journal was away for too long."
    yield Measured("speaker_outcomes_dropped", "counter", text, ("speaker",), dropped)


def _services(state: ClusterState) -> Iterator[Measured]:
    served = sum(1 for uid in state.inventory.services if state.pools.of(uid))
    waiting = len(state.inventory.services) - served
    counts: Samples = ((("served",), served), (("waiting",), waiting))
    yield Measured("services", "gauge", "Services by whether they hold an address.", ("state",), counts)
    refused = Counter(
        str(refusal.reason) for uid in state.inventory.services if (refusal := state.pools.refusal(uid)) is not None
    )
    reasons: Samples = tuple(((reason,), float(number)) for reason, number in sorted(refused.items()))
    yield Measured("services_refused", "gauge", "Services that are refused, by reason.", ("reason",), reasons)
    absent = Counter(str(reason) for reason in state.loc_rib.absent.values())
    lacking: Samples = tuple(((reason,), float(number)) for reason, number in sorted(absent.items()))
    text = "Prefixes of addresses in use that have no route, by reason."
    yield Measured("prefixes_absent", "gauge", text, ("reason",), lacking)


def _operated(state: ClusterState) -> Iterator[Measured]:
    ledger = state.ledger
    held: Samples = tuple(((cause,), float(number)) for cause, number in sorted(held_prefixes(state).items()))
    text = "Prefixes that keep their last next hops or peers because too many would have lost them at once, by cause."
    yield Measured("withdrawals_held", "gauge", text, ("cause",), held)
    yield Measured(
        "holds_open", "gauge", "Holds that wait for an approval or their end.", (), _one(len(ledger.holds.open))
    )
    drained: Samples = (
        (("node",), float(len(ledger.maintenance.nodes))),
        (("service",), float(len(ledger.maintenance.services))),
        (("speaker",), float(len(ledger.maintenance.speakers))),
    )
    yield Measured("drained", "gauge", "What is drained, by kind.", ("kind",), drained)
    last = sum(routes_on_last_resort(ledger.maintenance, state.loc_rib.routes).values())
    text = "Next hops of routes that stay although their node is drained, because no other is left."
    yield Measured("next_hops_on_drained_nodes", "gauge", text, (), _one(last))


def _sessions(state: ClusterState, sessions: Sessions) -> Iterator[Measured]:
    # A peer that was deleted, or is meant to be down, must not look like one that failed.
    wanted = {name for name, peer in state.inventory.peers.items() if not peer.admin_down}
    told = [
        ((peer, name), session)
        for name, speaker in sorted(sessions.speakers.items())
        for peer, session in sorted(speaker.peers.items())
        if peer in wanted and serves(state, peer, name)
    ]
    up: Samples = tuple((labels, float(session.established)) for labels, session in told)
    synced: Samples = tuple((labels, float(session.synced)) for labels, session in told)
    routes: Samples = tuple((labels, float(session.routes)) for labels, session in told)
    flaps: Samples = tuple((labels, float(session.flaps)) for labels, session in told)
    drifts: Samples = tuple((labels, float(session.drifts)) for labels, session in told)
    yield Measured("bgp_session_up", "gauge", "Whether a session is Established.", _SESSION, up)
    yield Measured("bgp_session_synced", "gauge", "Whether all of a session's routes are confirmed.", _SESSION, synced)
    rejected: Samples = tuple((labels, float(bool(session.rejected))) for labels, session in told)
    text = "Whether a speaker's engine refused a peer's settings."
    yield Measured("bgp_peer_rejected", "gauge", text, _SESSION, rejected)
    yield Measured("bgp_routes_confirmed", "gauge", "Routes that a session confirmed.", _SESSION, routes)
    yield Measured("bgp_session_flaps", "counter", "How often a session went down.", _SESSION, flaps)
    watched: Samples = tuple(
        (labels, float(session.bfd == BFD_UP))
        for labels, session in told
        if state.inventory.peers[labels[0]].bfd_receive_ms
    )
    text = "Whether BFD finds the path of a session up, where the peer asks for BFD."
    yield Measured("bfd_session_up", "gauge", text, _SESSION, watched)
    yield Measured("bgp_rib_drifts", "counter", "How often a session's routes differed from ours.", _SESSION, drifts)


def _routes(model: ReadModel) -> Samples:
    counts = route_counts(model)
    return tuple(((state,), float(counts[state])) for state in sorted(counts) if state != "total")
