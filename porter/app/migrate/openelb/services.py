"""Services of OpenELB and of Porter of every generation: which annotations are read, and what was wrong with them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import msgspec

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.openelb.objects import report_finalizers
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, Verdict
from porter.events.observed import ServiceObserved
from porter.kube.facts import FactSettings
from porter.kube.facts.service import (
    ADDRESS_ANNOTATIONS,
    OPT_IN_ANNOTATION,
    OPT_IN_VALUES,
    POOL_ANNOTATIONS,
    POOL_LABEL,
    malformed_service_fact,
    service_fact,
)
from porter.kube.objects import Malformed, Service, decode

GENERATIONS = ("openelb.kubesphere.io/", "porter.kubesphere.io/")
NODE_PROXY = "node-proxy.openelb.kubesphere.io/"


def is_openelbs(document: Document) -> bool:
    """Whether OpenELB 0.6 acts on a Service: by its annotation, or by the label that it wrote itself."""
    if document.kind != "Service" or document.tree.get("spec", {}).get("type") != "LoadBalancer":
        return False
    return _opted_in(document) or POOL_LABEL in (document.metadata.get("labels") or {})


def _opted_in(document: Document) -> bool:
    return str((document.metadata.get("annotations") or {}).get(OPT_IN_ANNOTATION, "")).strip() in OPT_IN_VALUES


@dataclass
class Checked:
    """A Service as Porter is to have it, its fact, and whether that is another manifest than today's."""

    document: Document
    tree: dict[str, Any]
    fact: ServiceObserved | None = None
    differs: bool = False


def with_annotation(checked: Checked, key: str, value: str) -> None:
    """Add an annotation; the fact follows."""
    metadata = checked.tree["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), key: value}
    checked.fact, checked.differs = fact_of(checked.tree), True


def check(document: Document, report: Report) -> Checked:
    """Report on a Service, and convert it where it must be."""
    fields = Fields(document, report, document.metadata, "metadata")
    spec = Fields(document, report, document.tree.get("spec"), "spec")
    annotations: dict[str, str] = document.metadata.get("annotations") or {}
    checked = Checked(document, deepcopy(document.tree))
    checked.tree["metadata"].setdefault("namespace", "default")
    service_class = spec.text("loadBalancerClass")
    if service_class and service_class != FactSettings().load_balancer_class:
        note = "OpenELB ignores the class; Porter never touches a Service of another one, which keeps its status"
        mend = f"create the Service again without it, or run Porter with --load-balancer-class {service_class}"
        spec.refused("loadBalancerClass", f"{service_class}: {note}; {mend}")
    elif _opted_in(document):
        fields.kept(f"annotations[{OPT_IN_ANNOTATION}]", f"{annotations[OPT_IN_ANNOTATION]}: the Service is Porter's")
    else:
        with_annotation(checked, OPT_IN_ANNOTATION, "openelb")
        note = f"only the label {POOL_LABEL} says that it is OpenELB's; the annotation is added"
        fields.changed(f"annotations[{OPT_IN_ANNOTATION}]", note)
    _requests(fields, annotations)
    _others(fields, annotations)
    _wanted_address(spec, annotations)
    report_finalizers(document, report)
    if document.metadata.get("deletionTimestamp"):
        note = "is being deleted, and goes as soon as its finalizers are off; its addresses are free then"
        fields.changed("deletionTimestamp", note)
    if POOL_LABEL in (document.metadata.get("labels") or {}):
        fields.kept(f"labels[{POOL_LABEL}]", "is kept up with the name of the pool")
    checked.fact = fact_of(checked.tree)
    for problem in checked.fact.problems if checked.fact is not None else ():
        report.add(document, problem.field, Verdict.REFUSED, problem.message)
    return checked


def _requests(fields: Fields, annotations: dict[str, str]) -> None:
    for keys, what in ((POOL_ANNOTATIONS, "the pool"), (ADDRESS_ANNOTATIONS, "the address")):
        given = [key for key in keys if annotations.get(key, "").strip()]
        for key in given[:1]:
            fields.kept(f"annotations[{key}]", f"{shown(annotations[key])}: requests {what}")
        for key in given[1:]:
            fields.changed(f"annotations[{key}]", f"{shown(annotations[key])}: is not used, because {given[0]} wins")


def _others(fields: Fields, annotations: dict[str, str]) -> None:
    """Report the annotations that Porter does not read."""
    for key, value in annotations.items():
        path = f"annotations[{key}]"
        if key.startswith("protocol."):
            fields.changed(path, f"{shown(value)}: is not read; the protocol is that of the pool")
        elif key.startswith("layer2."):
            fields.changed(path, f"{shown(value)}: is not read; no node is chosen by hand")
        elif key == f"{NODE_PROXY}type":
            continue  # The Service's own conversion says what is wrong with it.
        elif key.startswith(NODE_PROXY):
            fields.changed(path, f"{shown(value)}: is written no more; remove it with the node proxy")
        elif any(key.partition(".")[2].startswith(each) for each in GENERATIONS) and key not in (
            *POOL_ANNOTATIONS,
            *ADDRESS_ANNOTATIONS,
        ):
            fields.changed(path, f"{shown(value)}: is not read")


def _wanted_address(spec: Fields, annotations: dict[str, str]) -> None:
    address = spec.text("loadBalancerIP")
    if not address:
        return
    key = next((key for key in ADDRESS_ANNOTATIONS if annotations.get(key, "").strip()), "")
    if key and annotations[key].strip() != address:
        note = f"{address}: the annotation {key} wins, as with OpenELB 0.6; before 0.6 this field did"
        spec.changed("loadBalancerIP", note)
    else:
        spec.kept("loadBalancerIP", f"{address}: requests the address")


def fact_of(tree: dict[str, Any]) -> ServiceObserved | None:
    """A Service's fact, as the controller makes it; None where it is not Porter's."""
    try:
        service = decode("Service", msgspec.json.encode(tree))
    except Malformed as error:
        return malformed_service_fact(error, FactSettings())
    assert isinstance(service, Service)
    return service_fact(service, FactSettings())
