"""What both origins need of Kubernetes' own objects."""

from __future__ import annotations

from typing import Any

import msgspec

from porter.app.migrate.reading import Document, Fault
from porter.app.migrate.report import Report
from porter.kube.burdens import is_old
from porter.kube.objects import KINDS, Malformed, decode
from porter.model.address import InvalidAddress, parse_address

SERVER_FIELDS = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def is_well_formed(document: Document, report: Report) -> bool:
    """Whether an object has the types that its kind allows; else the fault is reported, and it is left out."""
    if document.kind not in KINDS:
        return True
    try:
        decode(document.kind, msgspec.json.encode(document.tree))
    except Malformed as error:
        message = f"{error} of {document.title}; write the type that the API's reference names"
        report.faults.append(Fault(document.where, error.field, message))
        return False
    return True


def is_load_balancer(document: Document) -> bool:
    """Whether a document is a Service of type LoadBalancer."""
    return document.kind == "Service" and document.tree.get("spec", {}).get("type") == "LoadBalancer"


def held_by(document: Document) -> tuple[str, ...]:
    """The addresses in a Service's status."""
    status = document.tree.get("status")
    balancer = status.get("loadBalancer") if isinstance(status, dict) else None
    points = balancer.get("ingress") if isinstance(balancer, dict) else None
    found = [point.get("ip") for point in points if isinstance(point, dict)] if isinstance(points, list) else []
    return tuple(address for text in found if (address := canonical(text)))


def canonical(text: object) -> str:
    """An address in its canonical form; "" where it is none."""
    try:
        return parse_address(str(text)) if text else ""
    except InvalidAddress:
        return ""


def applicable(tree: dict[str, Any]) -> dict[str, Any]:
    """An object without what only the API server writes, and without OpenELB's finalizers."""
    metadata = {key: value for key, value in tree["metadata"].items() if key not in SERVER_FIELDS}
    finalizers = metadata.pop("finalizers", None)
    # What is applied must not put back what Porter takes off.
    left = [name for name in finalizers if not is_old(str(name))] if finalizers else []
    if left:
        metadata["finalizers"] = left
    if "annotations" in metadata:
        # kubectl writes it anew; printed, it would say what no longer is.
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    return {**{key: value for key, value in tree.items() if key != "status"}, "metadata": metadata}
