"""The publisher with GoBGP as its engine: one daemon for each session, kept by `porter gobgp`, driven over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import structlog

from porter.bgp.backends.gobgp.client import dismiss
from porter.bgp.backends.gobgp.driver import SessionDriver
from porter.bgp.backends.gobgp.places import Place, agreement_file, place_of
from porter.bgp.backends.gobgp.table import held_by
from porter.bgp.configuration import (
    GOBGP_RETRIES,
    InvalidSession,
    PasswordSource,
    check_settings,
    unsupported,
    write_private,
)
from porter.bgp.exclusions import as_before, distinct, listening_apart
from porter.bgp.probing import Lookout
from porter.bgp.publisher import no_passwords
from porter.bgp.rejections import Rejections
from porter.bgp.views import confirmed_of, imports_of, view_of
from porter.events.catalogue import Event
from porter.events.routed import (
    EngineStateChanged,
    FieldsUnsupported,
    OutcomesDropped,
    SessionStateChanged,
)
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.model.reasons import Problem
from porter.ports import Clock, Desired, PeerView

MAX_OUTCOMES = 20_000
DRAIN_TIMEOUT_S = 5.0
NO_ROUTES: Mapping[RouteKey, PathAttributes] = MappingProxyType({})

log = structlog.get_logger("porter.bgp")


class GoBgpPublisher:
    """`porter.ports.Publisher` with GoBGP as its engine.

    It names the daemons that it wants in `directory`; the keeper (`porter.bgp.backends.gobgp.keeper`) starts them.
    """

    def __init__(
        self, *, speaker: str, directory: Path, clock: Clock, passwords: PasswordSource = no_passwords
    ) -> None:
        self._speaker = speaker
        self._directory = directory.absolute()
        self._clock = clock
        self._passwords = passwords
        self._drivers: dict[PeerKey, SessionDriver] = {}
        self._tasks: dict[PeerKey, asyncio.Task[None]] = {}
        self._running = False
        self._changed = asyncio.Event()
        self._configuring = asyncio.Lock()
        self._rejections = Rejections()
        self._lookout = Lookout()
        self._unsupported: dict[PeerKey, tuple[Problem, ...]] = {}
        self._uninformed: set[PeerKey] = set()
        self._outcomes: list[Event] = []
        self._dropped = 0
        self._told = asyncio.Event()
        self._moved = asyncio.Event()
        self._engine_up = False
        self._engine_told: EngineStateChanged | None = None
        self._leaving: frozenset[PeerKey] = frozenset()
        """Their routes are being withdrawn, whatever is desired."""
        self._origin_ms = clock.wall_ms() - int(clock.monotonic_s() * 1000)

    # --------------------------------------------------------------------------------------------------- the port

    async def run(self) -> None:
        """Drive the daemons until cancelled; they, their sessions and their routes stay as they are afterwards."""
        self._running = True
        for driver in self._drivers.values():
            self._begin(driver)
        try:
            while True:
                self._changed.clear()
                waiting = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait([waiting, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                for task in self._tasks.values():
                    if task.done() and not task.cancelled():
                        # It never ends by itself: what it raised is a defect.
                        task.result()
        finally:
            self._running = False
            self._lookout.cancel()
            tasks = list(self._tasks.values())
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        """Set the whole list of sessions; one whose settings did not change is not touched.

        A session that is refused is told as `PeerRejected`, and so is the end of that. It is left out; one that there
        has been stays as it was. One that changed gets a daemon of its own in place of the former, which breaks off
        without a word, so that the peer keeps its routes meanwhile. One that is another peer's by now goes on.
        """
        async with self._configuring:
            self._rejections.begin()
            accepted = {settings.peer: settings for settings in self._accepted(sessions)}
            self._tell(self._rejections.news())
            self._tell_unsupported(accepted.values())
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            places = {peer: self._place(settings) for peer, settings in accepted.items()}
            owners = {place: peer for peer, place in places.items()}
            passed = [driver for peer, driver in self._drivers.items() if owners.get(driver.place, peer) != peer]
            going = [driver for peer, driver in self._drivers.items() if peer not in accepted and driver not in passed]
            self._leaving = frozenset(driver.settings.peer for driver in going)
            await self._remove(going)
            self._leaving = frozenset()
            for driver in passed:
                await self._pass_on(driver, owners[driver.place])
            for peer, settings in accepted.items():
                await self._set(settings, places[peer], passed)
            for driver in passed:
                if driver.settings.peer not in accepted:
                    agreement_file(self._directory, driver.settings.peer).unlink(missing_ok=True)
            self._forget_others()
            self._changed.set()
            self._flush()

    def desire(self, desired: Desired) -> None:
        """Set a peer's desired Adj-RIB-Out; returns at once."""
        driver = self._drivers.get(desired.peer)
        if driver is not None and desired.peer not in self._leaving:
            driver.desire(desired, informed=desired.peer not in self._uninformed)

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        """For every session what it will agree on: GoBGP must hold the routes before a session comes up."""
        return {peer: driver.presumed() for peer, driver in self._drivers.items()}

    async def outcomes(self) -> Sequence[Event]:
        """Wait for outcomes, return and forget them, oldest first."""
        await self._told.wait()
        self._told.clear()
        outcomes, self._outcomes = self._outcomes, []
        if self._dropped:
            outcomes.append(OutcomesDropped(self._dropped))
            self._dropped = 0
        self._uninformed.clear()
        return outcomes

    def peers(self) -> Mapping[PeerKey, PeerView]:
        """The present state of every configured peer."""
        return {peer: view_of(driver.session, self._origin_ms) for peer, driver in self._drivers.items()}

    def confirmed(self, peer: PeerKey) -> Mapping[RouteKey, PathAttributes]:
        """The routes whose sending was confirmed in the present session, with their attributes as desired."""
        driver = self._drivers.get(peer)
        if driver is None:
            return NO_ROUTES
        return confirmed_of(driver.session)

    def standing(self) -> Sequence[Event]:
        """What still holds of what was told, beside the sessions' states."""
        fields = [FieldsUnsupported(peer, problems) for peer, problems in sorted(self._unsupported.items()) if problems]
        engine = [] if self._engine_told is None else [self._engine_told]
        imports = imports_of(driver.session for driver in self._drivers.values())
        return [*engine, *self._rejections.standing(), *fields, *imports]

    # ------------------------------------------------------------------------------------------------------- beside it

    def cut(self, peer: PeerKey, reason: str, age_s: float = 0.0) -> None:
        """End a peer's session; the next daemon tries for the next one.

        While its daemon is out of reach this waits. `age_s` is how long ago the cause came: a session that is younger
        stays.
        """
        if (driver := self._drivers.get(peer)) is not None:
            driver.cut(reason, self._clock.monotonic_s() - age_s)
            self._flush()

    async def held(self) -> Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]:
        """Every route that the daemons hold, by peer, read from them now.

        Raises:
            TimeoutError: one does not answer.
        """
        return {peer: await held_by(driver.place, driver.settings) for peer, driver in list(self._drivers.items())}

    # ----------------------------------------------------------------------------------------------------- configuring

    def _accepted(self, sessions: Sequence[SessionSettings]) -> list[SessionSettings]:
        """The sessions that GoBGP can honour; of two that exclude each other, the first given stays."""
        candidates = distinct(sessions, self._rejections)
        usable = []
        for settings in candidates:
            one = settings if self._check(settings) else self._former(settings, candidates)
            if one is not None:
                usable.append(one)
        return listening_apart(usable, self._rejections)

    def _check(self, settings: SessionSettings) -> bool:
        try:
            check_settings(settings, self._password(settings))
        except InvalidSession as error:
            self._rejections.reject(settings.peer, error.field, str(error))
            return False
        return True

    def _former(self, settings: SessionSettings, sessions: Sequence[SessionSettings]) -> SessionSettings | None:
        driver = self._drivers.get(settings.peer)
        return as_before(None if driver is None else driver.settings, settings, sessions)

    def _password(self, settings: SessionSettings) -> str | None:
        return self._passwords(settings.password_source) if settings.password_source else None

    def _tell_unsupported(self, sessions: Iterable[SessionSettings]) -> None:
        found = {settings.peer: unsupported(settings, GOBGP_RETRIES) for settings in sessions}
        changed = {peer: problems for peer, problems in found.items() if problems != self._unsupported.get(peer, ())}
        self._tell([FieldsUnsupported(peer, problems) for peer, problems in changed.items()])
        self._unsupported = found

    def _place(self, settings: SessionSettings) -> Place:
        return place_of(self._directory, settings, self._password(settings))

    async def _set(self, settings: SessionSettings, place: Place, passed: Sequence[SessionDriver]) -> None:
        """Set one session; `passed` had sessions that go on as other peers'."""
        former = self._drivers.get(settings.peer)
        if former is not None and former.place == place:
            former.take(settings)
            return
        driver = SessionDriver(settings, self._password(settings), place, self._clock.monotonic_s, self._flush)
        if former is not None:
            await self._end(former)
            if former.session.session_state == "Established":
                self._tell([SessionStateChanged(settings.peer, "Idle", "its settings changed")])
            driver.session.flaps = former.session.flaps
            driver.inherit(former.table.held)
        for one in passed:
            if one.place == place:
                driver.agreement.inherit(one.agreement)
            if one.settings.peer == settings.peer:
                former = one
        if former is not None and former.session.desired is not None:
            driver.session.desire(former.session.desired)
        self._drivers[settings.peer] = driver
        write_private(place.wanted, f"{settings.peer}\n")
        if self._running:
            self._begin(driver)

    def _begin(self, driver: SessionDriver) -> None:
        peer = driver.settings.peer
        if peer not in self._tasks:
            self._tasks[peer] = asyncio.create_task(driver.run(), name=f"session with {peer}")

    async def _stop(self, peer: PeerKey) -> None:
        task = self._tasks.pop(peer, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pass_on(self, driver: SessionDriver, heir: PeerKey) -> None:
        """Leave a daemon as it is: its session is another peer's by now, whose driver will take stock of it."""
        peer = driver.settings.peer
        await self._stop(peer)
        self._drivers.pop(peer)
        self._tell(_taken(driver))
        if driver.session.session_state == "Established":
            self._tell([SessionStateChanged(peer, "Idle", f"BgpPeer {heir} has its session")])

    async def _end(self, driver: SessionDriver) -> None:
        await self._stop(driver.settings.peer)
        self._drivers.pop(driver.settings.peer)
        self._tell(_taken(driver))
        driver.place.wanted.unlink(missing_ok=True)

    async def _remove(self, going: Sequence[SessionDriver]) -> None:
        """Withdraw everything from the peers that go, and end their sessions."""
        draining = [driver for driver in going if driver.session.session_state == "Established"]
        for driver in draining:
            driver.desire(
                Desired(driver.settings.peer, NO_ROUTES, driver.session.position, certain=True), informed=True
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while any(driver.session.rib.wire for driver in draining):
                    self._moved.clear()
                    await self._moved.wait()
        for driver in going:
            was_up = driver.session.session_state == "Established"
            agreement_file(self._directory, driver.settings.peer).unlink(missing_ok=True)
            await self._stop(driver.settings.peer)
            await dismiss(driver.place.socket, driver.settings.peer_address)
            await self._end(driver)
            if was_up:
                self._tell([SessionStateChanged(driver.settings.peer, "Idle", "the peer was removed")])

    def _forget_others(self) -> None:
        """Have those daemons ended that an earlier speaker wanted and nobody wants any more."""
        wanted = {driver.place.wanted for driver in self._drivers.values()}
        for file in self._directory.glob("*.wanted"):
            if file not in wanted:
                file.unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------------------------- telling

    def _flush(self) -> None:
        """Hand over what came of it."""
        self._moved.set()
        events: list[Event] = []
        if self._drivers:
            away = [peer for peer, driver in sorted(self._drivers.items()) if driver.missing]
            present = any(driver.reached for driver in self._drivers.values())
            if (away and self._engine_up) or (not away and present and not self._engine_up):
                self._engine_up = not away
                reason = f"no gobgpd for {', '.join(away)}" if away else "every session has its gobgpd"
                self._engine_told = EngineStateChanged(self._speaker, self._engine_up, reason)
                events.append(self._engine_told)
        for driver in self._drivers.values():
            events += _taken(driver)
        self._tell(events)
        self._look()

    def _look(self) -> None:
        """Have somebody look at a router of whose silence GoBGP does not tell the cause."""
        if self._running:
            now_s = self._clock.monotonic_s()
            puzzling = (one.session for one in self._drivers.values() if one.troubles.puzzling(now_s))
            self._lookout.watch(puzzling, now_s)

    def _tell(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self._uninformed |= {
            PeerKey(event.peer)
            for event in events
            if isinstance(event, SessionStateChanged) and event.state == "Established"
        }
        room = max(0, MAX_OUTCOMES - len(self._outcomes))
        self._outcomes += events[:room]
        self._dropped += len(events) - len(events[:room])
        self._told.set()


def _taken(driver: SessionDriver) -> list[Event]:
    outcomes, driver.session.outcomes = driver.session.outcomes, []
    return outcomes
