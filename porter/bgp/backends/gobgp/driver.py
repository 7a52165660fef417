"""One session over one GoBGP daemon: the state machine of `porter.bgp.session`, with gRPC where ExaBGP has lines.

A daemon has one neighbour, so that its table is that peer's Adj-RIB-Out. The neighbour is added when the table is
filled, because GoBGP sends End-of-RIB by itself as soon as a session is up; and added anew whenever a session ended,
because only a neighbour that was just added tells the peer that forwarding was preserved (`messages.peer_message`).

    no neighbour   the router is looked at, the table filled with what is desired, then the neighbour is added
    connecting     GoBGP tries; what is desired meanwhile goes out when the session is up
    transfer       the session is up, and GoBGP sends its whole table; confirmed when all of it was sent
    up             changes go out and are confirmed one by one
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping

import structlog

from porter.bgp.backends.gobgp import looking, messages
from porter.bgp.backends.gobgp.agreement import Agreement
from porter.bgp.backends.gobgp.breaking import BreakOff
from porter.bgp.backends.gobgp.client import DaemonClient, DaemonRefused, DaemonUnreachable
from porter.bgp.backends.gobgp.evidence import Evidence, Sent
from porter.bgp.backends.gobgp.filling import filling
from porter.bgp.backends.gobgp.looking import Look
from porter.bgp.backends.gobgp.places import Place, agreement_file
from porter.bgp.backends.gobgp.protocol import gobgp_pb2 as wire
from porter.bgp.backends.gobgp.table import Table
from porter.bgp.backends.gobgp.troubles import Troubles
from porter.bgp.commands import Announce, Command, ReadRib, Resend, SendEndOfRib, Withdraw
from porter.bgp.endofrib import MARGIN_S
from porter.bgp.session import PeerSession
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings
from porter.ports import Desired

RETRY_S = 0.1
BUSY_S = 0.02
CONNECTING_S = 0.2
IDLE_S = 0.5
START_S = 5.0

log = structlog.get_logger("porter.bgp")


class SessionDriver:
    """Drives one daemon for one session; `session` holds what is known and wanted."""

    def __init__(
        self,
        settings: SessionSettings,
        password: str | None,
        place: Place,
        now: Callable[[], float],
        moved: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.place = place
        self.session = PeerSession(settings, now())
        self.troubles = Troubles(self.session)
        self.reached = False
        self._password = password
        self._now = now
        self._moved = moved
        self._wake = asyncio.Event()
        self._evidence = Evidence()
        self.table = Table(settings)
        self.agreement = Agreement(agreement_file(place.directory, settings.peer), settings)
        self._inherited: dict[RouteKey, PathAttributes] = {}
        self._lost_s, self._purge_due = -math.inf, False  # When the last session ended, as far as is known.
        self._fresh = True  # The daemon's table was not filled yet: the peer may have more than it holds.
        self._introduced = False
        self._up = False
        self._told_until_s = -math.inf  # How long the router may go on to tell of the restart of the last session.
        self._break_off = BreakOff()
        self._ending = False  # Whether the daemon is to be ended, and its session with it.
        self._uptime: tuple[int, int] = (0, 0)
        self._since_s = now()
        self._missed_from_s = now() + START_S
        self._complaint = ""

    # ------------------------------------------------------------------------------------------------- what is asked

    def desire(self, desired: Desired, *, informed: bool) -> None:
        """Take a new desired Adj-RIB-Out."""
        self.session.desire(desired, informed=informed)
        self._wake.set()

    def take(self, settings: SessionSettings) -> None:
        """Take settings that differ in nothing that a session is told; the next neighbour is added by them."""
        self.settings = self.session.settings = settings

    def presumed(self) -> Negotiated:
        """What the next session will agree on: what the last one did, as far as is known."""
        return self.agreement.presumed

    @property
    def missing(self) -> bool:
        """Whether its daemon is missed; one that was wanted just now is not yet."""
        return not self.reached and self._now() > self._missed_from_s

    def inherit(self, held: Mapping[RouteKey, PathAttributes]) -> None:
        """Take over what a former daemon held: the peer may keep it for as long as it waits for our return."""
        self._inherited = dict(held)
        self._lost_s = self._now()

    def cut(self, reason: str, at_s: float) -> None:
        """End the session that was up at a moment, by its daemon's end, as soon as it is known that it still is.

        GoBGP itself ends one by a NOTIFICATION alone, at which the peer drops its routes even where they are good.
        """
        self._break_off.ask(reason, at_s)
        self._break()

    def _break(self) -> None:
        if reason := self._break_off.take():
            self.place.break_off()
            self._up, self._ending = False, True
            self._missed_from_s = self._now() + START_S
            self.session.closed(reason, self._now())
            self._wake.set()

    # ------------------------------------------------------------------------------------------------------ the daemon

    async def run(self) -> None:
        """Drive the daemon until cancelled; it, its session and its routes stay as they are afterwards."""
        while True:
            try:
                async with DaemonClient(self.place.socket) as client:
                    await self._serve(client)
            except (DaemonUnreachable, DaemonRefused) as error:
                self._lost(str(error))
            await asyncio.sleep(RETRY_S)

    def _lost(self, reason: str) -> None:
        if self._complaint != reason:
            self._complaint = reason
            log.warning("no daemon for this session", peer=self.settings.peer, reason=reason)
        if self.reached:
            self.reached = False
            self._break_off.unknown()
            if not self._ending:
                self._missed_from_s = 0.0
            self.session.detached(self._now())
        if self.session.session_state != "Established" and not self._ending:
            self.session.reason = f"gobgpd: {reason}"
        self._moved()

    async def _serve(self, client: DaemonClient) -> None:
        await self._take_stock(client)
        listening = asyncio.create_task(client.set_on_events(self._wake))
        try:
            while True:
                await self._step(client)
                self._moved()
                # asyncio.wait_for of Python 3.11 can swallow a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s()):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _interval_s(self) -> float:
        if not self._up:
            return CONNECTING_S
        return IDLE_S if self._evidence.complete and self.session.rib.idle() else BUSY_S

    async def _take_stock(self, client: DaemonClient) -> None:
        """See what is there: a fresh daemon, or one that an earlier speaker left at work."""
        self._introduced = self._up = False
        started = await client.started()
        if self._ending and started:
            raise DaemonUnreachable("it is about to be ended with its session")
        self._ending = False
        if not started:
            await client.start(messages.global_message(self.settings))
            self._fresh = True
            self._since_s = self._now()
            if self.table.held:
                self.inherit(self.table.held)
        await self.table.read(client)
        peer = await client.peer(self.settings.peer_address)
        if peer is None:
            await client.refuse_imports()
        if peer is not None and messages.is_up(peer):
            self._fresh = False
            await self._adopt(client, peer, same_engine=started)
            return
        self.reached, self._complaint = True, ""
        self._break_off.down()
        self._fresh = not self.table.held and self._fresh
        self.session.attached(None, self.table.held, self._now(), same_engine=started)
        if peer is not None:
            await client.delete_peer(self.settings.peer_address)

    async def _adopt(self, client: DaemonClient, peer: wire.Peer, *, same_engine: bool) -> None:
        """Go on with a session that is up: all that the daemon holds was sent, once its count stands still."""
        self._evidence.begin()
        self._evidence.recount()
        while True:
            restarting = peer.graceful_restart.local_restarting
            self._evidence.count(peer.state.messages.sent.update)
            if not restarting and self._evidence.complete:
                break
            await asyncio.sleep(RETRY_S)
            again = await client.peer(self.settings.peer_address)
            if again is None or not messages.is_up(again):
                raise DaemonUnreachable("the session went down while it was looked at")
            peer = again
        self.reached, self._complaint = True, ""
        self._up, self._uptime = True, messages.uptime(peer)
        negotiated = messages.read_negotiated(self.settings, peer)
        self.agreement.learn(negotiated)
        self.session.attached(negotiated, self.table.held, self._now(), same_engine=same_engine)
        self._introduced = True
        self._break_off.up(self._now() - max(0.0, time.time() - self._uptime[0] - self._uptime[1] / 1e9))
        self._break()

    # ------------------------------------------------------------------------------------------------ the neighbour

    async def _step(self, client: DaemonClient) -> None:
        if self._ending:
            if not await client.started():
                raise DaemonUnreachable("it was ended with its session")
            return
        if not self._introduced:
            if self._may_introduce():
                await self._introduce(client)
            return
        peer = await client.peer(self.settings.peer_address)
        if peer is None:
            raise DaemonUnreachable("somebody else took the neighbour away")
        if self._up and (not messages.is_up(peer) or messages.uptime(peer) != self._uptime):
            await self._went_down(client, peer)
        elif self._up:
            self.session.received(peer.state.messages.received.update)
            for sent in self._evidence.count(peer.state.messages.sent.update):
                self.session.sent(sent.announced, sent.withdrawn, self._now())
            await self._obey(client)
        elif not messages.is_up(peer):
            self.session.tell_news(self._now())
            await self._wait_on(client, peer)
        else:
            await self._began(client, peer)

    def _may_introduce(self) -> bool:
        """Whether the session may come up: what an empty daemon does not hold yet would be lost with its End-of-RIB."""
        if not self._fresh or self.session.certain:
            return True
        restart_time_s = self.settings.restart_time_s
        return self._now() > self._since_s + restart_time_s - min(MARGIN_S, restart_time_s / 2)

    async def _introduce(self, client: DaemonClient) -> None:
        """Look whether the router restarts, fill the table, then add the neighbour."""
        seen = await looking.look(self.settings, self._password)
        self.troubles.begin(seen, self._now())
        if seen.look is Look.CLOSED and self._kept:
            self.session.tell_news(self._now())
            return
        keeps = seen.look.may_keep(told_before=self._now() < self._told_until_s and bool(self._inherited))
        await self._fill(client)
        offer = self.settings._replace(families=self.agreement.offered)
        await client.add_peer(messages.peer_message(offer, self._password, keeps=keeps))
        self._introduced, self._fresh = True, False
        self._since_s = self._now()

    async def _fill(self, client: DaemonClient) -> None:
        desired = self.session.desired
        additions, removals = filling(
            held=self.table.held,
            wanted={} if desired is None else messages.acceptable(self.presumed(), desired.routes),
            inherited=self._inherited,
            families=self.settings.families,
            canonical=self.session.rib.canonical,
            certain=self.session.certain,
            kept=self._kept,
        )
        self._purge_due = self._kept
        self._inherited = {}
        await self.table.change(client, additions, removals)
        self.session.attached(None, self.table.held, self._now(), same_engine=True)

    @property
    def _kept(self) -> bool:
        """Whether the peer may still keep the routes of the last session."""
        return self._now() < self._lost_s + self.settings.restart_time_s

    async def _wait_on(self, client: DaemonClient, peer: wire.Peer) -> None:
        """No session. Once the peer has dropped what it kept, nothing must be withdrawn by name any more."""
        if peer.state.messages.received.notification and self.agreement.refused():
            await client.delete_peer(self.settings.peer_address)
            self._introduced = False
            return
        if self._purge_due and not self._kept:
            await self._fill(client)
        self.troubles.see(peer, self._now())

    async def _offers_fit(self, client: DaemonClient, peer: wire.Peer) -> bool:
        """Whether an established session was offered what its peer has; otherwise it is offered that anew."""
        negotiated = messages.read_negotiated(self.settings, peer)
        self.agreement.learn(negotiated)
        offered = {messages.family_of_message(one.config.family) for one in peer.afi_safis}
        if not negotiated.families or negotiated.families == offered:
            return True
        log.info("the families that the peer has are offered anew", peer=self.settings.peer)
        await client.delete_peer(self.settings.peer_address)
        self._introduced = False
        self._wake.set()
        return False

    async def _began(self, client: DaemonClient, peer: wire.Peer) -> None:
        """The session is up. GoBGP sends its whole table when the peer said End-of-RIB, or a moment later."""
        if not await self._offers_fit(client, peer) or peer.graceful_restart.local_restarting:
            return
        self._up, self._uptime = True, messages.uptime(peer)
        negotiated = messages.read_negotiated(self.settings, peer)
        self._told_until_s = self._now() + messages.told_restart_s(peer)
        self.session.established(negotiated, self._now())
        self._break_off.up(self._now())
        self._evidence.begin()
        self._owe_table(negotiated, messages.ends_of_rib(peer, negotiated))

    def _owe_table(self, negotiated: Negotiated, ends: int) -> None:
        routes = messages.sendable(negotiated, self.table.held.items())
        self._evidence.owe_all(messages.updates_of(self.settings, negotiated, routes) + ends, routes)

    async def _went_down(self, client: DaemonClient, peer: wire.Peer) -> None:
        self._up = False
        self._break_off.down()
        if received := peer.state.messages.received.notification:
            self.agreement.refused()
        reason = "the peer sent a NOTIFICATION" if received else "the connection was lost, or the hold time ran out"
        self.session.closed(reason, self._now())
        self._lost_s = self._now()
        if messages.is_up(peer):
            # It is up again already: nothing was watched, so that it is looked at from the start.
            raise DaemonUnreachable("the session was lost and is back")
        await client.delete_peer(self.settings.peer_address)
        self._introduced = False
        self._since_s = self._now()
        self._wake.set()

    # -------------------------------------------------------------------------------------------------------- commands

    async def _obey(self, client: DaemonClient) -> None:
        while not self._evidence.transferring and (commands := self.session.commands(self._now())):
            for command in commands:
                try:
                    await self._do(client, command)
                except DaemonRefused as error:
                    log.warning("the daemon refused a change", peer=self.settings.peer, reason=str(error))
                    self._evidence.recount()
                    self.session.answered(command, self._now(), accepted=False)
            self._moved()

    async def _do(self, client: DaemonClient, command: Command) -> None:
        match command:
            case Announce():
                keys = [RouteKey(prefix, command.path_id) for prefix in command.prefixes]
                routes = [(key, command.attributes) for key in keys]
                updates = await self.table.change(client, routes, ())
                self._evidence_of(updates, Sent(routes, ()))
            case Withdraw():
                keys = [RouteKey(prefix, command.path_id) for prefix in command.prefixes]
                updates = await self._withdraw(client, keys)
                self._evidence_of(updates, Sent((), keys))
            case SendEndOfRib():
                # GoBGP sent it behind the table, which is confirmed.
                self.session.end_of_rib_sent(command.family)
            case ReadRib():
                await self.table.read(client)
                if self.session.sync == "UNSYNCED":
                    self._evidence.recount()
                self.session.rib_read(command, self.table.held, self._now())
                return
            case Resend():
                assert self.session.rib.negotiated is not None
                await client.resend(self.settings.peer_address)
                self._owe_table(self.session.rib.negotiated, 0)
        self.session.answered(command, self._now(), accepted=True)

    def _evidence_of(self, updates: int, sent: Sent) -> None:
        if not self._evidence.transferring:
            self._evidence.owe(updates, sent)

    async def _withdraw(self, client: DaemonClient, keys: list[RouteKey]) -> int:
        """Withdraw paths. Those named by a former session's rules are replaced first, so that no prefix is gone."""
        replaced = {RouteKey(key.prefix, 0) for key in keys if self.session.rib.silent(key)}
        successors = {key: self.session.rib.wanted(key) for key in replaced}
        routes = [(key, attributes) for key, attributes in sorted(successors.items()) if attributes is not None]
        updates = await self.table.change(client, routes, keys)
        if replaced:
            self._evidence.recount()
        return updates
