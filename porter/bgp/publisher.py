"""The publisher behind one speaker: sessions on one side, ExaBGP's relay on the other, one event loop between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
import structlog

from porter.bgp.backends.asking import Hello
from porter.bgp.backends.exabgp import Dialogue
from porter.bgp.configuration import (
    EXABGP_RETRIES,
    InvalidSession,
    PasswordSource,
    check_settings,
    digest_of,
    unsupported,
)
from porter.bgp.configuration_file import ConfigurationFile
from porter.bgp.connection import RelayConnection, listen
from porter.bgp.departures import endings, going, is_predecessor, own, predecessors, predecessors_of, succeeded
from porter.bgp.examination import Examination
from porter.bgp.exclusions import as_before, distinct
from porter.bgp.probing import Lookout
from porter.bgp.rejections import Rejections
from porter.bgp.session import PeerSession
from porter.bgp.views import confirmed_of, imports_of, view_of
from porter.events.catalogue import Event
from porter.events.routed import EngineStateChanged, FieldsUnsupported, OutcomesDropped, SessionStateChanged
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.model.reasons import Problem
from porter.ports import Clock, Desired, PeerView

TICK_S = 0.1
MAX_OUTCOMES = 20_000
HELLO = b"hello "
DRAIN_TIMEOUT_S = 5.0
HELD_TIMEOUT_S = 10.0
NO_ROUTES: Mapping[RouteKey, PathAttributes] = MappingProxyType({})

log = structlog.get_logger("porter.bgp")


def no_passwords(source: str) -> str | None:
    """The password source of a speaker without any."""
    del source
    return None


class ExaBgpPublisher:
    """`porter.ports.Publisher` with ExaBGP as its engine.

    It listens on `socket_path` for the relay that ExaBGP runs, and writes `configuration_path` for ExaBGP. Starting
    ExaBGP, and starting it again when it ends, is the supervisor's work (`porter.bgp.engine`).
    """

    def __init__(
        self,
        *,
        speaker: str,
        socket_path: Path,
        configuration_path: Path,
        clock: Clock,
        passwords: PasswordSource = no_passwords,
        restart_engine: Callable[[str], None] | None = None,
    ) -> None:
        """Args:
        speaker: the speaker's name, as outcomes tell it.
        passwords: resolves `SessionSettings.password_source`.
        restart_engine: called with the reason when ExaBGP must be started anew, because it would not load its
            configuration. By default it is told to shut down (silently, under graceful restart), and the supervisor
            starts the next one.
        """
        self._dialogue = Dialogue(speaker)
        self._socket_path = socket_path
        self._clock = clock
        self._restart_engine = restart_engine or self._shut_engine_down
        self._connection: RelayConnection | None = None
        self._outcomes: list[Event] = []
        self._dropped = 0
        self._told = asyncio.Event()
        self._moved = asyncio.Event()
        self._uninformed: set[PeerKey] = set()
        self._flush_scheduled = False
        self._rejections = Rejections()
        self._lookout = Lookout()
        self._unsupported: dict[PeerKey, tuple[Problem, ...]] = {}
        self._configuring = asyncio.Lock()
        self._file = ConfigurationFile(configuration_path, socket_path, passwords)
        self._examination = Examination(self._file.complaint, self._file.fragment)
        self._engine_told: EngineStateChanged | None = None
        self._leaving: frozenset[PeerKey] = frozenset()
        """Their routes are being withdrawn, whatever is desired."""
        self._wanted: Sequence[SessionSettings] = ()
        self._succession: asyncio.Task[None] | None = None
        self._origin_ms = clock.wall_ms() - int(clock.monotonic_s() * 1000)

    # --------------------------------------------------------------------------------------------------- the port

    async def run(self) -> None:
        """Serve the relay until cancelled; ExaBGP, its sessions and its routes stay as they are afterwards."""
        server = await listen(self._socket_path, self)
        try:
            while True:
                await asyncio.sleep(TICK_S)
                if self.configured:
                    self._lookout.watch(self._dialogue.sessions.values(), self._now())
                    self._end_predecessors()
                self._flush()
        finally:
            server.close()
            self._lookout.cancel()
            if self._succession is not None:
                self._succession.cancel()
            if self._connection is not None:
                self._connection.abort()

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        """Set the whole list of sessions; one whose settings did not change is not touched.

        A session that is refused is told as `PeerRejected`, and so is the end of that. It is left out; one that there
        has been stays as it was. Returns when the configuration is written and handed over: ExaBGP's taking of it goes
        on in the background.
        """
        async with self._configuring:
            self._rejections.begin()
            usable = self._usable(distinct(sessions, self._rejections))
            accepted = await self._accepted(sorted(usable, key=lambda settings: settings.peer))
            self._tell(self._rejections.news())
            self._tell_unsupported(accepted)
            await self._hand_over(accepted)

    def desire(self, desired: Desired) -> None:
        """Set a peer's desired Adj-RIB-Out; the commands leave at the end of the event loop's present turn."""
        session = self._dialogue.session(desired.peer)
        if session is None or desired.peer in self._leaving:
            return
        session.desire(desired, informed=desired.peer not in self._uninformed)
        for former in predecessors_of(self._dialogue.sessions, desired.peer):
            if former.settings.peer not in self._leaving:
                former.desire(desired)
        self._schedule_flush()

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        """None: what a session must carry is sent behind its beginning, and End-of-RIB behind that."""
        return {}

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
        return {session.settings.peer: view_of(session, self._origin_ms) for session in own(self._dialogue.sessions)}

    def confirmed(self, peer: PeerKey) -> Mapping[RouteKey, PathAttributes]:
        """The routes whose sending was confirmed in the present session, with their attributes as desired."""
        session = self._dialogue.session(peer)
        return NO_ROUTES if session is None else confirmed_of(session)

    def standing(self) -> Sequence[Event]:
        """What still holds of what was told, beside the sessions' states."""
        fields = [FieldsUnsupported(peer, problems) for peer, problems in sorted(self._unsupported.items()) if problems]
        engine = [] if self._engine_told is None else [self._engine_told]
        imports = imports_of(own(self._dialogue.sessions))
        return [*engine, *self._rejections.standing(), *fields, *imports]

    # ------------------------------------------------------------------------------------------------------- beside it

    def cut(self, peer: PeerKey, reason: str, age_s: float = 0.0) -> None:
        """End a peer's session; ExaBGP goes on to try for the next one.

        While ExaBGP is out of reach this waits. `age_s` is how long ago the cause came: a session that is younger
        stays.
        """
        self._dialogue.cut(peer, reason, self._now() - age_s)
        self._flush()

    async def held(self) -> Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]:
        """Every route that ExaBGP holds, by peer, read from ExaBGP now.

        Raises:
            TimeoutError: no ExaBGP is attached, or it does not answer.
        """
        answer: asyncio.Future[Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]] = asyncio.Future()

        def told(ribs: Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]) -> None:
            if not answer.done():
                answer.set_result({peer: rib for peer, rib in ribs.items() if not is_predecessor(peer)})

        if not self._dialogue.ask_routes(told):
            raise TimeoutError("no ExaBGP is attached")
        self._flush()
        return await asyncio.wait_for(answer, HELD_TIMEOUT_S)

    @property
    def engine(self) -> Hello | None:
        """Who is at the other end: the pids of the relay and of ExaBGP; None while none is connected."""
        return self._dialogue.engine

    @property
    def configured(self) -> bool:
        """Whether ExaBGP is known to have loaded the present configuration."""
        return self._dialogue.attached and not self._dialogue.reloading.pending

    def _now(self) -> float:
        return self._clock.monotonic_s()

    # ----------------------------------------------------------------------------------------------------- configuring

    def _usable(self, sessions: Sequence[SessionSettings]) -> list[SessionSettings]:
        """Each session as it is asked for, or as it was where that cannot be, as without its password."""
        usable = []
        for settings in sessions:
            one = settings if self._check(settings) else self._former(settings, sessions)
            if one is not None:
                usable.append(one)
        return usable

    def _check(self, settings: SessionSettings) -> bool:
        try:
            check_settings(settings, self._file.password(settings))
        except InvalidSession as error:
            self._rejections.reject(settings.peer, error.field, str(error))
            return False
        return True

    def _tell_unsupported(self, sessions: Sequence[SessionSettings]) -> None:
        found = {settings.peer: unsupported(settings, EXABGP_RETRIES) for settings in sessions}
        changed = {peer: problems for peer, problems in found.items() if problems != self._unsupported.get(peer, ())}
        self._tell([FieldsUnsupported(peer, problems) for peer, problems in changed.items()])
        self._unsupported = found

    async def _accepted(self, sessions: list[SessionSettings]) -> list[SessionSettings]:
        """What ExaBGP takes of these; a session that it refuses stays as it was, if it was there.

        Where some are refused, it takes a while to find which. What is known to be good does not wait for that.
        """
        self._examination.begin(sessions)
        candidates = [settings for settings in sessions if not self._examination.complaint(settings)]
        known = self._file.text == self._file.render(candidates)
        if not known and (complaint := await self._file.complaint(candidates)):
            log.warning("ExaBGP refuses the configuration; trying the peers apart", complaint=complaint)
            if meanwhile := self._known_good(sessions):
                await self._hand_over(meanwhile)
            await self._examination.split(candidates)
        for settings in sessions:
            if complaint := self._examination.complaint(settings):
                message = f"ExaBGP refuses these settings: {complaint}; correct them"
                self._rejections.reject(settings.peer, "spec", message)
        good = [settings for settings in sessions if not self._examination.complaint(settings)]
        return self._known_good(sessions, good)

    def _known_good(
        self, sessions: Sequence[SessionSettings], good: Sequence[SessionSettings] = ()
    ) -> list[SessionSettings]:
        """Each session that is good, or is in the present configuration, or else as it is in that."""
        loaded, chosen = self._file.text, []
        for settings in sessions:
            for one in (settings, self._former(settings, sessions)):
                if one is not None and (one in good or self._file.fragment(one) in loaded):
                    chosen.append(one)
                    break
        return chosen

    def _former(self, settings: SessionSettings, sessions: Sequence[SessionSettings]) -> SessionSettings | None:
        """The session as it was, if it was."""
        before = next(
            (one.settings for one in self._dialogue.sessions.values() if one.settings.peer == settings.peer), None
        )
        return as_before(before, settings, sessions)

    async def _hand_over(self, sessions: Sequence[SessionSettings]) -> None:
        """Write the configuration, and have ExaBGP take it."""
        self._wanted = sessions
        carried = [(one, one.desired) for one in self._dialogue.sessions.values() if one.desired is not None]
        present = [*sessions, *predecessors(self._dialogue.sessions, sessions, self._now())]
        text = self._file.render(present)
        await self._drain(going(self._dialogue.sessions, present))
        self._tell(list(endings(self._dialogue.sessions, present)))
        self._file.write(text)
        self._dialogue.configure(present, digest_of(text), self._now())
        for session, desired in carried:
            if is_predecessor(session.settings.peer):
                session.desire(desired)
        self._flush()

    def _end_predecessors(self) -> None:
        """End those that are not needed any more, beside everything else."""
        running = self._succession is not None and not self._succession.done()
        if not running and succeeded(self._dialogue.sessions, self._now()):
            self._succession = asyncio.create_task(self._succeed())

    async def _succeed(self) -> None:
        async with self._configuring:
            await self._hand_over(self._wanted)

    async def _drain(self, sessions: Sequence[PeerSession]) -> None:
        """Withdraw everything from the peers that go: under graceful restart they would keep it for minutes."""
        self._leaving = frozenset(session.settings.peer for session in sessions)
        for session in sessions:
            session.desire(Desired(session.settings.peer, NO_ROUTES, session.position, certain=True))
        self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while any(session.rib.wire for session in sessions):
                    self._moved.clear()
                    await self._moved.wait()
        self._leaving = frozenset()

    # -------------------------------------------------------------------------------------------------- the connection

    def received(self, connection: RelayConnection, lines: Sequence[bytes]) -> None:
        """Take lines from a relay; the first of a connection is its hello."""
        now_s = self._now()
        for line in lines:
            if line.startswith(HELLO):
                self._welcome(connection, line, now_s)
            elif connection is self._connection:
                self._dialogue.receive(line.decode("ascii", "replace"), now_s)
        self._flush()

    def _welcome(self, connection: RelayConnection, line: bytes, now_s: float) -> None:
        former, self._connection = self._connection, connection
        if former is not None and former is not connection:
            former.abort()
            self._dialogue.lost("another relay took its place", now_s)
        hello = Hello(**msgspec.json.decode(line[len(HELLO) :]))
        log.info("the relay connected", relay_pid=hello.relay_pid, engine_pid=hello.engine_pid, boot=hello.boot)
        self._dialogue.connected(hello, now_s)

    def connection_lost(self, connection: RelayConnection, reason: str) -> None:
        """A relay is gone: with ExaBGP, or by itself, and then ExaBGP starts another."""
        if connection is self._connection:
            log.warning("the relay is gone", reason=reason)
            self._connection = None
            self._dialogue.lost(f"the connection to ExaBGP's relay ended: {reason}", self._now())
            self._flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write what may be written, and hand over what came of it."""
        self._flush_scheduled = False
        self._moved.set()
        if self._connection is not None:
            self._connection.write(self._dialogue.lines(self._now()))
            if self._dialogue.fault:
                log.error("the connection to ExaBGP's relay is dropped", fault=self._dialogue.fault)
                self._connection.abort()
            if self._dialogue.reloading.exhausted:
                self._dialogue.reloading.interrupted()
                self._restart_engine("ExaBGP would not load its configuration")
        self._tell(self._collect())

    def _collect(self) -> list[Event]:
        collected, self._dialogue.outcomes = self._dialogue.outcomes, []
        self._engine_told = next(
            (event for event in reversed(collected) if isinstance(event, EngineStateChanged)), self._engine_told
        )
        for session in self._dialogue.sessions.values():
            if session.outcomes:
                collected += () if is_predecessor(session.settings.peer) else session.outcomes
                session.outcomes = []
        return collected

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

    def _shut_engine_down(self, reason: str) -> None:
        log.error("ExaBGP is told to end, so that it is started anew", reason=reason)
        if self._connection is not None:
            self._connection.write(["shutdown"])
