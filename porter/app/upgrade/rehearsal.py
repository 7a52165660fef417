"""Playing another release in a rehearsal of an upgrade: only tests set these variables.

Each names a file of JSON, an object whose keys are the types of events that some release read, with their versions.

- `PORTER_REHEARSE_READS`: this process reads and writes these alone, as the former release would.
- `PORTER_REHEARSE_RELEASED`: what the former release read, which the next one writes without being asked for.

So one build stands for both sides of an upgrade, without a checkout of an older one. What differs between real releases
beside their events, and the settings that they take, is not rehearsed by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from porter.events.catalogue import RELEASED
from porter.events.codec import SHAPES

READS = "PORTER_REHEARSE_READS"
RELEASED_BEFORE = "PORTER_REHEARSE_RELEASED"


def rehearse(environment: Mapping[str, str]) -> None:
    """Restrict this process to what the variables say; nothing is done where they are not set.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    if environment.get(READS):
        known = _versions(environment[READS])
        for name in SHAPES.keys() - known.keys():
            del SHAPES[name]
    if environment.get(RELEASED_BEFORE):
        released = _versions(environment[RELEASED_BEFORE])
        RELEASED.clear()
        RELEASED.update(released)


def _versions(path: str) -> dict[str, int]:
    return {str(name): int(version) for name, version in json.loads(Path(path).read_text(encoding="utf-8")).items()}
