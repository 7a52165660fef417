"""The speaker's side of BIRD: writes its configuration, has it taken, and asks for the sessions' states.

The states are polled. BIRD's own threads keep the sessions, so that a speaker that is late sees a path's end late, and
never sees one that did not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import structlog

from porter.bgp.bfd.configuration import FIELD, differing, render, unwatched, watched
from porter.bgp.bfd.control import (
    CONFIGURE,
    SHOW_SESSIONS,
    SHOW_STATUS,
    Reply,
    Status,
    UnknownReply,
    read_reply,
    read_sessions,
    read_status,
)
from porter.bgp.bfd.daemon import ProgramMissing, validate
from porter.bgp.bfd.memory import PathMemory
from porter.bgp.bfd.sessions import BfdSessions, Seen
from porter.bgp.bfd.sessions import Path as WatchedPath
from porter.files import write_atomically
from porter.model.bgp import PeerKey, SessionSettings
from porter.model.reasons import Problem, Reason
from porter.ports import Clock

POLL_S = 0.1
"""How late the speaker may learn of a state: a third of the shortest usual interval between packets."""
RECONNECT_S = 0.2
ANSWER_TIMEOUT_S = 3.0
"""BIRD answers within a millisecond; after this it counts as gone."""
RETRY_S = 5.0
"""So long after it BIRD is asked again to take a configuration that it refused, or does not show."""
READ_BYTES = 65536
NO_STATUS = Status("", "")

log = structlog.get_logger("porter.bfd")


class BfdWatch:
    """Keeps BIRD's sessions those that are wanted. `changed` is set when `sessions` has something new."""

    def __init__(self, speaker: str, configuration: Path, control: Path, clock: Clock) -> None:
        """Args:
        speaker: the speaker's name, as outcomes tell it.
        configuration: the file that this writes for BIRD; there is one only while a peer wants BFD.
        control: BIRD's control socket.
        """
        self.sessions = BfdSessions(speaker)
        self.changed = asyncio.Event()
        self._configuration = configuration
        self._control = control
        self._clock = clock
        self._wanted: tuple[SessionSettings, ...] = ()
        self._stale = False
        """Whether BIRD may run on another configuration than the present one."""
        self._memory = PathMemory(configuration.with_name(f"{configuration.stem}-up.json"))
        self._daemon_seen = False
        self._lacking_until_s = float("inf")
        """When BIRD, which lacks sessions, is told its configuration again."""

    async def configure(self, sessions: Sequence[SessionSettings]) -> dict[PeerKey, tuple[Problem, ...]]:
        """Set the sessions that may ask for BFD; return what each peer does not get as it asked."""
        wanted = watched(sessions, {WatchedPath.of(settings) for settings in self._wanted})
        problems = {
            settings.peer: differing(settings, wanted) if settings in wanted else unwatched(settings, wanted)
            for settings in sessions
            if settings.wants_bfd
        }
        complaint = await self._write(wanted)
        if complaint:
            # BIRD stays as it is, and goes on to watch what it watched.
            former = {WatchedPath.of(settings) for settings in self._wanted}
            told = (Problem(Reason.FIELD_UNSUPPORTED, FIELD, f"{FIELD} does not count as written: {complaint}"),)
            problems = dict.fromkeys((settings.peer for settings in sessions if settings.wants_bfd), told)
            wanted = tuple(settings for settings in wanted if WatchedPath.of(settings) in former)
        self._wanted = wanted
        self.sessions.want(wanted, self._clock.monotonic_s())
        self.changed.set()
        return problems

    async def _write(self, wanted: tuple[SessionSettings, ...]) -> str:
        """Replace the file by one that BIRD can read; return why that cannot be."""
        text = render(wanted)
        if not wanted:
            if self._configuration.exists():
                # One that still runs is told of the empty list; without a file, none is started.
                await asyncio.to_thread(write_atomically, self._configuration, text.encode("ascii"), durable=False)
                self._stale = True
            return ""
        if self._configuration.exists() and self._configuration.read_text() == text:
            return ""
        candidate = self._configuration.with_name(f".{self._configuration.name}.candidate")
        candidate.write_text(text)
        try:
            complaint = await validate(candidate)
        except ProgramMissing as error:
            return str(error)
        finally:
            candidate.unlink(missing_ok=True)
        if complaint:
            log.error("BIRD refuses the configuration for BFD", complaint=complaint)
            return f"BIRD refuses its configuration ({complaint}); correct spec.conf and spec.transport"
        await asyncio.to_thread(write_atomically, self._configuration, text.encode("ascii"), durable=True)
        self._stale = True
        return ""

    async def run(self) -> None:
        """Watch until cancelled; BIRD and its sessions stay as they are afterwards."""
        while True:
            await asyncio.sleep(RECONNECT_S)
            if not self._wanted and not self._stale:
                continue
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._control))
            except OSError:
                self._lost("the program that runs BFD is not there; see that it runs beside the speaker")
                self._forget_file()
                continue
            self._stale = self._daemon_seen = True
            try:
                await self._converse(_Line(reader, writer))
            except (OSError, EOFError, UnknownReply, TimeoutError) as error:
                words = str(error) or "it does not answer"
                log.warning("BIRD is out of reach; no session is ended for that", reason=words)
                self._lost(f"the program that runs BFD is out of reach: {words}")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _converse(self, line: _Line) -> None:
        await line.reply()
        boot = read_status((await line.ask(SHOW_STATUS)).lines).boot
        self.sessions.remember(self._memory.recall(boot))
        while True:
            if self._stale:
                await self._reconfigure(line)
            if not self._wanted:
                # A path that is wanted again later begins anew in BIRD.
                self._memory.keep(boot, ())
                return
            reply = await line.ask(SHOW_SESSIONS)
            states = {} if reply.failed else read_sessions(reply.lines)
            status = NO_STATUS
            if self.sessions.failing(states):
                status = read_status((await line.ask(SHOW_STATUS)).lines)
            if self._stale:
                # Asked before other sessions were wanted: it may speak of one that is not the same any more.
                continue
            self._take(states, status)
            self._memory.keep(boot, self.sessions.up)
            await asyncio.sleep(POLL_S)

    async def _reconfigure(self, line: _Line) -> None:
        self._stale = False
        reply = await line.ask(CONFIGURE)
        if reply.failed:
            log.error("BIRD did not take its configuration", answer=" ".join(reply.lines))
        self._forget_file()

    def _forget_file(self) -> None:
        """Without peers that want BFD there is no file, so that nobody starts BIRD."""
        if not self._wanted:
            self._stale = False
            self._configuration.unlink(missing_ok=True)

    def _take(self, states: dict[str, Seen], status: Status) -> None:
        now_s = self._clock.monotonic_s()
        if self.sessions.addresses <= states.keys():
            self._lacking_until_s = float("inf")
        elif now_s >= self._lacking_until_s:
            log.warning("BIRD lacks sessions; it is told its configuration again")
            self._lacking_until_s, self._stale = float("inf"), True
        else:
            self._lacking_until_s = min(self._lacking_until_s, now_s + RETRY_S)
        self.sessions.seen(states, now_s, status.age_s)
        if self.sessions.outcomes:
            self.changed.set()

    def _lost(self, reason: str) -> None:
        self.sessions.lost(reason, self._clock.monotonic_s())
        if self._daemon_seen:
            # What was up counts no more, not even for the next speaker.
            self._memory.keep("", ())
        if self.sessions.outcomes:
            self.changed.set()


class _Line:
    """One connection to BIRD: a question, then its reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = b""

    async def ask(self, command: str) -> Reply:
        """Ask, and wait for the reply.

        Raises:
            OSError, EOFError: the connection ended.
            TimeoutError: no reply came in time.
            UnknownReply: it was none.
        """
        self._writer.write(f"{command}\n".encode("ascii"))
        return await self.reply()

    async def reply(self) -> Reply:
        """Wait for the next reply, or the greeting."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                found = read_reply(self._received)
                if found is not None:
                    reply, self._received = found
                    return reply
                chunk = await self._reader.read(READ_BYTES)
                if not chunk:
                    raise EOFError("it closed the connection")
                self._received += chunk
