"""Names that become parts of keys and of file names."""

from __future__ import annotations

import re

MAX_NAME_LENGTH = 253
"""As long as a Kubernetes name may be."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def check_name(name: str) -> str:
    """Return the name of a cluster or speaker.

    Raises:
        ValueError: it would not fit into a key or a file name.
    """
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a cluster or speaker: "
            f"letters, digits, '.', '_' and '-', at most {MAX_NAME_LENGTH}, and a letter or digit at both ends"
        )
    return name
