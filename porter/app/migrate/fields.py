"""Reading a foreign object field by field, so that each one is reported and none is lost silently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, Verdict

MAX_QUOTED_CHARACTERS = 64
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def shown(value: object) -> str:
    """Show a foreign value in a sentence, cut to a bounded length."""
    if isinstance(value, list):
        text = ", ".join(str(each) for each in value)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_QUOTED_CHARACTERS else text[:MAX_QUOTED_CHARACTERS] + "..."


class Fields:
    """One level of an object's tree. A field is taken once and reported; `finish` refuses those that nobody took.

    `names` maps the names of the API to those that stand in the source (a ConfigMap spells them otherwise).
    """

    def __init__(
        self, document: Document, report: Report, tree: object, path: str, names: Mapping[str, str] | None = None
    ) -> None:
        self.document = document
        self.report = report
        self._path = path
        self._names = names or {}
        self._taken: set[str] = set()
        self._tree: dict[str, Any] = {}
        if isinstance(tree, dict):
            self._tree = tree
        elif tree is not None:
            self.refused("", f"is {shown(tree)}, and not an object; write its fields below it")

    def path(self, name: str) -> str:
        """The path of a field in the source."""
        name = self._names.get(name, name)
        return f"{self._path}.{name}" if name and self._path else name or self._path

    def kept(self, name: str, note: str) -> None:
        """Say that a field means the same."""
        self._say(name, Verdict.KEPT, note)

    def changed(self, name: str, note: str) -> None:
        """Say that a field means something else, or stands elsewhere, and how."""
        self._say(name, Verdict.CHANGED, note)

    def refused(self, name: str, note: str) -> None:
        """Say that a field is left out, why, and what to do."""
        self._say(name, Verdict.REFUSED, note)

    def _say(self, name: str, verdict: Verdict, note: str) -> None:
        self.report.add(self.document, self.path(name), verdict, note)

    def has(self, name: str) -> bool:
        """Whether a field is set."""
        return name in self._tree

    def raw(self, name: str) -> Any:
        """Take a field as it is; None where it is not set."""
        self._taken.add(name)
        return self._tree.get(name)

    def below(self, name: str) -> Fields:
        """Descend into an object."""
        below = Fields(self.document, self.report, None, self.path(name), self._names)
        value = self.raw(name)
        if isinstance(value, dict):
            below._tree = value
        elif value is not None:
            self.refused(name, f"is {shown(value)}, and not an object; write its fields below it")
        return below

    def text(self, name: str) -> str:
        """Take a text; "" where it is not set or none."""
        value = self.raw(name)
        if value is None or isinstance(value, str):
            return (value or "").strip()
        # A password that YAML took for a number is one all the same.
        told = "something else" if "password" in name.lower() else shown(value)
        self.refused(name, f"is {told}, and not a text; put it in quotes")
        return ""

    def flag(self, name: str) -> bool | None:
        """Take a boolean; None where it is not set or none."""
        value = self.raw(name)
        if value is None or isinstance(value, bool):
            return value
        self.refused(name, f"is {shown(value)}; write true or false")
        return None

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Take a whole number within bounds; None where it is not set or none."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refused(name, f"is {shown(value)}; write a whole number from {low} to {high}")
            return None
        return value

    def texts(self, name: str) -> list[str]:
        """Take a list of texts; entries of another type are refused one by one."""
        return [text for text in self._each(name, str, "a text; put it in quotes") if text]

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Take a list of objects; entries of another type are refused one by one."""
        return self._each(name, dict, "an object; write its fields below it")

    def _each(self, name: str, kind: type, what: str) -> list[Any]:
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refused(name, f"is {shown(value)}, and not a list; write each entry with a dash")
            return []
        good = []
        for index, entry in enumerate(value):
            if isinstance(entry, kind):
                good.append(entry)
            else:
                self.refused(f"{self._names.get(name, name)}[{index}]", f"is {shown(entry)}, and not {what}")
        return good

    def seconds(self, name: str) -> float | None:
        """Take a duration as Go writes it ("1m30s"); None where it is not set or none."""
        value = self.raw(name)
        if value is None:
            return None
        text = str(value).strip()
        parts = _DURATION.findall(text)
        if text == "0":
            return 0.0
        if isinstance(value, bool) or not parts or "".join(number + unit for number, unit in parts) != text:
            self.refused(name, f"is {shown(value)}; write a duration such as 90s")
            return None
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    def finish(self) -> None:
        """Refuse every field that is set and that nothing took."""
        for name in self._tree:
            if name not in self._taken:
                self.refused(name, "is no field that this command knows; look it up, and set its counterpart by hand")
