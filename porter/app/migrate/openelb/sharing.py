"""Shared addresses: OpenELB gave one to all who asked; Porter takes a common key, and a pool that lists namespaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from porter.app.migrate.kubernetes import applicable
from porter.app.migrate.openelb import objects
from porter.app.migrate.openelb.services import Checked, with_annotation
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Migration, Verdict
from porter.events.observed import PoolObserved
from porter.kube.facts.service import SHARING_ANNOTATION
from porter.model.address import Address
from porter.policy.sharing import why_not_shared

KEY_PREFIX = "openelb-"

Pool = tuple[Document, PoolObserved]


def allow(holders: Sequence[Checked], migration: Migration, pools: Sequence[Pool]) -> dict[str, tuple[str, ...]]:
    """Have Services whose ports are disjoint go on sharing; return by address the namespaces that may."""
    by_address: defaultdict[Address, list[Checked]] = defaultdict(list)
    for holder in holders:
        for address in holder.fact.held if holder.fact is not None else ():
            by_address[address].append(holder)
    allowed: dict[str, tuple[str, ...]] = {}
    for address, sharing in by_address.items():
        facts = [one.fact for one in sharing if one.fact is not None]
        ports = [port for fact in facts for port in fact.ports]
        pairs = combinations(facts, 2)
        if len(ports) > len(set(ports)) or not any(why_not_shared(two, one, address) for one, two in pairs):
            continue
        namespaces = sorted({fact.namespace for fact in facts})
        pool = next((document for document, fact in pools if objects.holds(fact, address)), None)
        if len(namespaces) > 1:
            if pool is None:
                continue
            allowed[address] = tuple(namespaces)
            _name_in_pool(migration, pool, namespaces, address)
        _give_key(sharing, address, migration)
    return allowed


def _give_key(sharing: Iterable[Checked], address: Address, migration: Migration) -> None:
    for one in sharing:
        fact = one.fact
        if fact is None or fact.sharing_key:
            continue
        # An IPv6 address is no less a text that an annotation may hold.
        with_annotation(one, SHARING_ANNOTATION, KEY_PREFIX + address)
        note = f"{KEY_PREFIX}{address} is added: Services share {address}, which takes a common key"
        migration.report.add(one.document, f"metadata.annotations[{SHARING_ANNOTATION}]", Verdict.CHANGED, note)


def _name_in_pool(migration: Migration, document: Document, namespaces: list[str], address: Address) -> None:
    def is_pool(tree: dict[str, object]) -> bool:
        metadata = tree["metadata"]
        return tree["kind"] == "Eip" and isinstance(metadata, dict) and metadata["name"] == document.name

    for tree in [each for each in migration.present if is_pool(each)]:
        # It becomes a manifest, because it is to be applied.
        migration.present.remove(tree)
        migration.manifests.append(applicable(tree))
        migration.origins["Eip", document.name] = document
    for tree in filter(is_pool, migration.manifests):
        listed = tree["spec"].setdefault("sharing", {}).setdefault("namespaces", [])
        listed[:] = sorted({*listed, *namespaces})
    note = f"{', '.join(namespaces)}: their Services share {address}, which OpenELB allowed to everybody"
    migration.report.add(document, "spec.sharing.namespaces", Verdict.CHANGED, note)
