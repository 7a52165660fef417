"""What an object's owners are told of one change."""

from __future__ import annotations

from typing import NamedTuple


class ObjectEvent(NamedTuple):
    """One change, in a sentence.

    `reason` is a reason code, `action` the type of the journal's event at `position`. UID and position make it one
    of a kind: told twice, it is there once.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    action: str
    reason: str
    message: str
    warning: bool
    position: int
    time_ms: int
