"""A baseline stands for its prefix in every release that can read it."""

from __future__ import annotations

import zlib

import msgpack
import pytest

from porter.events import decided, observed
from porter.model.reasons import Problem, Reason
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service

EMPTY_DIGEST = "57d95e8a808593cceedc2720f32f83378c8d48b0954db39099ff37b83d4b0169"
FULL_DIGEST = "7b9a132b20e7ebd8528c5020eeaf80e00568eb090e9d1ad9073cbcc723e97ea3"


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
        decided.HeadWitnessed("s", 1, 4, "ab"),
        service(**DUAL),
        service("local", traffic_policy="Local", held=("203.0.113.1",)),
        service("third", created_ms=2),
        endpoints("web", "n1"),
        endpoints("local", "n1", "n2"),
    )
    story.settles()
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
    assert baseline.REDUCER_VERSION == 2
    assert baseline.digest(baseline.encode(ClusterState.empty())) == EMPTY_DIGEST
    assert baseline.digest(baseline.encode(full().state)) == FULL_DIGEST


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
        (zlib.compress(msgpack.packb([2, [], [], [], []])), "damaged"),
    ],
)
def test_what_is_no_baseline_is_refused_with_a_reason(content: bytes, words: str) -> None:
    with pytest.raises(baseline.UnreadableBaseline, match=words):
        baseline.decode(content)
