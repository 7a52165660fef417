"""From all documents of MetalLB to a migration: in the order of what depends on what, not of the files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.kubernetes import applicable, is_load_balancer, is_well_formed
from porter.app.migrate.metallb import config_map, services
from porter.app.migrate.metallb.advertisements import (
    LAYER2,
    Aliases,
    advertisements_of,
    aliases_of,
    refuse_layer2,
)
from porter.app.migrate.metallb.aggregates import clashes
from porter.app.migrate.metallb.bfd import profile_of
from porter.app.migrate.metallb.peers import Peering
from porter.app.migrate.metallb.pools import eip_of
from porter.app.migrate.metallb.selectors import NAMESPACE_NAME_LABEL, Labels
from porter.app.migrate.metallb.services import Options
from porter.app.migrate.reading import Document, Fault
from porter.app.migrate.report import Migration, Report
from porter.model.address import Address, InvalidAddress, parse_range

GROUP = "metallb.io"
STATUS_KINDS = frozenset({"ServiceBGPStatus", "ServiceL2Status", "ConfigurationState", "BGPSessionState"})
VERSIONS = {
    "IPAddressPool": {"v1beta1"},
    "BGPPeer": {"v1beta1", "v1beta2"},
    "BGPAdvertisement": {"v1beta1"},
    "L2Advertisement": {"v1beta1"},
    "Community": {"v1beta1"},
    "BFDProfile": {"v1beta1"},
}
ADDRESS_POOL_MEND = "AddressPool was replaced by IPAddressPool in MetalLB 0.13; convert it to that first"


@dataclass
class _Given:
    """What was read, by kind; a part of a ConfigMap carries its path and names."""

    parts: dict[str, list[config_map.Part]] = field(default_factory=lambda: {kind: [] for kind in VERSIONS})
    services: list[Document] = field(default_factory=list)
    namespaces: dict[str, Labels] = field(default_factory=dict)

    def fields(self, kind: str, report: Report) -> Iterable[tuple[Document, Fields]]:
        for document, path, names in self.parts[kind]:
            yield document, Fields(document, report, document.tree.get("spec"), path, names)


def convert(documents: Iterable[Document], faults: Iterable[Fault], options: Options) -> Migration:
    """Convert everything that is MetalLB's, and report on it; other objects are passed over."""
    migration = Migration(Report(faults=list(faults)), joining=True)
    report = migration.report
    given = _sorted(documents, report)
    eips = _pools(given, migration)
    profiles = {document.name: profile_of(fields) for document, fields in given.fields("BFDProfile", report)}
    peering = Peering(options.namespace, profiles)
    for document, fields in given.fields("BGPPeer", report):
        peering.add(document, report, fields)
    aliases: Aliases = {}
    for document, _ in given.fields("Community", report):
        aliases.update(aliases_of(document, report))
    advertisements = []
    clashing = clashes((document for document, _ in given.fields("BGPAdvertisement", report)), eips)
    for document, fields in given.fields("BGPAdvertisement", report):
        for made in advertisements_of(fields, aliases, clashing):
            advertisements.append(made)
            migration.origins["BgpAdvertisement", made["metadata"]["name"]] = document
    _layer2(given, report, eips)
    served = _services(given, migration, eips, options)
    for peer in peering.peers:
        migration.origins["BgpPeer", peer.name] = peer.fields.document
    migration.manifests = [*eips.values(), *peering.objects(), *advertisements]
    migration.manifests += [applicable(each) for each in served]
    migration.services = served
    migration.service_class = next((str(one["spec"]["loadBalancerClass"]) for one in served if _has_class(one)), "")
    migration.present = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in sorted(_labelled(given, served).items())
    ]
    return migration


def _has_class(service: dict[str, Any]) -> bool:
    return bool(service["spec"].get("loadBalancerClass"))


def _sorted(documents: Iterable[Document], report: Report) -> _Given:
    given = _Given()
    seen: dict[tuple[str, str, str], str] = {}
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        if document.group in {"", GROUP} and key in seen and document.kind in {*VERSIONS, "Service"}:
            message = f"{document.title} was read from {seen[key]} already; remove one of the two"
            report.faults.append(Fault(document.where, "metadata.name", message))
            continue
        seen[key] = document.where
        if document.group == "" and not is_well_formed(document, report):
            continue
        if document.group == GROUP:
            _sort_custom(document, given, report)
        elif config_map.is_config(document):
            for part in config_map.parts(document, report):
                given.parts[part.document.kind].append(part)
        elif document.kind == "Namespace" and not document.group:
            given.namespaces[document.name] = dict(document.metadata.get("labels") or {})
        elif is_load_balancer(document):
            given.services.append(document)
    return given


def _sort_custom(document: Document, given: _Given, report: Report) -> None:
    kind, version = document.kind, document.api_version.rpartition("/")[2]
    if kind in STATUS_KINDS:
        return
    if version not in VERSIONS.get(kind, set()):
        known = ", ".join(sorted(VERSIONS.get(kind, set()))) or ", ".join(VERSIONS)
        mend = ADDRESS_POOL_MEND if kind == "AddressPool" else f"this command reads {known}"
        report.faults.append(Fault(document.where, "apiVersion", f"{document.api_version} {kind} is not read: {mend}"))
        return
    given.parts[kind].append(config_map.Part(document, "spec", {}))


def _pools(given: _Given, migration: Migration) -> dict[str, dict[str, Any]]:
    report = migration.report
    namespaces = {name: _named(name, labels) for name, labels in given.namespaces.items()}
    eips: dict[str, dict[str, Any]] = {}
    for document, fields in given.fields("IPAddressPool", report):
        if document.name in eips:
            message = f"there is a pool {document.name} already, and Eips have no namespace; rename one of the two"
            report.faults.append(Fault(document.where, "metadata.name", message))
            continue
        eip = eip_of(document, report, fields, namespaces)
        if eip is not None:
            eips[document.name] = eip
            migration.origins["Eip", document.name] = document
    return eips


def _named(name: str, labels: Labels) -> Labels:
    """The labels with the one that the API server sets itself, which files need not have."""
    return {**labels, NAMESPACE_NAME_LABEL: name}


def _layer2(given: _Given, report: Report, eips: dict[str, dict[str, Any]]) -> None:
    """Refuse layer 2, and say which pools nothing but layer 2 announces."""
    layer2: set[str] = set()
    for _, fields in given.fields("L2Advertisement", report):
        layer2 |= set(refuse_layer2(fields) or eips)
    by_bgp: set[str] = set()
    for document, _ in given.fields("BGPAdvertisement", report):
        spec = document.tree.get("spec") or {}
        by_selector = bool(spec.get("ipAddressPoolSelectors"))
        by_bgp |= set(eips) if by_selector or not spec.get("ipAddressPools") else set(map(str, spec["ipAddressPools"]))
    then = "no router learns of them; add a BgpAdvertisement that names it"
    if not given.parts["BGPAdvertisement"]:
        then = (
            "Porter tells every peer of every pool until there is a BgpAdvertisement; write one that names the others"
        )
    for document, fields in given.fields("IPAddressPool", report):
        if document.name in eips and document.name not in by_bgp:
            how = f"only by layer 2, and {LAYER2}" if document.name in layer2 else "by nothing"
            fields.refused("", f"MetalLB announces this pool {how}: its Services keep their addresses, but {then}")


def _services(
    given: _Given, migration: Migration, eips: dict[str, dict[str, Any]], options: Options
) -> list[dict[str, Any]]:
    spans = [(name, span) for name, eip in eips.items() for span in _spans(eip)]

    def pool_of(address: str) -> str:
        return next((name for name, span in spans if Address(address) in span), "")

    served, claims = [], []
    for document in given.services:
        converted = services.convert(document, migration.report, options, lambda address: bool(pool_of(address)))
        if converted is not None:
            served.append(converted[0])
            claims.append(converted[1])
    for address, namespaces in services.shared_namespaces(claims).items():
        eip = eips.get(pool_of(address))
        if eip is None:
            continue
        allowed = eip["spec"].setdefault("sharing", {"namespaces": []})["namespaces"]
        allowed[:] = sorted({*allowed, *namespaces})
        origin = migration.origins["Eip", eip["metadata"]["name"]]
        note = (
            f"Services of {shown(sorted(namespaces))} share {address}: spec.sharing.namespaces allows it to these alone"
        )
        fields = Fields(origin, migration.report, None, "")
        fields.changed("", f"{note}, and not to all that know the key")
    return served


def _spans(eip: dict[str, Any]) -> Iterable[Any]:
    for text in (eip["spec"]["address"], *eip["spec"].get("addresses", ())):
        try:
            yield parse_range(text)
        except InvalidAddress:
            continue


def _labelled(given: _Given, served: Iterable[dict[str, Any]]) -> dict[str, Labels]:
    """The Namespaces' labels by name; one that is only known by its Services has its name as a label."""
    names = {str(each["metadata"]["namespace"]) for each in served} | set(given.namespaces)
    return {name: _named(name, given.namespaces.get(name, {})) for name in names}
