"""Which types and versions this build reads, and which of them may be written now.

A reader stops at what it does not know, so that nobody may write what a live reader does not read. What a journal's
readers agreed upon stands in it as `SchemaActivated`; `activated` is the fold of these.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.events import codec
from porter.events.catalogue import RELEASED
from porter.events.downcast import reaches

Schema = Mapping[str, int]
"""Event types, each with its highest version; 0 is the same as not being there."""


def reads() -> dict[str, int]:
    """What this build reads: every version of each type up to the one named."""
    return {name: shape.version for name, shape in codec.SHAPES.items()}


def agreed(activated: Schema, name: str) -> int:
    """The version of a type that all readers are known to read: released, or activated; 0: none."""
    return max(RELEASED.get(name, 0), activated.get(name, 0))


def version_to_write(activated: Schema, name: str) -> int:
    """The version that events of a type are written in now; 0: they are held back.

    It is the present one where that is activated or released, else the newest such one that a downcaster leads to.
    """
    shape = codec.SHAPES.get(name)
    if shape is None:
        return 0
    version = min(shape.version, agreed(activated, name))
    return version if reaches(name, shape.version, version) else 0


def pending(activated: Schema) -> dict[str, int]:
    """What this build could write and does not yet."""
    return {name: version for name, version in reads().items() if version > agreed(activated, name)}


def read_by_all(wanted: Schema, readers: Mapping[str, Schema]) -> dict[str, int]:
    """Of what is wanted, the versions that every one of the readers reads."""
    common = {name: min((one.get(name, 0) for one in readers.values()), default=0) for name in wanted}
    return {name: min(wanted[name], version) for name, version in common.items() if version}
