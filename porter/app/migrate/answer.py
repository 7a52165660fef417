"""A migration as plain values: what `--report json` prints, and what the tables are made of."""

from __future__ import annotations

from typing import Any

from porter.app.migrate.report import Migration, Verdict
from porter.app.migrate.simulate import VERDICTS, Simulation


def answer_of(migration: Migration, simulation: Simulation) -> dict[str, Any]:
    """The whole report: what each field became, the addresses, the faults, and the sums."""
    report = migration.report
    counted = {verdict.value: report.counted(verdict) for verdict in Verdict}
    verdicts = [outcome.verdict for outcome in simulation.outcomes]
    return {
        "fields": [entry._asdict() for entry in report.entries],
        "addresses": [
            {**outcome._asdict(), "today": list(outcome.today), "then": list(outcome.then)}
            for outcome in simulation.outcomes
        ],
        "faults": [fault._asdict() for fault in report.faults],
        "sums": {
            "manifests": len(migration.manifests),
            **counted,
            "faults": len(report.faults),
            "addresses": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
        },
    }


def finding_of(answer: dict[str, Any]) -> str:
    """What a person should look at before applying anything; "" where there is nothing."""
    sums = answer["sums"]
    found = []
    if sums["faults"]:
        found.append(_counted(sums["faults"], "document", "could not be taken"))
    if sums["refused"]:
        found.append(_counted(sums["refused"], "refusal", "to be looked at"))
    if sums["addresses"]["changes"]:
        found.append(_counted(sums["addresses"]["changes"], "Service", "would not keep what is held today"))
    return f"{', '.join(found)}; the report says why, and the mend" if found else ""


def _counted(number: int, what: str, how: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'} {how}"
