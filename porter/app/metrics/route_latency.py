"""How long a change takes to reach the routers, derived by the leader from the journal and the speakers' streams.

An outcome names the routes that the engine sent, and when; the Loc-RIB names the last event that touched each route,
and when. Their difference is what clients wait for, but for the speaker's gathering of outcomes (2 ms, and up to 50 ms
in a burst) and the difference of the two machines' clocks. So a speaker needs no port of its own.

What follows from no change of the route is not measured: a session that came up, a repair, and whatever peers,
advertisements, drains or labels newly let pass.
"""

from __future__ import annotations

from collections import OrderedDict

from porter.app.view import View
from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.events.routed import RibSynced, RoutesAnnounced, RoutesWithdrawn
from porter.model.address import Prefix, host_prefix
from porter.model.bgp import RouteKey
from porter.ports import Instrumentation
from porter.projections.loc_rib import Stamp
from porter.projections.sessions import PeerSession, Sessions
from porter.telemetry.instruments import ANNOUNCE_SECONDS, WITHDRAW_SECONDS

MAX_RELEASED = 65_536

_CONFIGURING = frozenset(
    {
        observed.PeerObserved,
        observed.PeerGone,
        observed.ConfObserved,
        observed.ConfGone,
        observed.AdvertisementObserved,
        observed.AdvertisementGone,
        observed.PoolObserved,
        observed.PoolGone,
        observed.NamespaceObserved,
        observed.NodeObserved,
        decided.SpeakerDrained,
        decided.SpeakerDrainElapsed,
        decided.SpeakerUndrained,
    }
)
"""What may let a route pass that has not changed itself."""


class RouteLatency:
    """Observes the two histograms while this controller leads."""

    def __init__(self, view: View, instrumentation: Instrumentation, since_ms: int) -> None:
        """Outcomes from before `since_ms` were measured by whoever led then."""
        self._view = view
        self._instrumentation = instrumentation
        self._since_ms = since_ms
        self._configured_at = 0
        self._released: OrderedDict[Prefix, Stamp] = OrderedDict()
        self._synced_at: dict[tuple[str, str], int] = {}

    def note(self, envelope: Envelope) -> None:
        """The leader folded an event: keep what no fold remembers."""
        payload = envelope.payload
        if isinstance(payload, decided.AddressReleased):
            self._released[host_prefix(payload.address)] = (envelope.position, envelope.time_ms)
            if len(self._released) > MAX_RELEASED:
                self._released.popitem(last=False)
        elif type(payload) in _CONFIGURING:
            self._configured_at = envelope.position

    def outcome(self, sessions: Sessions, speaker: str, envelope: Envelope) -> None:
        """A speaker told this outcome, which the sessions do not know yet."""
        payload = envelope.payload
        if isinstance(payload, RibSynced):
            self._synced_at[speaker, payload.peer] = payload.position
        if not isinstance(payload, RoutesAnnounced | RoutesWithdrawn):
            return
        if not self._view.leading or envelope.time_ms < self._since_ms:
            return
        known = sessions.speakers.get(speaker)
        session = known.peers.get(payload.peer) if known is not None else None
        if session is None:
            return
        name = ANNOUNCE_SECONDS if isinstance(payload, RoutesAnnounced) else WITHDRAW_SECONDS
        confirmed_at = self._confirmed_at(session, payload, self._synced_at.get((speaker, payload.peer), 0))
        for prefix, before in confirmed_at.items():
            cause = self._cause(prefix, payload)
            if cause is None or not max(before + 1, self._configured_at) <= cause[0] <= payload.position:
                continue
            latency_s = max(0, envelope.time_ms - cause[1]) / 1000
            self._instrumentation.observe(name, latency_s, traceparent=envelope.traceparent)

    @staticmethod
    def _confirmed_at(
        session: PeerSession, outcome: RoutesAnnounced | RoutesWithdrawn, synced_at: int
    ) -> dict[Prefix, int]:
        """For each prefix the last position at which this peer was told of one of these paths."""
        found: dict[Prefix, int] = {}
        for path in outcome.paths:
            known = session.confirmed.get(RouteKey(path.prefix, path.path_id))
            at = synced_at if known is None else max(synced_at, known.position)
            found[path.prefix] = max(found.get(path.prefix, 0), at)
        return found

    def _cause(self, prefix: Prefix, outcome: RoutesAnnounced | RoutesWithdrawn) -> Stamp | None:
        """The last event that touched the prefix's routes; None where there is none that is certain."""
        state = self._view.state
        route = state.loc_rib.routes.get(prefix)
        if route is not None:
            if state.inventory.position_of(route.uid) > route.position:
                # The Service was edited since: its labels may be what lets the route pass now.
                return None
            return route.position, route.since_ms
        if isinstance(outcome, RoutesAnnounced):
            return None
        lost = state.loc_rib.lost.get(prefix)
        if lost is not None:
            return outcome.position, lost.since_ms
        return self._released.get(prefix)
