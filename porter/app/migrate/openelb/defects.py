"""What several objects show together: overlaps, a second default, shared addresses that clash, and a wrong ledger.

OpenELB's only ledger is `status.used` of its Eips. Porter believes what Services hold, and so says where they differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from porter.app.migrate.kubernetes import held_by
from porter.app.migrate.openelb.services import Checked
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, Verdict
from porter.events.observed import PoolObserved, ServiceObserved
from porter.model.address import Address, InvalidAddress, parse_address
from porter.policy.pool_choice import assess
from porter.policy.sharing import why_not_shared

MAX_CLASHES = 1000
"""Most clashing pairs that are told."""


def report_pools(pools: Sequence[tuple[Document, PoolObserved]], report: Report) -> None:
    """Say which pools overlap others, and which is one default too many; the oldest wins."""
    documents = {fact.name: document for document, fact in pools}
    table = assess(fact for _, fact in pools)
    for name, pool in table.by_name.items():
        if pool.problem is not None and pool.problem not in pool.fact.problems:
            note = f"{pool.problem.message}; until then it gives no address"
            report.add(documents[name], pool.problem.field, Verdict.REFUSED, note)
        if pool.second_default is not None:
            report.add(documents[name], pool.second_default.field, Verdict.REFUSED, pool.second_default.message)


def report_clashes(holders: Sequence[Checked], allowed: Mapping[str, tuple[str, ...]], report: Report) -> None:
    """Say which Services hold one address that they cannot share; the older one keeps it."""
    by_address: defaultdict[Address, list[tuple[Document, ServiceObserved]]] = defaultdict(list)
    known = [(one.document, one.fact) for one in holders if one.fact is not None]
    for holder in sorted(known, key=lambda each: (each[1].created_ms, each[1].namespace, each[1].name)):
        for address in holder[1].held:
            by_address[address].append(holder)
    told = 0
    for address, sharing in by_address.items():
        for (_, older), (document, newer) in combinations(sharing, 2):
            why = why_not_shared(newer, older, address, allowed.get(address, ()))
            if not why or told >= MAX_CLASHES:
                continue
            told += 1
            note = f"{address} is also held by {older.namespace}/{older.name}: {why}"
            mend = "the older one keeps it; change that, or this one gets another address"
            report.add(document, "status.loadBalancer.ingress", Verdict.REFUSED, f"{note}; {mend}")


def report_ledgers(eips: Iterable[Document], services: Sequence[Document], report: Report) -> None:
    """Say where `status.used` of a pool and the Services disagree; nothing can be said without Services."""
    held: defaultdict[str, set[str]] = defaultdict(set)
    for service in services:
        for address in held_by(service):
            held[address].add(f"{service.namespace or 'default'}/{service.name}")
    for eip in eips if services else ():
        used = _used(eip)
        for address, names in used.items():
            for name in sorted(names - held[address]):
                note = f"{address} counts as used by {name}, which does not hold it: it is free"
                report.add(eip, "status.used", Verdict.CHANGED, note)
            for name in sorted(held[address] - names):
                note = f"{address} is held by {name}, which is not named: Porter believes the Service"
                report.add(eip, "status.used", Verdict.CHANGED, note)


def _used(eip: Document) -> dict[str, set[str]]:
    status: Any = eip.tree.get("status")
    used = status.get("used") if isinstance(status, dict) else None
    found: dict[str, set[str]] = {}
    for text, names in used.items() if isinstance(used, dict) else ():
        try:
            found[parse_address(str(text))] = {name for name in str(names).split(";") if name}
        except InvalidAddress:
            continue
    return found
