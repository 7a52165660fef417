"""An export with pseudonyms: a new chain over the same events, which names the head and the digest of its source."""

from __future__ import annotations

import zlib
from hashlib import sha256
from io import BytesIO
from typing import cast

import msgpack

from porter.app.incident.pseudonyms import Pseudonyms
from porter.events.catalogue import Event
from porter.events.codec import decode_commit, encode_commit
from porter.events.decided import BaselineRecorded, EpochStarted, HeadSigned, HeadWitnessed
from porter.events.envelope import GENESIS_HASH, Commit, Draft
from porter.events.routed import HeadSeen
from porter.journal.export import ExportJournals
from porter.journal.export_contents import Source
from porter.journal.export_writer import ExportWriter
from porter.journal.limits import Trim
from porter.journal.local import NOTHING_TRIMMED
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

JOURNAL = ""


def redacted(exported: ExportJournals) -> tuple[str, bytes]:
    """The redacted export, and its digest (hex).

    Raises:
        JournalError: a commit does not decode.
        UnreadableBaseline: it begins with a baseline of another release.
    """
    names = Pseudonyms(lambda text: sha256(f"redacted {text}".encode()).hexdigest())
    streams = {one.name: [decode_commit(blob) for _, blob in exported.entries(one.name)] for one in exported.sums}
    names.see((exported.cluster, *streams))
    for one in exported.sums:
        names.see(one.genesis)
        for commit in streams[one.name]:
            _see(names, commit)
    names.settle()
    head = exported.sums[0]
    source = Source(names.of(head.genesis), head.epoch, head.position, head.hash.hex(), exported.digest)
    file = BytesIO()
    writer = ExportWriter(file, names.of(exported.cluster), redacted=True, source=source)
    # The journal names the heads of the speakers' streams, so that theirs are made first, and written behind it.
    made = {name: _Chain(names, None, exported.trimmed(name)) for name in streams if name != JOURNAL}
    blobs = {name: [chain.add(commit) for commit in streams[name]] for name, chain in made.items()}
    witnessed = {names.of(name): chain.hashes for name, chain in made.items()}
    journal = _Chain(names, witnessed, exported.trimmed(JOURNAL))
    blobs[JOURNAL] = [journal.add(commit) for commit in streams[JOURNAL]]
    for one in exported.sums:
        chain = journal if one.name == JOURNAL else made[one.name]
        writer.begin(names.of(one.name), names.of(one.genesis), chain.trimmed)
        writer.add(blobs[one.name])
    return writer.finish(), file.getvalue()


def _see(names: Pseudonyms, commit: Commit) -> None:
    names.see(commit.writer)
    for envelope in commit.events:
        names.see(envelope.correlation)
        names.see(envelope.payload)
        if isinstance(envelope.payload, BaselineRecorded):
            names.see(baseline.content(envelope.payload.state))


class _Chain:
    """One stream made anew: the same events at the same positions, each commit linked to the new one before it."""

    def __init__(self, names: Pseudonyms, witnessed: dict[str, dict[int, str]] | None, trimmed: Trim) -> None:
        self.hashes: dict[int, str] = {}
        self.trimmed = trimmed
        self._names = names
        self._witnessed = witnessed
        """The new hashes of the speakers' streams, for the journal; only the journal is folded into a state."""
        self._previous = GENESIS_HASH
        if trimmed != NOTHING_TRIMMED:
            # What it linked to is not told; a pseudonym of that hash stands for it.
            self._previous = sha256(b"redacted " + trimmed.hash).digest()
            self.trimmed = Trim(trimmed.position, self._previous)
        self._state: ClusterState | None = None

    def add(self, commit: Commit) -> bytes:
        """The commit's new bytes."""
        drafts = []
        for envelope in commit.events:
            payload = self._payload(envelope.payload)
            if self._state is None and self._witnessed is not None and envelope.position == 1:
                self._state = ClusterState.empty()
            if self._state is not None:
                self._state = evolve(self._state, envelope._replace(payload=payload))
            correlation = self._names.of(envelope.correlation)
            drafts.append(Draft(payload, envelope.causation, correlation, envelope.traceparent))
        blob = encode_commit(
            drafts,
            first_position=commit.first_position,
            epoch=commit.epoch,
            time_ms=commit.time_ms,
            writer=self._names.of(commit.writer),
            previous_hash=self._previous,
        )
        self._previous = sha256(blob).digest()
        self.hashes[commit.last_position] = self._previous.hex()
        return blob

    def _payload(self, payload: Event) -> Event:
        if isinstance(payload, BaselineRecorded):
            return self._baseline(payload)
        made = cast("Event", self._names.of(payload))
        if isinstance(payload, HeadSigned):
            # The signature was one over the old chain.
            return payload._replace(hash=self.hashes.get(payload.position, ""), key="", signature="")
        if isinstance(payload, HeadSeen):
            # The journal's new hashes follow from the speakers' new streams, and cannot stand in them, too.
            return payload._replace(hash="")
        if isinstance(made, HeadWitnessed):
            known = (self._witnessed or {}).get(made.stream, {}).get(made.position)
            return made._replace(hash=known) if known is not None else made
        if isinstance(made, EpochStarted) and isinstance(payload, EpochStarted):
            known = self.hashes.get(payload.previous_position)
            return made._replace(previous_hash=known) if known is not None else made
        return made

    def _baseline(self, recorded: BaselineRecorded) -> BaselineRecorded:
        if self._state is None:
            self._state = self._mapped(recorded.state)
        encoded = baseline.encode(self._state)
        return BaselineRecorded(baseline.layout(self._state), baseline.digest(encoded), encoded)

    def _mapped(self, state: bytes) -> ClusterState:
        """A state with pseudonyms; encoded, its maps are in their new order."""
        content = msgpack.packb(self._names.of(baseline.content(state)))
        return baseline.decode(zlib.compress(cast("bytes", content)))
