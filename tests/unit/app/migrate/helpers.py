"""Documents from YAML, and what a report says, as tests compare it."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from porter.app.migrate.metallb import Options, convert
from porter.app.migrate.openelb import convert as convert_openelb
from porter.app.migrate.reading import Document, Fault, parse
from porter.app.migrate.report import Migration
from porter.app.migrate.simulate import simulate
from porter.kube.facts import FactSettings


def read(text: str) -> tuple[list[Document], list[Fault]]:
    found = list(parse(dedent(text), "in"))
    return [one for one in found if isinstance(one, Document)], [one for one in found if isinstance(one, Fault)]


def metallb(text: str, **options: Any) -> Migration:
    return convert(*read(text), Options(**options))


def openelb(text: str, namespace: str = "porter-system") -> Migration:
    return convert_openelb(*read(text), namespace)


def specs(migration: Migration, kind: str) -> dict[str, Any]:
    """The specs of a kind's manifests by name."""
    return {one["metadata"]["name"]: one.get("spec") for one in migration.manifests if one["kind"] == kind}


def annotations(migration: Migration, name: str) -> dict[str, str]:
    [found] = [one for one in migration.manifests if one["kind"] == "Service" and one["metadata"]["name"] == name]
    return found["metadata"]["annotations"]


def said(migration: Migration, field: str) -> list[tuple[str, str]]:
    """Verdict and note of every entry of a field."""
    return [(str(one.verdict), one.note) for one in migration.report.entries if one.field == field]


def outcomes(migration: Migration, settings: FactSettings | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Verdict and later addresses by Service."""
    simulation = simulate(migration, settings or FactSettings())
    return {one.service: (one.verdict, one.then) for one in simulation.outcomes}


def pool(name: str = "p", **spec: Any) -> str:
    """An IPAddressPool as a document."""
    return custom("IPAddressPool", name, {"addresses": ["192.0.2.0/28"], **spec})


def custom(kind: str, name: str, spec: Any, version: str = "v1beta1") -> str:
    import json

    metadata = {"name": name, "namespace": "metallb-system"}
    tree = {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": metadata, "spec": spec}
    return f"---\n{json.dumps(tree)}\n"


def service(name: str, *held: str, namespace: str = "shop", port: int = 80, **more: Any) -> str:
    """A Service of type LoadBalancer as a document; `more` has annotations, labels, metadata and fields of spec."""
    import json

    metadata = {"name": name, "namespace": namespace}
    for field in ("annotations", "labels", "finalizers", "creationTimestamp"):
        if field in more:
            metadata[field] = more.pop(field)
    spec = {"type": "LoadBalancer", "ports": [{"port": port, "protocol": "TCP"}], **more}
    tree = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    if held:
        tree["status"] = {"loadBalancer": {"ingress": [{"ip": address} for address in held]}}
    return f"---\n{json.dumps(tree)}\n"
