"""Checks answers against the published JSON Schemas: the few keywords of draft 2020-12 that these use."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "reference" / "schemas"
KNOWN = {
    *("$schema", "title", "description", "type", "properties", "required", "items", "enum", "pattern", "minimum"),
    *("maximum", "anyOf", "additionalProperties", "$ref"),
}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


@lru_cache
def schema(name: str) -> dict[str, Any]:
    """A published schema by the name of its file."""
    return json.loads((SCHEMAS / f"{name.removesuffix('.json')}.json").read_text())


def violations(answer: Any, wanted: dict[str, Any] | str, where: str = "$") -> list[str]:
    """Every way in which an answer breaks a schema. A field that the schema does not name breaks it too."""
    rule = schema(wanted) if isinstance(wanted, str) else wanted
    assert set(rule) <= KNOWN, f"this checker does not know {set(rule) - KNOWN}"
    if "$ref" in rule:
        return violations(answer, rule["$ref"], where)
    if "anyOf" in rule:
        tried = [violations(answer, each, where) for each in rule["anyOf"]]
        return [] if any(not each for each in tried) else tried[-1]
    if "enum" in rule and answer not in rule["enum"]:
        return [f"{where}: {answer!r} is none of {rule['enum']}"]
    if "type" in rule and not _has_type(answer, rule["type"]):
        return [f"{where}: {answer!r} is no {rule['type']}"]
    found = list(_bounds(answer, rule, where))
    if isinstance(answer, dict) and "properties" in rule:
        found += [f"{where}.{name} is missing" for name in rule["required"] if name not in answer]
        for name, value in answer.items():
            if name in rule["properties"]:
                found += violations(value, rule["properties"][name], f"{where}.{name}")
            else:
                found.append(f"{where}.{name} is not in the schema")
    if isinstance(answer, dict) and isinstance(rule.get("additionalProperties"), dict):
        for name, value in answer.items():
            found += violations(value, rule["additionalProperties"], f"{where}.{name}")
    if isinstance(answer, list):
        for number, item in enumerate(answer):
            found += violations(item, rule["items"], f"{where}[{number}]")
    return found


def _has_type(answer: Any, wanted: str | list[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    # In Python a bool is an int; in JSON it is not.
    return any(isinstance(answer, TYPES[name]) and (name == "boolean") == isinstance(answer, bool) for name in names)


def _bounds(answer: Any, rule: dict[str, Any], where: str):
    if isinstance(answer, str) and "pattern" in rule and not re.search(rule["pattern"], answer):
        yield f"{where}: {answer!r} does not match {rule['pattern']}"
    if isinstance(answer, int) and answer < rule.get("minimum", answer):
        yield f"{where}: {answer} is below {rule['minimum']}"
    if isinstance(answer, int) and answer > rule.get("maximum", answer):
        yield f"{where}: {answer} is above {rule['maximum']}"
