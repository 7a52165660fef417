"""From the documents of a cluster that runs OpenELB to a migration: most of it stays, and what does not is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from porter.app.migrate.kubernetes import applicable, is_well_formed
from porter.app.migrate.openelb import bgp_cfg, defects, objects, services, sharing
from porter.app.migrate.openelb.services import Checked
from porter.app.migrate.reading import Document, Fault
from porter.app.migrate.report import Migration, Report, Verdict
from porter.events.observed import PoolObserved
from porter.kube.facts.gobgp_config import MAP_NAME
from porter.kube.facts.gobgp_policy import MAP_KEY as POLICY_KEY
from porter.kube.facts.gobgp_policy import Origin, policy_facts

GROUP = "network.kubesphere.io"
KINDS = ("Eip", "BgpConf", "BgpPeer")
VERSIONS = frozenset({f"{GROUP}/v1alpha1", f"{GROUP}/v1alpha2"})
WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


@dataclass
class _Given:
    """What was read, by kind."""

    objects: list[Document] = field(default_factory=list)
    services: list[Document] = field(default_factory=list)
    config_maps: list[Document] = field(default_factory=list)
    others: list[Document] = field(default_factory=list)


def convert(documents: Iterable[Document], faults: Iterable[Fault], namespace: str) -> Migration:
    """Check everything that is OpenELB's; `namespace` is Porter's own, where ConfigMaps are looked for."""
    migration = Migration(Report(faults=list(faults)))
    report = migration.report
    given = _sorted(documents, report)
    pools: list[tuple[Document, PoolObserved]] = []
    for document in given.objects:
        checked = objects.check(document, report)
        (migration.manifests if checked.differs else migration.present).append(_written(checked))
        if isinstance(checked.fact, PoolObserved):
            pools.append((document, checked.fact))
    _config_maps(given, migration, namespace)
    defects.report_pools(pools, report)
    _services(given, migration, pools)
    defects.report_ledgers((each for each in given.objects if each.kind == "Eip"), given.services, report)
    _others(given, migration)
    return migration


def _written(checked: objects.Checked) -> dict[str, Any]:
    return applicable(checked.tree) if checked.differs else checked.tree


def _sorted(documents: Iterable[Document], report: Report) -> _Given:
    given = _Given()
    seen: dict[tuple[str, str, str], str] = {}
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        if key in seen and document.kind in {*KINDS, "Service"}:
            message = f"{document.title} was read from {seen[key]} already; remove one of the two"
            report.faults.append(Fault(document.where, "metadata.name", message))
            continue
        seen[key] = document.where
        if document.group in {"", GROUP} and not is_well_formed(document, report):
            continue
        if document.group == GROUP:
            if document.api_version in VERSIONS and document.kind in KINDS:
                given.objects.append(document)
            elif document.kind != "BgpAdvertisement":
                message = f"{document.api_version} {document.kind} is not read: this command reads {', '.join(KINDS)}"
                report.faults.append(Fault(document.where, "apiVersion", message))
        elif document.kind == "ConfigMap":
            given.config_maps.append(document)
        elif document.kind == "Service" and not document.group:
            given.services.append(document)
        else:
            given.others.append(document)
    return given


def _config_maps(given: _Given, migration: Migration, namespace: str) -> None:
    report = migration.report
    confs = [each for each in (*migration.manifests, *migration.present) if each["kind"] == "BgpConf"]
    wanted = {str(each["spec"].get("policy")): each for each in confs if each.get("spec", {}).get("policy")}
    for document in given.config_maps:
        if document.name == MAP_NAME:
            for made in bgp_cfg.convert(document, report, conf_exists=bool(confs)):
                migration.manifests.append(made)
                migration.origins[made["kind"], made["metadata"]["name"]] = document
        elif document.name in wanted and POLICY_KEY in (document.tree.get("data") or {}):
            _policy(document, wanted[document.name], report, namespace)


def _policy(document: Document, conf: dict[str, Any], report: Report, namespace: str) -> None:
    """Say what becomes of a policy, which Porter reads as it stands."""
    where = f"data[{POLICY_KEY}]"
    as_number = conf["spec"].get("as")
    origin = Origin(as_number if isinstance(as_number, int) else 0, "", 0)
    found = policy_facts(str(document.tree["data"][POLICY_KEY]), origin)
    names = ", ".join(fact.name for fact in found.advertisements) or "none"
    rest = "what none of them is about is announced all the same" if found.accepts_rest else "nothing else is announced"
    if document.namespace == namespace:
        report.add(document, where, Verdict.KEPT, f"is read as it stands, as these advertisements: {names}; {rest}")
    else:
        note = f"Porter reads ConfigMaps of its own namespace alone: copy it to {namespace}"
        report.add(
            document, where, Verdict.CHANGED, f"{note}, where it counts as these advertisements: {names}; {rest}"
        )
    for problem in (*found.problems, *(problem for fact in found.advertisements for problem in fact.problems)):
        report.add(document, problem.field, Verdict.REFUSED, problem.message)


def _services(given: _Given, migration: Migration, pools: list[tuple[Document, PoolObserved]]) -> None:
    found: dict[str, Checked] = {}
    for document in given.services:
        if services.is_openelbs(document):
            found[document.title] = services.check(document, migration.report)
    holders = [one for one in found.values() if one.fact is not None]
    allowed = sharing.allow(holders, migration, pools)
    defects.report_clashes(holders, allowed, migration.report)
    migration.services = [one.tree for one in found.values()]
    migration.manifests += [applicable(one.tree) for one in found.values() if one.differs]


def _others(given: _Given, migration: Migration) -> None:
    for document in given.others:
        if document.kind == "Namespace":
            migration.present.append(document.tree)
        elif document.kind in WEBHOOKS and "openelb" in document.name:
            note = "refuses or hangs all writes once OpenELB is gone; delete it together with OpenELB"
            migration.report.add(document, "webhooks", Verdict.REFUSED, f"OpenELB's: {note}")
