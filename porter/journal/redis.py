"""The streams of one cluster on Redis or Valkey."""

from __future__ import annotations

from weakref import WeakSet

from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.examination import ServerFacts, examine
from porter.journal.gate import Finding, check_server
from porter.journal.limits import MAX_STREAM_BYTES, SPEAKER_STREAM_ENTRIES
from porter.journal.link import Link
from porter.journal.names import check_name
from porter.journal.readers import RedisReaders
from porter.journal.redis_head import StreamKeys
from porter.journal.redis_stream import RedisJournal
from porter.ports import Clock


class RedisJournals:
    """The streams of one cluster at one server: its journal, and the outcomes of its speakers.

    `url` is redis://, rediss:// or unix://, with user and password if the server asks for them.
    """

    def __init__(
        self,
        url: str,
        cluster: str,
        *,
        writer: str = "",
        clock: Clock = SYSTEM_CLOCK,
        max_bytes: int = MAX_STREAM_BYTES,
        speaker_entries: int = SPEAKER_STREAM_ENTRIES,
    ) -> None:
        self.url = url
        self._tag = f"{{porter:{check_name(cluster)}}}"
        self._writer = writer
        self._clock = clock
        self._max_bytes = max_bytes
        self._speaker_entries = speaker_entries
        self._link = Link(url)
        self._open: WeakSet[RedisJournal] = WeakSet()

    def journal(self) -> RedisJournal:
        """The cluster's journal; its writer is the leader."""
        return self._stream("j", bound=0)

    def speaker(self, name: str) -> RedisJournal:
        """One speaker's stream of outcomes; its writer is that speaker. The oldest outcomes go by themselves."""
        return self._stream(f"s:{check_name(name)}", bound=self._speaker_entries, registry=self._registry)

    async def speakers(self) -> tuple[str, ...]:
        """The names of all speakers that ever claimed their stream here, sorted.

        Raises:
            JournalUnavailable: the server did not answer.
        """
        prefix = f"{self._tag}:s:"
        members = await self._link.ask("SMEMBERS", self._registry)
        return tuple(sorted(member.decode().removeprefix(prefix) for member in members))

    def readers(self) -> RedisReaders:
        """Where the readers of the journal declare themselves."""
        return RedisReaders(self._link, self._tag, self._registry, self._clock)

    async def check(self, unsafe: frozenset[str] = frozenset()) -> list[Finding]:
        """The start-up gate: see `porter.journal.gate.check_server`."""
        return await check_server(self._link, unsafe)

    async def examine(self) -> ServerFacts:
        """What the server says of itself, and what is unsafe about it.

        Raises:
            JournalError: it does not answer, or refuses the question.
        """
        return await examine(self._link)

    async def close(self) -> None:
        """Close every connection of every stream."""
        for journal in list(self._open):
            await journal.close()
        await self._link.close()

    @property
    def _registry(self) -> str:
        return f"{self._tag}:speakers"

    def _stream(self, name: str, *, bound: int, registry: str = "") -> RedisJournal:
        stream = f"{self._tag}:{name}"
        journal = RedisJournal(
            self.url,
            StreamKeys(stream, f"{stream}:h"),
            writer=self._writer,
            clock=self._clock,
            max_bytes=self._max_bytes,
            bound=bound,
            registry=registry,
        )
        self._open.add(journal)
        return journal
