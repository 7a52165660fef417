"""What a migration says: one entry for each field, and what could not be read at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from porter.app.migrate.reading import Document, Fault


class Verdict(StrEnum):
    """What becomes of a field."""

    KEPT = "kept"
    CHANGED = "changed"
    REFUSED = "refused"


class Entry(NamedTuple):
    """One field of one object: where the object stands, and what becomes of it; a refusal's note says what to do."""

    where: str
    object: str
    field: str
    verdict: Verdict
    note: str


@dataclass
class Report:
    """The entries, in the order in which the objects were read, and the faults."""

    entries: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, document: Document, path: str, verdict: Verdict, note: str) -> None:
        """Say what becomes of a field; the same is said once."""
        entry = Entry(document.where, document.title, path, verdict, note)
        if entry not in self.entries[-64:]:
            self.entries.append(entry)

    def counted(self, verdict: Verdict) -> int:
        """How many fields have a verdict."""
        return sum(entry.verdict is verdict for entry in self.entries)


@dataclass
class Migration:
    """What a conversion makes: the manifests to apply, the report, and what only the simulation needs.

    `services` are the Services as they will be, with today's status; `present` are further objects that are there
    already and stay as they are (Namespaces, and pools that need no change).
    """

    report: Report
    manifests: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    present: list[dict[str, Any]] = field(default_factory=list)
    joining: bool = False
    """Whether Services become Porter's only when their manifests are applied, which may be while it runs."""
    service_class: str = ""
    """The class of Services that Porter must be started with; "" for its own."""
    origins: dict[tuple[str, str], Document] = field(default_factory=dict)
    """By kind and name: the document that a manifest of a kind of ours was made from."""


def manifest(kind: str, name: str, spec: dict[str, Any], labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Make an object of Porter's API."""
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": kind, "metadata": metadata, "spec": spec}
