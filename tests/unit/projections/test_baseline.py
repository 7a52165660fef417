"""A baseline stands for its prefix in every release that can read it."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack
import pytest

from porter.events import codec, decided, observed
from porter.model.bgp import NextHop
from porter.model.reasons import Problem, Reason
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service

EMPTY_DIGEST = "f9a5d89e37e66c4c886e19560a5d5285303acdaedf5fdfb4a06eb877200f2bf4"
FULL_DIGEST = "4544d61cc76bb7fc01d1d1e4dd645cc41be142cdabb63280f6b367eb53c6ec68"


def full() -> Story:
    story = Story(
        observed.NamespaceObserved("shop", (("team", "x"),)),
        node(1),
        node(2, ready=False),
        node(3, addresses=("fd00::3",)),
        decided.PathIdentifierAssigned("n3", 1),
        pool("p", "192.0.2.0-192.0.2.1", "2001:db8::-2001:db8::ffff", default=True),
        pool("bad", problems=(Problem(Reason.ADDRESS_INVALID, "spec.address", "no address"),)),
        observed.ConfObserved("default", "c", "1", 1, 64512),
        observed.PeerObserved("r1", "r1", "1", 1, "10.0.0.254", 64513),  # type: ignore[arg-type]
        decided.PositionsLost(3, 9, "cut"),
        decided.SpeakerDrained("s", "ops", "upgrade"),
        decided.SpeakerDrained("t", "ops", "upgrade", 10_000),
        decided.HeadWitnessed("s", 1, 4, "ab"),
        service(**DUAL),
        service("local", traffic_policy="Local", held=("2001:db8:9::1",)),
        service("third", created_ms=2),
        endpoints("web", "n1"),
        endpoints("local", "n1", "n2"),
    )
    story.settles()
    story.says(
        decided.NodeDrained("n1", "n1", "ops", "disk", 10_000),
        decided.NodeDrained("n2", "n2", "ops", "fan", 10_000, force=True),
        decided.NodeDrainElapsed("n2"),
        decided.ServiceDrained("third", "shop", "third", "ops", "move", 10_000),
        decided.WithdrawalHeld(1, "NoReadyEndpoint", ("192.0.2.0/32",), 30, 40, 25, 20, 600_000),  # type: ignore[arg-type]
        decided.WithdrawalHeld(2, "NoEligibleNode", (), 30, 40, 25, 20, 600_000),
        decided.WithdrawalApproved(2, "ops", "planned"),
    )
    story.time_ms += 1000
    story.says(node(1, ready=False), observed.ServiceGone("local", "shop", "local", "ServiceDeleted"))
    return story


def test_a_decoded_state_is_the_encoded_one() -> None:
    state = full().state
    encoded = baseline.encode(state)
    decoded = baseline.decode(encoded)
    assert decoded == state
    assert baseline.encode(decoded) == encoded
    assert dict(decoded.loc_rib.routes) == dict(state.loc_rib.routes)
    assert decoded.inventory.pools["bad"].problems[0].message == "no address"
    refusal = decoded.pools.refusal("third")
    assert refusal is not None
    assert refusal.candidates[0].pool == "p"
    assert decoded != ClusterState.empty()


def test_digests_are_those_of_this_reducer_version() -> None:
    """A digest that changed means: raise `REDUCER_VERSION`, and keep older baselines readable or refold them."""
    assert baseline.REDUCER_VERSION == 5
    assert baseline.digest(baseline.encode(ClusterState.empty())) == EMPTY_DIGEST
    assert baseline.digest(baseline.encode(full().state)) == FULL_DIGEST


def test_a_baseline_of_the_version_before_is_read() -> None:
    """It knows neither the last field of a peer, nor that of a next hop."""
    lengths = {"r1": len(observed.PeerObserved._fields), "n1": len(NextHop._fields)}
    shortened: list[str] = []

    def older(value: object) -> object:
        if not isinstance(value, list):
            return value
        name = value[0] if value and isinstance(value[0], str) else ""
        if lengths.get(name) == len(value):
            shortened.append(name)
            return [older(one) for one in value[:-1]]
        return [older(one) for one in value]

    content = msgpack.unpackb(zlib.decompress(baseline.encode(full().state)), strict_map_key=False)
    written = zlib.compress(msgpack.packb([3, *(older(part) for part in content[1:])]))
    assert set(shortened) == {"r1", "n1"}
    assert baseline.decode(written) == full().state


def test_a_speaker_drained_in_a_baseline_from_before_there_were_delays_has_withdrawn_everything() -> None:
    story = Story(decided.SpeakerDrained("s", "ops", "upgrade"))
    content = msgpack.unpackb(zlib.decompress(baseline.encode(story.state)), strict_map_key=False)
    ((name, row),) = content[1][10]
    assert (name, row[:2]) == ("s", ["ops", "upgrade"])
    content[0], content[1][10] = 4, [[name, row[:3]]]
    assert baseline.decode(zlib.compress(msgpack.packb(content))) == story.state


def test_the_digest_does_not_depend_on_the_compression() -> None:
    encoded = baseline.encode(full().state)
    assert baseline.digest(zlib.compress(zlib.decompress(encoded), 9)) == baseline.digest(encoded)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nonsense", "does not decompress"),
        (baseline.encode(ClusterState.empty())[:-3], "cut off"),
        (zlib.compress(b"\xc1"), "does not decode"),
        (zlib.compress(msgpack.packb([99])), "reducer version 99"),
        (zlib.compress(msgpack.packb([4, [], [], [], [], []])), "damaged"),
    ],
)
def test_what_is_no_baseline_is_refused_with_a_reason(content: bytes, words: str) -> None:
    with pytest.raises(baseline.UnreadableBaseline, match=words):
        baseline.decode(content)


def test_a_state_with_an_activated_schema_has_one_part_more_and_a_number_of_its_own() -> None:
    story = full()
    before = baseline.encode(story.state)
    story.says(decided.SchemaActivated((("NodeGone", 1), ("SchemaActivated", 1))))
    encoded = baseline.encode(story.state)
    decoded = baseline.decode(encoded)
    assert decoded == story.state
    assert decoded.ledger.activated == {"NodeGone": 1, "SchemaActivated": 1}
    assert story.state.fork().ledger.activated == decoded.ledger.activated
    numbers = [msgpack.unpackb(zlib.decompress(one), strict_map_key=False)[0] for one in (before, encoded)]
    assert numbers == [baseline.REDUCER_VERSION, baseline.layout(story.state)]
    assert numbers[0] != numbers[1]


def test_a_release_that_does_not_read_what_is_activated_does_not_start_from_there(monkeypatch: Any) -> None:
    story = full()
    story.says(decided.SchemaActivated((("NodeGone", 1),)))
    encoded = baseline.encode(story.state)
    monkeypatch.delitem(codec.SHAPES, "NodeGone")
    with pytest.raises(baseline.UnreadableBaseline, match="NodeGone version 1 is activated, which this"):
        baseline.decode(encoded)


def test_the_baseline_before_one_is_told_by_its_beginning_alone():
    story = full()
    before = baseline.encode(story.state)
    assert baseline.previous(before) == 0
    at = story.position + 1
    story.says(decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(before), before))
    encoded = baseline.encode(story.state)
    assert baseline.previous(encoded) == at == baseline.decode(encoded).ledger.baseline_position
    for damaged in (b"", encoded[:40], b"x" + encoded, zlib.compress(msgpack.packb([99, []]))):
        with pytest.raises(baseline.UnreadableBaseline):
            baseline.previous(damaged)
