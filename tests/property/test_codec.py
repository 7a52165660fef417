"""Whatever the values, a commit decodes to what was encoded; whatever the bytes, decoding ends in an answer."""

from typing import get_args, get_origin, get_type_hints

from hypothesis import example, given
from hypothesis import strategies as st

from porter.events.catalogue import EVENT_TYPES
from porter.events.codec import CodecError, commit_of, decode_commit, encode_commit
from porter.events.decided import SchemaActivated
from porter.events.envelope import Draft
from porter.events.observed import ServiceGone

PLAIN = {
    str: st.text(max_size=20),
    int: st.integers(min_value=-(2**63), max_value=2**64 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    type(None): st.none(),
}

TAKEN = {
    (SchemaActivated, "types"): st.lists(st.tuples(st.sampled_from(list(EVENT_TYPES)), st.integers(0, 1))).map(tuple)
}
"""What is activated is known to whoever reads on."""


def values_of(kind):
    """A strategy for one field's type."""
    if hasattr(kind, "_fields"):
        return payloads_of(kind)
    if get_origin(kind) is tuple:
        items = get_args(kind)
        if items[-1] is Ellipsis:
            return st.lists(values_of(items[0]), max_size=3).map(tuple)
        return st.tuples(*map(values_of, items))
    if get_args(kind):
        return st.one_of(*map(values_of, get_args(kind)))
    return PLAIN[getattr(kind, "__supertype__", kind)]


def payloads_of(cls):
    hints = get_type_hints(cls)
    return st.builds(
        cls, *(TAKEN[cls, field] if (cls, field) in TAKEN else values_of(hints[field]) for field in cls._fields)
    )


drafts = st.builds(
    Draft,
    st.one_of(*map(payloads_of, EVENT_TYPES.values())),
    st.integers(min_value=0, max_value=2**63),
    st.text(max_size=20),
    st.text(max_size=55),
    st.just(0),
)
headings = st.fixed_dictionaries(
    {
        "first_position": st.integers(min_value=1, max_value=2**62),
        "epoch": st.integers(min_value=1, max_value=2**62),
        "time_ms": st.integers(min_value=0, max_value=2**62),
        "writer": st.text(max_size=20),
    }
)


@given(st.lists(drafts, min_size=1, max_size=6), headings, st.binary(min_size=32, max_size=32))
def test_a_commit_survives_the_round_trip(events, heading, previous_hash):
    blob = encode_commit(events, **heading, previous_hash=previous_hash)
    commit = decode_commit(blob)
    assert commit == commit_of(events, blob, **heading)
    assert [type(envelope.payload) for envelope in commit.events] == [type(draft.payload) for draft in events]
    assert commit.previous_hash == previous_hash


SAMPLE = encode_commit(
    [Draft(ServiceGone("uid", "shop", "web", "deleted"), 3, "c", "t")] * 2,
    first_position=7,
    epoch=2,
    time_ms=1,
    writer="w",
    previous_hash=bytes(32),
)


@given(st.binary(max_size=300))
@example(SAMPLE[:32])
def test_any_bytes_decode_or_are_refused(blob):
    try:
        decode_commit(blob)
    except CodecError as error:
        assert str(error)


@given(st.integers(min_value=0, max_value=len(SAMPLE) - 1), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_refused_or_changes_the_hash(index, flip):
    changed = SAMPLE[:index] + bytes([SAMPLE[index] ^ flip]) + SAMPLE[index + 1 :]
    try:
        commit = decode_commit(changed)
    except CodecError:
        return
    assert commit.hash != decode_commit(SAMPLE).hash


@given(st.integers(min_value=0, max_value=len(SAMPLE) - 1))
def test_a_cut_commit_is_refused(length):
    try:
        decode_commit(SAMPLE[:length])
    except CodecError:
        return
    raise AssertionError("a cut commit was decoded")
