"""`FileElection`: leadership by a file lock, for processes that share a file system instead of an API server.

A lock ends with its process, so that there is no deadline: a leader that stands still keeps the lock, as a leader that
cannot be deposed must.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path

import structlog

from porter.files import write_atomically
from porter.kube.anchor import decode_anchor, encode_anchor
from porter.kube.leadership import Leadership
from porter.ports import Anchor, AnchorUnavailable, Clock

_log = structlog.get_logger(__name__)

LOCK_FILE = "leader.lock"
ANCHOR_FILE = "anchor.json"
LOCK_POLL_S = 0.2
STAY_AWAY_S = 5.0
ANCHOR_RETRY_S = 1.0


class FileElection:
    """The port `Election` over a lock in `lock_dir` (default: the state directory), the anchor in `state_dir`."""

    def __init__(self, state_dir: Path, clock: Clock, *, lock_dir: Path | None = None) -> None:
        self.state = "not campaigning yet"
        self._clock = clock
        self._lock_path = (lock_dir or state_dir) / LOCK_FILE
        self._anchor_path = state_dir / ANCHOR_FILE
        self._leadership = Leadership()
        self._descriptor: int | None = None
        self._anchor: Anchor | None = None
        self._resigned = ""
        self._held_elsewhere = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Campaign for the lock, write anchors while it is held, and release it when cancelled."""
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self._anchor_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                await self._campaign()
                while not self._resigned:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ANCHOR_RETRY_S if self._anchor else None):
                            await self._wake.wait()
                    self._wake.clear()
                    await self._store_anchor()
                _log.warning("leadership lost", why=self._resigned)
                self._release()
                await asyncio.sleep(STAY_AWAY_S)
        finally:
            await asyncio.shield(self._store_anchor())
            self._release()

    async def elected(self) -> int:
        """Wait until this process leads; return a number that rises with every new holder."""
        return await self._leadership.elected()

    async def deposed(self) -> None:
        """Wait until this process leads no more."""
        await self._leadership.deposed()

    def leads(self) -> bool:
        """Whether this process holds the lock."""
        return self._leadership.held and not self._resigned

    def leader(self) -> str:
        """Who holds the lock; a lock does not tell more of another process."""
        if self.leads():
            return "this process"
        return "another process" if self._held_elsewhere else ""

    def resign(self, why: str) -> None:
        """Give the lock up now, and stay away from it for a while."""
        if self._leadership.held:
            self._resigned = why
            self._wake.set()

    async def read_anchor(self) -> Anchor | None:
        """Read the anchor afresh; None where none was ever written.

        Raises:
            AnchorUnavailable: the file cannot be read, or holds something else.
        """
        try:
            return decode_anchor(await asyncio.to_thread(self._anchor_path.read_text))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AnchorUnavailable(f"{self._anchor_path} cannot be read: {error.strerror}") from error

    def write_anchor(self, anchor: Anchor) -> None:
        """Keep this anchor; it is written at once, the newest one where several wait."""
        self._anchor = anchor
        self._wake.set()

    async def _campaign(self) -> None:
        """Wait for the lock: the kernel offers no waiting that an event loop could cancel, so it is tried in turn."""
        self._resigned = ""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                self._held_elsewhere = True
                self.state = f"standing by: another process holds {self._lock_path}"
                await asyncio.sleep(LOCK_POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        self._anchor = None
        self._held_elsewhere = False
        self._descriptor = descriptor
        transitions = _raised(descriptor)
        self.state = "leading"
        _log.info("leadership gained", lock=str(self._lock_path), transitions=transitions)
        self._leadership.gain(transitions)

    async def _store_anchor(self) -> None:
        anchor, self._anchor = self._anchor, None
        if anchor is None or not self._leadership.held:
            return
        try:
            await asyncio.to_thread(write_atomically, self._anchor_path, encode_anchor(anchor).encode(), durable=True)
        except OSError as error:
            self.state = f"the anchor was not written: {error}; make room or mend the permissions"
            _log.error("anchor not written", why=str(error))
            if self._anchor is None:
                self._anchor = anchor
        else:
            self.state = "leading"

    def _release(self) -> None:
        self._leadership.lose()
        self.state = f"standing by: {self._resigned or 'stopped'}"
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _raised(descriptor: int) -> int:
    """Count one more holder in the lock file; what is no number counts as none."""
    text = os.pread(descriptor, 32, 0).strip()
    transitions = (int(text) if text.isdigit() else 0) + 1
    os.pwrite(descriptor, b"%020d\n" % transitions, 0)
    os.fsync(descriptor)
    return transitions
