"""What the TOML of GoBGP in OpenELB's ConfigMaps has in common: parsing, and problems that stop nothing else."""

from __future__ import annotations

import tomllib
from typing import Any

from porter.model.reasons import Problem, Reason

MAX_TOML_CHARACTERS = 1024 * 1024


def parse_toml(text: str, path: str, problems: list[Problem]) -> dict[str, Any]:
    """Parse a map's value; what is no TOML is a problem, and an empty table."""
    if len(text) > MAX_TOML_CHARACTERS:
        message = f"{path} has {len(text)} characters; at most {MAX_TOML_CHARACTERS} are read"
        problems.append(Problem(Reason.FIELD_INVALID, path, message))
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(Problem(Reason.FIELD_INVALID, path, f"{path} is no TOML: {error}; mend it"))
        return {}


def stopping_nothing(problem: Problem) -> Problem:
    """The same problem of an object that is used in spite of it."""
    return problem._replace(reason=Reason.FIELD_UNSUPPORTED)
