"""Reading untrusted trees field by field: what is wrong becomes a problem with its path, and the reading goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from porter.kube.objects import Malformed
from porter.model.reasons import Problem, Reason
from porter.model.selector import Pairs

MAX_QUOTED_CHARACTERS = 64
"""Most characters of a foreign text that a message repeats."""

MAX_NAME_CHARACTERS = 253
"""The longest name of a Kubernetes object (RFC 1123 subdomain)."""

MAX_LABEL_KEY_CHARACTERS = 317
"""A label's prefix (253), its slash and its name (63)."""

MAX_LABEL_VALUE_CHARACTERS = 63

MAX_PROBLEMS = 16
"""Most problems that one object's fact names; the first ones matter most."""


def quoted(value: object) -> str:
    """Quote a foreign value for a message, cut to a bounded length."""
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= MAX_QUOTED_CHARACTERS else text[:MAX_QUOTED_CHARACTERS] + "...")


def milliseconds(timestamp: str | None) -> int:
    """Convert an RFC 3339 timestamp to milliseconds since the Unix epoch; 0 where there is none that parses."""
    if not timestamp:
        return 0
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def pairs(mapping: Mapping[str, str] | None) -> Pairs:
    """Sort a map of labels into pairs; what no API server would accept as a label is left out."""
    if not mapping:
        return ()
    return tuple(
        sorted(
            (key, value)
            for key, value in mapping.items()
            if len(key) <= MAX_LABEL_KEY_CHARACTERS and len(value) <= MAX_LABEL_VALUE_CHARACTERS
        )
    )


def newest_annotation(annotations: Mapping[str, str] | None, keys: Sequence[str]) -> tuple[str, str]:
    """Return the first key of `keys` (newest generation first) that is set, and its value stripped; else two "" ."""
    for key in keys:
        value = (annotations or {}).get(key)
        if value is not None and value.strip():
            return key, value.strip()
    return "", ""


def malformed_problem(error: Malformed) -> Problem:
    """Say that an object's field has a type that its kind does not allow."""
    return Problem(Reason.FIELD_INVALID, error.field, f"{error}; write the type that the API's reference names")


NO_WISH: tuple[object, ...] = (False, 0, "", [], {})
"""Go's zero values: an unset default is no wish."""


class Fields:
    """A view of one level of a tree that collects problems under its path.

    A field is taken once by one of the reading methods; `finish` reports those that nobody took as unsupported.
    A null counts as not set, as it does at the API server.
    """

    def __init__(self, tree: object, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        self._tree: Mapping[str, Any] = {}
        self._taken: set[str] = set()
        if isinstance(tree, Mapping):
            self._tree = {str(key): value for key, value in tree.items() if value is not None}
        elif tree is not None:
            self.invalid("", f"is {quoted(tree)} where an object with fields is expected")

    def invalid(self, name: str, message: str, reason: Reason = Reason.FIELD_INVALID) -> None:
        """Record a problem; the message goes on after the field's path."""
        path = f"{self.path}.{name}" if name else self.path
        self.problems.append(Problem(reason, path, f"{path} {message}"))

    def unsupported(self, name: str, message: str) -> None:
        """Record that a field has no effect."""
        self.invalid(name, message, Reason.FIELD_UNSUPPORTED)

    def taken(self, name: str) -> Any:
        """Take a field as it is; None where it is not set."""
        self._taken.add(name)
        return self._tree.get(name)

    def has(self, name: str) -> bool:
        """Whether a field is set."""
        return name in self._tree

    def needs_enabled(self) -> None:
        """Report settings of something that nobody switched on; `enabled: false` beside them says that itself."""
        if not self.has("enabled") and any(value not in NO_WISH for value in self._tree.values()):
            self.unsupported("", "has no effect without enabled: true; add that, or leave it out")

    def below(self, name: str) -> Fields:
        """Descend into an object."""
        return Fields(self.taken(name), f"{self.path}.{name}", self.problems)

    def entry(self, name: str, index: int, tree: object) -> Fields:
        """Descend into one entry of a list that was taken with `each`; one that is null has no fields."""
        return Fields(tree, f"{self.path}.{name}[{index}]", self.problems)

    def each(self, name: str) -> list[Any]:
        """Take a list; a single wrong type is a problem and an empty list."""
        value = self.taken(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.invalid(name, f"is {quoted(value)} where a list is expected")
            return []
        return value

    def text(self, name: str, default: str = "", limit: int = MAX_NAME_CHARACTERS) -> str:
        """Take a text of at most `limit` characters, stripped."""
        value = self.taken(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.invalid(name, f"is {quoted(value)} where a text is expected; put it in quotes")
            return default
        if len(value) > limit:
            self.invalid(name, f"has {len(value)} characters; at most {limit} are allowed")
            return default
        return value.strip()

    def flag(self, name: str) -> bool | None:
        """Take a boolean; None where it is not set."""
        value = self.taken(name)
        if value is None or isinstance(value, bool):
            return value
        self.invalid(name, f"is {quoted(value)} where true or false is expected")
        return None

    def integer(self, name: str, default: int, low: int, high: int, *, unit: str = "") -> int:
        """Take a whole number within bounds; a text of digits counts (protojson writes 64-bit numbers as text)."""
        value = self.taken(name)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) <= 20:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.invalid(name, f"is {quoted(value)}; write a whole number from {low} to {high}{unit and f' ({unit})'}")
            return default
        return value

    def parsed(self, name: str, parse: Callable[[str], str], limit: int = MAX_NAME_CHARACTERS) -> str:
        """Take a text and parse it; a ValueError's message becomes the problem. "" where it is not set or wrong."""
        value = self.text(name, limit=limit)
        if not value:
            return ""
        try:
            return parse(value)
        except ValueError as error:
            self.invalid(name, f"is wrong: {error}")
            return ""

    def names(self, name: str, limit: int) -> tuple[str, ...]:
        """Take a list of names of objects: sorted, each once; an entry that is none is a problem."""
        entries = self.each(name)
        if len(entries) > limit:
            self.invalid(name, f"holds {len(entries)} names; at most {limit} are allowed")
            return ()
        known = {entry for entry in entries if isinstance(entry, str) and 0 < len(entry) <= MAX_NAME_CHARACTERS}
        if len(known) < len(set(map(str, entries))):
            self.invalid(name, "holds an entry that is no object's name; remove it, or put it in quotes")
        return tuple(sorted(known))

    def string_map(self, name: str) -> dict[str, str]:
        """Take a map of texts; entries of another type are problems."""
        below = self.below(name)
        names = list(below._tree)
        return {key: below.text(key, limit=MAX_LABEL_VALUE_CHARACTERS) for key in names}

    def finish(self) -> None:
        """Report every field that is set and that nothing took as unsupported; an unset default is no wish."""
        for name in self._tree.keys() - self._taken:
            if self._tree[name] not in NO_WISH:
                self.unsupported(name[:MAX_QUOTED_CHARACTERS], "has no effect in Porter; remove it")


def closed(problems: list[Problem]) -> tuple[Problem, ...]:
    """Order and bound an object's problems, those that stop it first, and of these what is wrong with it as a whole."""
    ordered = sorted(
        set(problems),
        key=lambda problem: (problem.reason == Reason.FIELD_UNSUPPORTED, "." in problem.field, problem),
    )
    return tuple(ordered[:MAX_PROBLEMS])
