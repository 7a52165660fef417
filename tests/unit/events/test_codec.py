"""Commits as bytes and back; what is unknown or damaged is named, never guessed."""

from typing import NamedTuple

import msgpack
import pytest

from porter.events import codec, schema
from porter.events.catalogue import EVENT_TYPES
from porter.events.codec import Malformed, Shape, Unencodable, UnknownEvent, commit_of, decode_commit, encode_commit
from porter.events.decided import AddressAllocated, AllocationRefused
from porter.events.downcast import DOWNCASTERS
from porter.events.envelope import GENESIS_HASH, Draft
from porter.events.observed import NodeObserved, ServiceGone, ServiceObserved
from porter.events.routed import Path, RoutesAnnounced
from porter.events.upcast import UPCASTERS
from porter.model.reasons import Candidate, Problem, Reason

HEADING = {"first_position": 41877, "epoch": 8, "time_ms": 1700000000000, "writer": "controller-0"}


def encoded(*payloads):
    return encode_commit([Draft(payload) for payload in payloads], **HEADING, previous_hash=GENESIS_HASH)


def tampered(change):
    """A commit of one ServiceGone whose msgpack array was changed."""
    body = msgpack.unpackb(encoded(ServiceGone("u", "shop", "web", "deleted"))[32:])
    change(body)
    return GENESIS_HASH + msgpack.packb(body)


def test_a_commit_decodes_to_what_was_encoded():
    drafts = [
        Draft(ServiceGone("u", "shop", "web", "deleted"), 12, "shop/web", "00-aa-bb-01"),
        Draft(NodeObserved("n1", "uid", "7", ("192.0.2.1",), True, labels=(("zone", "a"),))),
    ]
    blob = encode_commit(drafts, **HEADING, previous_hash=b"p" * 32)
    commit = decode_commit(blob)
    assert commit == commit_of(drafts, blob, **HEADING)
    assert (commit.first_position, commit.last_position, commit.epoch) == (41877, 41878, 8)
    assert commit.previous_hash == b"p" * 32
    assert commit.hash == codec.hash_commit(blob)
    assert commit.events[0].correlation == "shop/web"
    assert commit.events[1].aggregate == "node/n1"


def test_named_tuples_inside_of_payloads_come_back_as_such():
    candidate = Candidate("lan", Reason.POOL_EXHAUSTED, "no address is free")
    problem = Problem("PoolInvalid", "spec.address", "write a CIDR")
    path = Path("192.0.2.1/32", 7, "10.0.0.1")
    commit = decode_commit(
        encoded(
            AddressAllocated("u", "shop", "web", "192.0.2.1", "lan", "DefaultPool", candidates=(candidate,)),
            AllocationRefused("u", "shop", "web", "NoPool", "make one", (candidate, candidate)),
            ServiceObserved("u", "s", "w", "1", 1, 1, (("TCP", 80),), "Local", ("IPv4",), "x", problems=(problem,)),
            RoutesAnnounced("router", 3, (path, path)),
        )
    )
    payloads = [envelope.payload for envelope in commit.events]
    assert isinstance(payloads[0].candidates[0], Candidate)
    assert payloads[1].candidates[1].pool == "lan"
    assert payloads[2].problems[0].field == "spec.address"
    assert payloads[3].paths == (path, path)
    assert isinstance(payloads[3].paths[1], Path)


def test_a_payload_written_before_a_field_was_added_takes_the_default():
    def older(body):
        body[5][0][0] = "AddressAllocated"
        body[5][0][5] = ["u", "shop", "web", "192.0.2.1", "lan", "DefaultPool"]

    payload = decode_commit(tampered(older)).events[0].payload
    assert payload == AddressAllocated("u", "shop", "web", "192.0.2.1", "lan", "DefaultPool")


class Inner(NamedTuple):
    pool: str
    weight: int = 7


class Outer(NamedTuple):
    inner: tuple[Inner, ...]
    best: Inner


def test_a_nested_value_written_before_a_field_was_added_takes_the_default():
    shape = codec.shape_of(Outer, 1)
    assert shape.restore(((("lan",), ("wan", 9)), ("dmz",))) == Outer((Inner("lan"), Inner("wan", 9)), Inner("dmz"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[5][0][5].append("more"), "position 41877: ServiceGone has 5 fields"),
        (lambda body: body[5][0][5].pop(), "position 41877: ServiceGone has 3 fields"),
        (lambda body: body[5].clear(), "holds 0 events"),
        (lambda body: body[5].extend(body[5] * 128), "holds 129 events"),
        (lambda body: body.__setitem__(0, 2), "format 2"),
        (lambda body: body.__setitem__(1, "x"), "begins with"),
        (lambda body: body.__setitem__(4, 5), "begins with"),
        (lambda body: body.pop(), "does not decode"),
        (lambda body: body.__setitem__(5, 7), "does not decode"),
        (lambda body: body[5][0].pop(), "does not decode"),
        (lambda body: body[5][0].__setitem__(5, "four"), "payload array"),
        (lambda body: body[5][0].__setitem__(0, ["ServiceGone"]), "payload array|does not decode"),
    ],
)
def test_damage_is_named(change, message):
    with pytest.raises(Malformed, match=message):
        decode_commit(tampered(change))


@pytest.mark.parametrize("blob", [b"", b"x" * 31, bytes(32), bytes(33), bytes(32) + b"\xc1", bytes(32) + b"\x93\x01"])
def test_bytes_that_are_no_commit_are_malformed(blob):
    with pytest.raises(Malformed):
        decode_commit(blob)


def test_an_unknown_type_stops_the_reader_with_its_name_and_position():
    with pytest.raises(UnknownEvent, match=r"position 41877 holds MeshJoined version 1.*does not know this type"):
        decode_commit(tampered(lambda body: body[5][0].__setitem__(0, "MeshJoined")))


def test_a_higher_version_stops_the_reader():
    with pytest.raises(UnknownEvent, match=r"ServiceGone version 2.*up to version 1") as stopped:
        decode_commit(tampered(lambda body: body[5][0].__setitem__(1, 2)))
    assert (stopped.value.name, stopped.value.version, stopped.value.position) == ("ServiceGone", 2, 41877)


def test_an_old_version_goes_through_its_upcasters():
    class Moved(NamedTuple):
        name: str
        rack: str
        zone: str = "z"

    steps = {
        ("Moved", 1): lambda payload: (payload[0].lower(),),
        ("Moved", 2): lambda payload: (*payload, "rack-of-" + payload[0]),
    }
    shapes = {"Moved": Shape(3, 3, Moved, None, ("z",))}
    decode = codec._decode_slowly
    assert decode("Moved", 1, 5, ("N1",), shapes=shapes, steps=steps) == Moved("n1", "rack-of-n1", "z")
    assert decode("Moved", 2, 5, ("N1",), shapes=shapes, steps=steps) == Moved("N1", "rack-of-N1", "z")
    with pytest.raises(UnknownEvent, match="position 5"):
        decode("Moved", 1, 5, ("N1",), shapes=shapes, steps={})


@pytest.fixture
def second_version(monkeypatch):
    """NodeObserved as if `cordoned` had come with a version 2 of it."""
    monkeypatch.setitem(codec.SHAPES, "NodeObserved", codec.shape_of(NodeObserved, 2))
    monkeypatch.setitem(UPCASTERS, ("NodeObserved", 1), lambda payload: (*payload, False))
    monkeypatch.setitem(DOWNCASTERS, ("NodeObserved", 2), lambda payload: payload[:-1])


def written(version, payload):
    blob = encode_commit([Draft(payload, version=version)], **HEADING, previous_hash=GENESIS_HASH)
    _, stored_version, *_, stored = msgpack.unpackb(blob[32:], use_list=False)[5][0]
    return stored_version, stored, decode_commit(blob).events[0].payload


CORDONED = NodeObserved("n1", "u", "1", ("10.0.0.1",), True, False, (("zone", "a"),), cordoned=True)


@pytest.mark.usefixtures("second_version")
def test_an_event_is_written_in_an_older_version_for_older_readers():
    version, stored, read = written(1, CORDONED)
    assert (version, stored) == (1, tuple(CORDONED)[:-1])
    assert read == codec.as_read(CORDONED, 1) == CORDONED._replace(cordoned=False)
    assert written(1, read)[:2] == (version, stored)
    assert written(0, CORDONED) == written(2, CORDONED) == (2, tuple(CORDONED), CORDONED)
    assert codec.as_read(CORDONED, 2) is CORDONED


def test_an_event_without_a_way_back_is_not_written_in_an_older_version(monkeypatch):
    monkeypatch.setitem(codec.SHAPES, "NodeObserved", codec.shape_of(NodeObserved, 2))
    with pytest.raises(Unencodable, match="NodeObserved has no form of version 1"):
        written(1, CORDONED)
    assert schema.version_to_write({}, "NodeObserved") == 0
    assert schema.version_to_write({"NodeObserved": 2}, "NodeObserved") == 2


@pytest.mark.usefixtures("second_version")
def test_the_version_to_write_is_the_newest_that_was_agreed_upon():
    assert schema.version_to_write({}, "NodeObserved") == 1
    assert schema.version_to_write({"NodeObserved": 2}, "NodeObserved") == 2
    assert schema.version_to_write({"NodeObserved": 7}, "NodeObserved") == 2
    assert schema.version_to_write({}, "SchemaActivated") == 0
    assert schema.version_to_write({}, "MeshJoined") == 0
    assert schema.pending({}) == {"NodeObserved": 2, "SchemaActivated": 1}
    old, new = dict.fromkeys(EVENT_TYPES, 1), schema.reads()
    assert schema.read_by_all(schema.pending({}), {"a": new, "b": new}) == schema.pending({})
    assert schema.read_by_all(schema.pending({}), {"a": new, "b": old}) == {"NodeObserved": 1, "SchemaActivated": 1}
    assert schema.read_by_all(schema.pending({}), {"a": new, "b": {"NodeObserved": 1}}) == {"NodeObserved": 1}


@pytest.mark.parametrize(
    ("drafts", "message"),
    [
        ([], "1 to 128 events, not 0"),
        ([Draft(ServiceGone("u", "s", "w", "r"))] * 129, "not 129"),
        ([Draft(("no", "event"))], "not in the catalogue"),
        ([Draft(ServiceGone(object(), "s", "w", "r"))], "position 41877"),
        ([Draft(ServiceGone("\ud800", "s", "w", "r"))], "position 41877"),
        ([Draft(ServiceGone(2**64, "s", "w", "r"))], "position 41877"),
    ],
)
def test_what_cannot_be_a_commit_is_refused(drafts, message):
    with pytest.raises(Unencodable, match=message):
        encode_commit(drafts, **HEADING, previous_hash=GENESIS_HASH)


def test_a_refusal_leaves_the_encoder_whole():
    with pytest.raises(Unencodable):
        encoded(ServiceGone(object(), "s", "w", "r"))
    assert decode_commit(encoded(ServiceGone("u", "s", "w", "r"))).events[0].payload.uid == "u"


def test_a_commit_has_a_greatest_size(monkeypatch):
    monkeypatch.setattr(codec, "MAX_COMMIT_BYTES", 1000)
    with pytest.raises(Unencodable, match="larger than the limit of 1000"):
        encoded(ServiceGone("u" * 1000, "s", "w", "r"))


def test_every_type_of_the_catalogue_has_a_shape():
    assert set(codec.SHAPES) == set(EVENT_TYPES)
