"""From an old version of an event's payload to the present one, step by step.

A step takes the payload array of one version and returns that of the next. Steps are pure, are never edited once a
release has shipped them, and each has a golden sample of its old version in tests/golden. New fields at the end
with a default need no step: a payload with fewer fields than its type has takes the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Payload = tuple[Any, ...]
Step = Callable[[Payload], Payload]

UPCASTERS: Mapping[tuple[str, int], Step] = {}
"""(type, version) -> the step from that version to the next one."""


class MissingUpcaster(Exception):
    """No step leads from a version towards the present one; the message names the type and the version."""


def upcast(
    name: str, version: int, present: int, payload: Payload, steps: Mapping[tuple[str, int], Step] = UPCASTERS
) -> Payload:
    """Return the payload of event type `name` in version `present`, starting from `version`.

    Raises:
        MissingUpcaster: the chain of steps has a gap.
    """
    for step_from in range(version, present):
        step = steps.get((name, step_from))
        if step is None:
            raise MissingUpcaster(f"no upcaster leads from version {step_from} of {name} to version {step_from + 1}")
        payload = step(payload)
    return payload
