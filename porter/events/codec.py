"""Commits as bytes: the 32 bytes of the previous commit's hash, then one msgpack array.

    [format, first position, epoch, time in ms, writer, [event, ...]]
    event = [type, version, causation, correlation, traceparent, payload array in field order]

What can be derived is not stored: positions count up from the first, the aggregate follows from the payload. The
hash of a commit is the SHA-256 of all of its bytes, so that it covers the link to the commit before.

Replaying a million events is decoding a million events: hence the named tuples are built by `tuple.__new__` after
one check of their length, and only payload types that hold other named tuples pay for restoring those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, cast, get_args, get_origin, get_type_hints

import msgpack

from porter.events.catalogue import EVENT_TYPES, VERSIONS, Event
from porter.events.decided import SchemaActivated
from porter.events.downcast import MissingDowncaster, downcast
from porter.events.envelope import MAX_EVENTS_PER_COMMIT, Commit, Draft, Envelope
from porter.events.upcast import UPCASTERS, MissingUpcaster, Step, upcast

FORMAT = 1
"""The version of the layout above. A reader refuses a higher one."""

HASH_BYTES = 32
MAX_COMMIT_BYTES = 64 * 1024 * 1024
"""A baseline of a very large cluster fits well; what does not is an error of the writer, not a slow server."""


class CodecError(Exception):
    """A commit cannot be encoded or decoded."""


class Unencodable(CodecError):
    """The drafts make no commit: too many, none, too large, or a value that msgpack has no form for."""


class Malformed(CodecError):
    """The bytes are no commit; the message says what was expected, and near which position."""


class UnknownEvent(CodecError):
    """A type or version that this release does not know: a reader stops here, it never skips."""

    def __init__(self, name: str, version: int, position: int, *, known: int | None, verb: str = "holds") -> None:
        self.name, self.version, self.position = name, version, position
        knows = "does not know this type" if known is None else f"knows it up to version {known}"
        super().__init__(
            f"position {position} {verb} {name} version {version}, and this release {knows}; "
            f"read this journal with the release that wrote it, or a newer one: there is no way back behind a "
            f"SchemaActivated"
        )


Restore = Callable[[tuple[Any, ...]], Any]
_new: Any = tuple.__new__


class Shape(NamedTuple):
    """How one event type is built from its payload array. `restore` is None where the array itself will do."""

    version: int
    fields: int
    cls: type[Any]
    restore: Restore | None
    defaults: tuple[Any, ...]
    """The defaults of the last fields."""


def _is_named_tuple(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _restorer_of_field(kind: object) -> Restore | None:
    """What turns one decoded field into its type, or None where the decoded value is right already."""
    if _is_named_tuple(kind):
        return _builder(cast("type[Any]", kind))
    if get_origin(kind) is tuple:
        item, *rest = get_args(kind)
        if rest == [Ellipsis] and (restore_item := _restorer_of_field(item)) is not None:
            return lambda items: tuple([restore_item(one) for one in items]) if items else ()
    return None


def _builder(cls: type[Any]) -> Restore:
    """Build a named tuple that other named tuples hold: missing last fields take their defaults."""
    shape = shape_of(cls, version=0)
    fields, restore = shape.fields, shape.restore

    def build(payload: tuple[Any, ...]) -> Any:
        # A start from a baseline builds tens of thousands of them.
        if len(payload) != fields:
            return _build_slowly(cls.__name__, shape, payload)
        return _new(cls, payload) if restore is None else restore(payload)

    return build


def payload_builder(cls: type[Any]) -> Restore:
    """What builds an event's payload from its array as it stands in a baseline: missing last fields take defaults."""
    return _builder(cls)


def shape_of(cls: type[Any], version: int) -> Shape:
    """Derive the shape of a named tuple from its annotations."""
    hints = get_type_hints(cls)
    restorers = [
        (index, restore)
        for index, name in enumerate(cls._fields)
        if (restore := _restorer_of_field(hints[name])) is not None
    ]
    defaults = tuple(cls._field_defaults[name] for name in cls._fields if name in cls._field_defaults)

    return Shape(version, len(cls._fields), cls, _restorer(cls, restorers), defaults)


def _restorer(cls: type[Any], restorers: list[tuple[int, Restore]]) -> Restore | None:
    """What builds `cls` with the fields at these indices restored; the fields are empty most of the time."""
    if not restorers:
        return None
    if len(restorers) == 1:
        index, restore = restorers[0]

        def restore_one(payload: tuple[Any, ...]) -> Any:
            held = payload[index]
            return _new(cls, (*payload[:index], restore(held), *payload[index + 1 :]) if held else payload)

        return restore_one

    def restore_all(payload: tuple[Any, ...]) -> Any:
        values = list(payload)
        for index, restore in restorers:
            values[index] = restore(values[index])
        return _new(cls, values)

    return restore_all


SHAPES: dict[str, Shape] = {name: shape_of(cls, VERSIONS[name]) for name, cls in EVENT_TYPES.items()}


class _Unreadable(Exception):
    """What a `SchemaActivated` names will come, and this release does not read it."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(name)
        self.name, self.version = name, version


def _activated(payload: tuple[Any, ...]) -> SchemaActivated:
    """A reader stops where it is told that it will not read all, and not where it first does not."""
    event: SchemaActivated = _new(SchemaActivated, payload)
    for name, version in event.types:
        if name not in SHAPES or SHAPES[name].version < version:
            raise _Unreadable(name, version)
    return event


SHAPES["SchemaActivated"] = SHAPES["SchemaActivated"]._replace(restore=_activated)

_UNKNOWN: Shape = Shape(-1, -1, tuple, None, ())
_pack = msgpack.Packer().pack
_unpack = msgpack.unpackb


def encode_commit(
    drafts: Sequence[Draft], *, first_position: int, epoch: int, time_ms: int, writer: str, previous_hash: bytes
) -> bytes:
    """Encode 1 to 128 drafts as one commit; `first_position` is that of the first of them.

    Raises:
        Unencodable: see there.
    """
    if not 1 <= len(drafts) <= MAX_EVENTS_PER_COMMIT:
        raise Unencodable(f"a commit holds 1 to {MAX_EVENTS_PER_COMMIT} events, not {len(drafts)}")
    if len(previous_hash) != HASH_BYTES:
        raise Unencodable(f"a previous hash has {HASH_BYTES} bytes, not {len(previous_hash)}")
    events: list[tuple[Any, ...]] = []
    for payload, causation, correlation, traceparent, version in drafts:
        name = type(payload).__name__
        shape = SHAPES.get(name)
        if shape is None or shape.cls is not type(payload):
            raise Unencodable(f"{name} is not in the catalogue of events; add it there with its version")
        if version in {0, shape.version}:
            events.append((name, shape.version, causation, correlation, traceparent, payload))
        else:
            older = _older(name, shape.version, version, payload)
            events.append((name, version, causation, correlation, traceparent, older))
    try:
        body = _pack((FORMAT, first_position, epoch, time_ms, writer, events))
    except (TypeError, ValueError, OverflowError) as error:
        raise Unencodable(f"an event from position {first_position} on does not encode: {error}") from error
    if len(body) > MAX_COMMIT_BYTES:
        raise Unencodable(f"a commit of {len(body)} bytes is larger than the limit of {MAX_COMMIT_BYTES}")
    return cast("bytes", previous_hash + body)


def _older(name: str, present: int, version: int, payload: Any) -> tuple[Any, ...]:
    if not 0 < version < present:
        raise Unencodable(f"{name} has no version {version}; the present one is {present}")
    try:
        return downcast(name, present, version, tuple(payload))
    except MissingDowncaster as error:
        raise Unencodable(f"{name} has no form of version {version}: {error}") from error


def as_read(payload: Event, version: int) -> Event:
    """An event as its readers get it when it is written in an older version: what that cannot say is gone.

    The writer folds this one, so that its state is that of its readers.

    Raises:
        Unencodable: there is no way back to that version.
    """
    name = type(payload).__name__
    shape = SHAPES[name]
    if version in {0, shape.version}:
        return payload
    return _decode_slowly(name, version, 0, _plain(_older(name, shape.version, version, payload)))


def _plain(value: Any) -> Any:
    """A payload as msgpack gives it back: arrays for named tuples."""
    return tuple(_plain(one) for one in value) if isinstance(value, tuple) else value


def hash_commit(blob: bytes) -> bytes:
    """The hash that the next commit links to."""
    return sha256(blob).digest()


def commit_of(
    drafts: Sequence[Draft], blob: bytes, *, first_position: int, epoch: int, time_ms: int, writer: str
) -> Commit:
    """The commit that `decode_commit(blob)` would return, made from its drafts without decoding."""
    events = tuple(
        Envelope(position, epoch, time_ms, causation, correlation, traceparent, payload)
        for position, (payload, causation, correlation, traceparent, _) in enumerate(drafts, first_position)
    )
    return Commit(epoch, blob[:HASH_BYTES], hash_commit(blob), time_ms, writer, events)


def decode_commit(blob: bytes) -> Commit:
    """Decode one commit.

    Raises:
        UnknownEvent: an event's type or version is newer than this release.
        Malformed: anything else that is not as `encode_commit` writes it.
    """
    (commit,) = decode_commits((blob,))
    return commit


def decode_commits(blobs: Iterable[bytes]) -> list[Commit]:
    """Decode commits one after the other; a few dozen at a time stay in the processor's cache.

    Raises:
        UnknownEvent, Malformed: as `decode_commit`, for the first that fails.
    """
    new, unpack, sha, named = _new, _unpack, sha256, SHAPES.get
    commits: list[Commit] = []
    known: int
    fields: int
    cls: type[Any]
    restore: Restore | None
    event: Any
    for blob in blobs:
        try:
            format_, position, epoch, time_ms, writer, rows = unpack(blob[HASH_BYTES:], use_list=False)
            if format_ != FORMAT or not (type(position) is type(epoch) is type(time_ms) is int):
                _refuse_heading(format_)
            events: list[Envelope] = []
            for name, version, causation, correlation, traceparent, payload in rows:
                known, fields, cls, restore, _ = named(name, _UNKNOWN)
                if version != known or len(payload) != fields or type(payload) is not tuple:
                    event = _decode_slowly(name, version, position, payload)
                elif restore is None:
                    event = new(cls, payload)
                else:
                    event = restore(payload)
                events.append(new(Envelope, (position, epoch, time_ms, causation, correlation, traceparent, event)))
                position += 1
        except CodecError:
            raise
        except _Unreadable as error:
            known_version = SHAPES[error.name].version if error.name in SHAPES else None
            raise UnknownEvent(error.name, error.version, position, known=known_version, verb="activates") from error
        except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
            raise _malformed(blob, error) from error
        if not 1 <= len(events) <= MAX_EVENTS_PER_COMMIT:
            raise Malformed(f"a commit before position {position} holds {len(events)} events")
        if type(writer) is not str:
            _refuse_heading(format_)
        commits.append(new(Commit, (epoch, blob[:HASH_BYTES], sha(blob).digest(), time_ms, writer, tuple(events))))
    return commits


def _refuse_heading(format_: Any) -> NoReturn:
    if format_ != FORMAT:
        raise Malformed(f"format {format_!r} of commits is unknown; this release reads format {FORMAT}")
    raise Malformed("a commit begins with its format, first position, epoch, time and writer")


def _malformed(blob: bytes, error: Exception) -> Malformed:
    if len(blob) <= HASH_BYTES:
        return Malformed(f"{len(blob)} bytes are no commit: the previous hash alone has {HASH_BYTES}")
    return Malformed(f"an entry of {len(blob)} bytes does not decode as a commit: {type(error).__name__}: {error}")


def _decode_slowly(
    name: str,
    version: int,
    position: int,
    payload: Any,
    *,
    shapes: Mapping[str, Shape] = SHAPES,
    steps: Mapping[tuple[str, int], Step] = UPCASTERS,
) -> Event:
    """Build what is not exactly of the present shape: unknown, older, shorter, or damaged."""
    shape = shapes.get(name)
    if type(name) is not str or type(version) is not int or type(payload) is not tuple:
        raise Malformed(f"position {position} is not [type, version, ..., payload array]")
    if shape is None or version > shape.version:
        raise UnknownEvent(name, version, position, known=shape.version if shape else None)
    try:
        payload = upcast(name, version, shape.version, payload, steps)
        return cast("Event", _build_slowly(name, shape, payload))
    except MissingUpcaster as error:
        raise UnknownEvent(name, version, position, known=shape.version) from error
    except Malformed as error:
        raise Malformed(f"position {position}: {error}") from error


def _build_slowly(name: str, shape: Shape, payload: tuple[Any, ...]) -> Any:
    missing = shape.fields - len(payload)
    if missing < 0:
        raise Malformed(f"{name} has {len(payload)} fields where this release knows {shape.fields}")
    if missing > len(shape.defaults):
        raise Malformed(
            f"{name} has {len(payload)} fields; the first {shape.fields - len(shape.defaults)} must be there"
        )
    if missing:
        payload = (*payload, *shape.defaults[len(shape.defaults) - missing :])
    return _new(shape.cls, payload) if shape.restore is None else shape.restore(payload)
