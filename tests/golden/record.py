"""Write the golden sample of every event type and version that has none yet: `python -m tests.golden.record`.

A sample that is there is never written again: it is what some release has put into a journal, and every later release
must read it. `blob` is a whole commit in hexadecimal, `payload` what its one event decodes to today; when a version
rises, the old sample stays, and its `payload` is edited to what the upcasters make of it.
"""

import json
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

from porter.events.catalogue import EVENT_TYPES, VERSIONS
from porter.events.codec import encode_commit
from porter.events.decided import SchemaActivated
from porter.events.envelope import Draft

FOLDER = Path(__file__).parent / "events"


def plain(value):
    """A decoded value as JSON: named tuples by field, so that a wrong type shows."""
    if hasattr(value, "_fields"):
        return {"type": type(value).__name__, **{field: plain(getattr(value, field)) for field in value._fields}}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return value


def sample_value(kind, field):
    """A value of a field's type that differs from every default."""
    if hasattr(kind, "_fields"):
        return sample_payload(kind)
    if get_origin(kind) is tuple:
        items = get_args(kind)
        if items[-1] is Ellipsis:
            return (sample_value(items[0], f"{field}-1"), sample_value(items[0], f"{field}-2"))
        return tuple(sample_value(item, f"{field}-{n}") for n, item in enumerate(items))
    if type(None) in get_args(kind):
        return sample_value(get_args(kind)[0], field)
    plain_values = {bool: True, int: 1000 + len(field), bytes: field.encode(), str: field}
    return plain_values[getattr(kind, "__supertype__", kind)]


def sample_payload(cls):
    """One instance with every field set."""
    return cls(*(sample_value(get_type_hints(cls)[field], field) for field in cls._fields))


TAKEN = {"SchemaActivated": SchemaActivated((("NodeGone", 1), ("NodeObserved", 1)), (("speaker/s1", "0.1.0"),))}
"""Samples of types whose values are not free."""


def path_of(name, version):
    return FOLDER / f"{name}.v{version}.json"


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, cls in EVENT_TYPES.items():
        path = path_of(name, VERSIONS[name])
        if path.exists():
            continue
        payload = TAKEN.get(name) or sample_payload(cls)
        draft = Draft(payload, 41876, "shop/web", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        blob = encode_commit(
            [draft],
            first_position=41877,
            epoch=8,
            time_ms=1700000000000,
            writer="golden",
            previous_hash=bytes(range(32)),
        )
        path.write_text(json.dumps({"blob": blob.hex(), "payload": plain(payload)}, indent=1) + "\n")
        print(f"recorded {path.name}")


if __name__ == "__main__":
    main()
