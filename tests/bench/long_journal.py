"""A server with the journal of a long life, as a leader keeps it: for the benches that look back."""

from __future__ import annotations

from porter.app.retention.upkeep import BASELINE_INTERVAL_EVENTS, baseline_interval
from porter.events import routed
from porter.events.codec import decode_commit, encode_commit, hash_commit
from porter.events.decided import BaselineRecorded, EpochStarted
from porter.events.envelope import GENESIS_HASH, Commit, Draft
from porter.events.observed import PeerObserved
from porter.journal.limits import SPEAKER_STREAM_ENTRIES
from porter.model.address import Address, Prefix
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.bench.bench_journal import CLUSTER, Server
from tests.bench.journal_history import GENESIS, history

PIPELINED = 500
TIME_MS = 1_700_000_000_000
SERVICES = (2_000, 20_000)
"""What a start takes grows with what lives, and what a fold takes with what happened."""
SERVICE = "team-7/web-7"
PEER = PeerObserved("tor-a", "peer-uid", "1", 1, Address("172.16.2.254"), 64512)


class Stream:
    """A stream that is written without asking anybody: commit by commit, linked."""

    def __init__(self, server: Server, key: str, genesis: str) -> None:
        self._client = server.client()
        self.key = key
        self._genesis = genesis
        self._pipeline = self._client.pipeline(transaction=False)
        self._hash = GENESIS_HASH
        self._waiting = 0
        self.position = 0
        self.baseline = 0
        self._baselines = ""

    def add(self, drafts: list[Draft], time_ms: int) -> Commit:
        """Add one commit."""
        first = self.position + 1
        blob = encode_commit(
            drafts, first_position=first, epoch=1, time_ms=time_ms, writer="w", previous_hash=self._hash
        )
        self.position += len(drafts)
        self._hash = hash_commit(blob)
        if isinstance(drafts[0].payload, BaselineRecorded):
            self.baseline = self.position
            self._baselines += f"1-{self.position} "
        self._pipeline.xadd(self.key, {"e": blob}, id=f"1-{self.position}")
        self._waiting += 1
        if self._waiting >= PIPELINED:
            self._pipeline.execute()
            self._waiting = 0
        return decode_commit(blob)

    def finish(self) -> None:
        """Write the head."""
        self._pipeline.execute()
        head = {"genesis": self._genesis, "epoch": 1, "position": self.position, "hash": self._hash}
        if self.baseline:
            head |= {"baseline": f"1-{self.baseline}", "baselines": self._baselines}
        self._client.hset(f"{self.key}:h", mapping=head)


def load(server: Server, events: int, services: int) -> int:
    """Put the history into the server, with the baselines that a leader would record; the number of events.

    Beside it the streams of two speakers, as long as they are kept, which told of the newest changes.
    """
    stream, state = Stream(server, f"{{porter:{CLUSTER}}}:j", GENESIS), ClusterState.empty()
    speakers = [Stream(server, f"{{porter:{CLUSTER}}}:s:speaker-{number}", f"{number:032x}") for number in range(2)]
    for number, one in enumerate(speakers):
        one.add([Draft(EpochStarted(f"{number:032x}", f"speaker-{number}", 0, ""))], TIME_MS)
        one.add([Draft(routed.SpeakerStarted(f"speaker-{number}", "1", f"172.16.1.{number}", 0))], TIME_MS)
        one.add([Draft(routed.SessionStateChanged(PEER.name, "Established", "", ("IPv4",), ("IPv4",), 90))], TIME_MS)
        one.add([Draft(routed.RibSynced(PEER.name, events, 60_000, "d0" * 32))], TIME_MS)
    told_from = events - SPEAKER_STREAM_ENTRIES
    for number, commit in enumerate(history(events, services=services)):
        batch = [*commit, PEER] if number == 1 else commit
        if stream.position - stream.baseline >= baseline_interval(state, BASELINE_INTERVAL_EVENTS):
            encoded = baseline.encode(state)
            recorded = BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(encoded), encoded)
            state = fold(state, stream.add([Draft(recorded)], TIME_MS + stream.position).events)
        added = stream.add([Draft(event, stream.position, "shop/web") for event in batch], TIME_MS + stream.position)
        state = fold(state, added.events)
        if stream.position > told_from:
            for one in speakers:
                path = routed.Path(Prefix("10.0.0.7/32"), number % 9, Address(f"172.16.0.{1 + number % 9}"))
                told = (routed.RoutesAnnounced if number % 2 else routed.RoutesWithdrawn)(
                    PEER.name, stream.position, (path,)
                )
                one.add([Draft(told)], TIME_MS + stream.position)
    for one in (stream, *speakers):
        one.finish()
    server.client().sadd(f"{{porter:{CLUSTER}}}:speakers", *(one.key for one in speakers))
    return stream.position
