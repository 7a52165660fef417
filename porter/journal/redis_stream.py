"""One stream with one writer on Redis or Valkey, appended to by one script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from porter.events.codec import commit_of, encode_commit
from porter.events.decided import BaselineRecorded
from porter.events.envelope import GENESIS_HASH, Checkpoint, Commit, Draft, Head
from porter.journal.chain import check_claim, decode, entry_id, short
from porter.journal.limits import StreamSize, Trim
from porter.journal.link import Argument, Link, LinkLost, Reply
from porter.journal.redis_head import ServerHead, StreamKeys, fetch_head, fetch_identity, id_position
from porter.journal.redis_reader import RedisReader
from porter.journal.scripts import APPEND, CLAIM, TRIM, Script
from porter.ports import (
    Baseline,
    Claim,
    Clock,
    Conflict,
    Corrupt,
    Fenced,
    ForeignJournal,
    Fork,
    JournalError,
    JournalMissing,
    JournalUnavailable,
)

SIZE_CHECK_COMMITS = 256
"""Every so many commits the server measures the stream."""

RESENDS = 2
RESEND_WAIT_S = 0.02
TRIM_STEP_ENTRIES = 10_000
SCAN_ENTRIES = 64


class Attempt(NamedTuple):
    """A commit on its way: the same bytes may be sent again without harm, since they compare and set."""

    drafts: Sequence[Draft]
    commit: Commit
    blob: bytes


class Survey(NamedTuple):
    """What is left of a stream whose head is gone or wrong, for the claim that recovers it."""

    last: Commit | None = None
    trim: Trim | None = None
    baseline: str = ""


class RedisJournal:
    """`porter.ports.Journal` on one stream. With `bound`, only about so many entries are kept."""

    def __init__(
        self,
        url: str,
        keys: StreamKeys,
        *,
        writer: str,
        clock: Clock,
        max_bytes: int,
        bound: int = 0,
        registry: str = "",
    ) -> None:
        self._link = Link(url)
        self._keys = keys
        self._writer = writer
        self._clock = clock
        self._max_bytes = max_bytes
        self._bound = bound
        self._registry = registry
        self._lock = asyncio.Lock()
        self._tail: Head | None = None
        self._pending: Attempt | None = None
        self._unmeasured = 0

    async def head(self) -> Head | None:
        """See `porter.ports.Journal`."""
        return (await fetch_head(self._link, self._keys)).whole(self._keys)

    async def server_identity(self) -> str:
        """See `porter.ports.Journal`."""
        return await fetch_identity(self._link)

    async def claim(self, claim: Claim, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`."""
        async with self._lock:
            self._tail, self._pending = None, None
            survey = Survey()
            previous = claim.head.checkpoint if claim.head else None
            if previous is None:
                survey = await self._survey()
                previous = survey.last.checkpoint if survey.last else None
            if survey.last and survey.last.last_position >= claim.first_position:
                raise Conflict(f"{self._keys.stream} still holds positions up to {survey.last.last_position}")
            if previous is None and claim.first_position > 1 and not claim.recovering:
                raise JournalMissing(f"{self._keys.stream} is missing at the server; claim it for recovery")
            check_claim(claim, drafts, previous.position if previous else 0)
            attempt = self._attempt(
                drafts, claim.first_position, claim.epoch, previous.hash if previous else GENESIS_HASH, time_ms
            )
            if self._registry:
                await self._link.call("SADD", self._registry, self._keys.stream)
            trim = survey.trim
            reply = await self._submit(
                CLAIM,
                (
                    claim.genesis,
                    claim.epoch,
                    entry_id(previous) if previous else "",
                    attempt.commit.previous_hash,
                    int(claim.recovering),
                    claim.first_position,
                    attempt.commit.last_position,
                    attempt.commit.hash,
                    attempt.blob,
                    survey.baseline,
                    trim.position if trim else "",
                    trim.hash if trim else "",
                ),
            )
            if not self._accepted(reply, attempt):
                raise self._claim_refusal(claim, reply)
            self._tail = Head(claim.genesis, claim.epoch, attempt.commit.last_position, attempt.commit.hash)
            return attempt.commit

    async def append(self, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`.

        After JournalUnavailable the same drafts may be appended again: if they did get in, that commit is returned.
        """
        async with self._lock:
            tail, drafts = self._tail, tuple(drafts)
            if tail is None:
                raise Fenced(f"this writer holds no epoch of {self._keys.stream}; claim one before appending")
            attempt = self._pending
            if attempt is None or attempt.drafts != drafts or time_ms not in {0, attempt.commit.time_ms}:
                attempt = self._attempt(drafts, tail.position + 1, tail.epoch, tail.hash, time_ms)
            commit = attempt.commit
            baseline = any(type(draft.payload) is BaselineRecorded for draft in drafts)
            measure = not baseline and not self._bound and self._unmeasured >= SIZE_CHECK_COMMITS
            arguments: tuple[Argument, ...] = (
                tail.genesis,
                tail.epoch,
                tail.position,
                tail.hash,
                commit.last_position,
                commit.hash,
                attempt.blob,
                int(baseline),
                self._bound,
                self._max_bytes if measure else 0,
            )
            self._pending = attempt
            reply = await self._submit(APPEND, arguments)
            self._pending = None
            if not self._accepted(reply, attempt):
                raise self._append_refusal(tail, reply)
            self._unmeasured = 0 if measure else self._unmeasured + 1
            self._tail = Head(tail.genesis, tail.epoch, commit.last_position, commit.hash)
            return commit

    async def read(self, after: Checkpoint, *, follow: bool = False) -> AsyncIterator[Sequence[Commit]]:
        """See `porter.ports.Journal`. Of a bounded stream, BEGINNING is the first entry that is left."""
        reader = RedisReader(Link(self._link.url), self._keys, bounded=bool(self._bound))
        async with aclosing(reader.pages(after, follow=follow)) as pages:
            async for page in pages:
                yield page

    async def blobs(self, after: Checkpoint) -> AsyncIterator[Sequence[bytes]]:
        """See `porter.ports.Journal`."""
        reader = RedisReader(Link(self._link.url), self._keys, bounded=bool(self._bound))
        async with aclosing(reader.pages(after, follow=False)) as pages:
            async for _ in pages:
                yield reader.blobs

    async def newest_baseline(self, at: int = 0) -> Baseline | None:
        """See `porter.ports.Journal`."""
        server = await fetch_head(self._link, self._keys)
        baseline = server.baseline
        if not baseline:
            return None
        if at and id_position(baseline) > at:
            baseline = await self._baseline_near(at, server)
        entries = await self._link.ask("XRANGE", self._keys.stream, baseline, baseline)
        if not entries:
            raise Corrupt(f"the baseline {baseline} of {self._keys.stream} is gone; recover the journal")
        commit = decode(entries[0][1][1])
        for envelope in reversed(commit.events):
            if isinstance(envelope.payload, BaselineRecorded):
                return Baseline(envelope, commit.checkpoint)
        raise Corrupt(f"entry {baseline} of {self._keys.stream} holds no baseline; recover the journal")

    async def _baseline_near(self, at: int, server: ServerHead) -> str:
        """The id of the newest baseline at or before a position; of the oldest that is known, where it is behind it."""
        reply = await self._link.ask("HMGET", self._keys.head, "baselines")
        ids: list[str] = [] if reply[0] is None else reply[0].decode().split()
        trimmed = 0 if server.trim is None else server.trim.position
        kept = [id_ for id_ in ids if id_position(id_) > trimmed] or [server.baseline]
        return max((id_ for id_ in kept if id_position(id_) <= at), key=id_position, default=kept[0])

    async def commit_at(self, position: int) -> Commit | None:
        """See `porter.ports.Journal`. Ids begin with the epoch, so that each epoch is looked into, the newest first."""
        found, upper = None, "+"
        while True:
            last = await self._link.ask("XREVRANGE", self._keys.stream, upper, "-", "COUNT", 1)
            if not last:
                return found
            last_id = last[0][0].decode()
            epoch, _, end = last_id.partition("-")
            if int(end) < position:
                return found
            entries = await self._link.ask("XRANGE", self._keys.stream, f"{epoch}-{position}", last_id, "COUNT", 1)
            found = decode(entries[0][1][1]) if entries else found
            if found is not None and found.first_position <= position:
                return found
            upper = f"({epoch}-0"

    async def trim(self, before: Checkpoint) -> int:
        """See `porter.ports.Journal`."""
        id_ = entry_id(before)
        entries = await self._link.ask("XRANGE", self._keys.stream, id_, id_)
        commit = decode(entries[0][1][1]) if entries else None
        if commit is None or commit.hash != before.hash:
            raise JournalError(
                f"{id_} ({short(before.hash)}) is no commit of {self._keys.stream}; trim before one that is"
            )
        gone = 0
        while True:
            reply = await self._link.run(
                TRIM, self._keys, before.epoch, before.position, TRIM_STEP_ENTRIES, commit.first_position - 1
            )
            if reply[0] not in {b"MORE", b"DONE"}:
                raise JournalError(f"{self._keys.stream} is trimmed only behind a recorded baseline; {id_} is not")
            gone += int(reply[1])
            if reply[0] == b"DONE":
                return gone

    async def size(self) -> StreamSize:
        """How large the stream is at the server; for the alarm, and for deciding when to record a baseline.

        Raises:
            JournalUnavailable: the server did not answer.
        """
        entries, bytes_ = await self._link.ask_all(
            ("XLEN", self._keys.stream), ("MEMORY", "USAGE", self._keys.stream, "SAMPLES", 5)
        )
        return StreamSize(entries, bytes_ or 0, self._max_bytes)

    async def size_bytes(self) -> int:
        """See `porter.ports.Journal`."""
        return (await self.size()).bytes

    async def close(self) -> None:
        """See `porter.ports.Journal`."""
        self._tail = None
        await self._link.close()

    def _attempt(
        self, drafts: Sequence[Draft], first_position: int, epoch: int, previous_hash: bytes, time_ms: int
    ) -> Attempt:
        time_ms, writer = time_ms or self._clock.wall_ms(), self._writer
        blob = encode_commit(
            drafts,
            first_position=first_position,
            epoch=epoch,
            time_ms=time_ms,
            writer=writer,
            previous_hash=previous_hash,
        )
        commit = commit_of(drafts, blob, first_position=first_position, epoch=epoch, time_ms=time_ms, writer=writer)
        return Attempt(drafts, commit, blob)

    async def _submit(self, script: Script, arguments: Sequence[Argument]) -> Reply:
        """Run a compare-and-set script; when its reply is lost, the same bytes are sent again, which tells."""
        try:
            return await self._link.run(script, self._keys, *arguments)
        except LinkLost:
            return await self._submit_again(script, arguments)

    @retry(
        retry=retry_if_exception_type(LinkLost),
        stop=stop_after_attempt(RESENDS),
        wait=wait_fixed(RESEND_WAIT_S),
        reraise=True,
    )
    async def _submit_again(self, script: Script, arguments: Sequence[Argument]) -> Reply:
        return await self._link.run(script, self._keys, *arguments)

    @staticmethod
    def _accepted(reply: Reply, attempt: Attempt) -> bool:
        """Whether the commit is in: just now, or when it was sent before and the reply was lost."""
        return bool(reply == b"OK" or reply[3] == attempt.commit.hash)

    def _append_refusal(self, tail: Head, reply: Reply) -> JournalError:
        why, epoch, position, hash_ = reply[:4]
        expected = f"{tail.epoch}-{tail.position} ({short(tail.hash)})"
        found = f"{epoch.decode()}-{position.decode()} ({short(hash_)})"
        name = self._keys.stream
        if why == b"FULL":
            self._unmeasured = SIZE_CHECK_COMMITS
            return JournalUnavailable(
                f"{name} takes more than {self._max_bytes} bytes of memory; record a baseline and trim it, "
                f"or raise the limit"
            )
        self._tail = None
        if why == b"MISSING":
            return JournalMissing(f"{name} is gone, and this writer had written up to {expected}; recover it")
        if why == b"FENCED":
            return Fenced(f"{name} is at {found}: a newer epoch than this writer's {tail.epoch} was claimed")
        if why == b"CONFLICT":
            return Conflict(f"{name} is at {found}, and this writer expected {expected}; read it again and claim")
        return Fork(f"{name} is at {found}, another history than this writer's {expected}; recover it")

    def _claim_refusal(self, claim: Claim, reply: Reply) -> JournalError:
        why, epoch, position, _, genesis = reply
        name = self._keys.stream
        if why == b"FOREIGN":
            return ForeignJournal(
                f"{name} has genesis {genesis.decode()}, and this cluster's is {claim.genesis}; "
                f"give the right server, or another --cluster name"
            )
        if why == b"MISSING":
            return JournalMissing(f"{name} is missing or incomplete at the server; claim it for recovery")
        return Fenced(
            f"{name} is at {epoch.decode()}-{position.decode()}, and the claim of epoch {claim.epoch} "
            f"was made against another head; read it again"
        )

    async def _survey(self) -> Survey:
        """Look at what is there when the claimant knows no head: usually nothing."""
        server = await fetch_head(self._link, self._keys)
        if not server.last_id:
            return Survey()
        if server.head is not None and server.last_id == entry_id(server.head.checkpoint):
            raise Fenced(f"{self._keys.stream} is at {server.last_id}; read its head before claiming")
        last = decode((await self._link.ask("XREVRANGE", self._keys.stream, "+", "-", "COUNT", 1))[0][1][1])
        first = decode((await self._link.ask("XRANGE", self._keys.stream, "-", "+", "COUNT", 1))[0][1][1])
        whole = first.previous_hash == GENESIS_HASH
        trim = None if whole else Trim(first.first_position - 1, first.previous_hash)
        return Survey(last, trim, await self._find_baseline())

    async def _find_baseline(self) -> str:
        """Search backwards for the newest baseline; only recovery needs this."""
        end = "+"
        while True:
            entries = await self._link.ask("XREVRANGE", self._keys.stream, end, "-", "COUNT", SCAN_ENTRIES)
            for id_, (_, blob) in entries:
                if any(isinstance(envelope.payload, BaselineRecorded) for envelope in decode(blob).events):
                    return str(id_.decode())
            if len(entries) < SCAN_ENTRIES:
                return ""
            end = f"({entries[-1][0].decode()}"
