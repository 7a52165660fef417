"""From the present version of an event's payload back to an older one, step by step, while older readers are alive.

The counterpart of `porter.events.upcast`, with the same rules: steps are pure, and are never edited once a release has
shipped them. A step loses what the older version cannot say, and nothing else: what was written in the older form, read
and written again in it, is the same. A type or version without a step is held back until every reader reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.events.upcast import Payload, Step

DOWNCASTERS: Mapping[tuple[str, int], Step] = {}
"""(type, version) -> the step from that version to the one before it."""


class MissingDowncaster(Exception):
    """No step leads from a version towards an older one; the message names the type and the version."""


def downcast(
    name: str, present: int, wanted: int, payload: Payload, steps: Mapping[tuple[str, int], Step] = DOWNCASTERS
) -> Payload:
    """Return the payload of event type `name` in version `wanted`, starting from version `present`.

    Raises:
        MissingDowncaster: the chain of steps has a gap.
    """
    for step_from in range(present, wanted, -1):
        step = steps.get((name, step_from))
        if step is None:
            raise MissingDowncaster(
                f"no downcaster leads from version {step_from} of {name} to version {step_from - 1}"
            )
        payload = step(payload)
    return payload


def reaches(name: str, present: int, wanted: int, steps: Mapping[tuple[str, int], Step] = DOWNCASTERS) -> bool:
    """Whether `downcast` can lead from a version to an older one."""
    return wanted > 0 and all((name, step_from) in steps for step_from in range(present, wanted, -1))
