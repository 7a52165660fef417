"""IPAddressPool becomes Eip.

A pool with `serviceAllocation` is pinned: MetalLB refuses its addresses to all others, also on request. So its
namespaces become a label selector, which fences, and not `spec.namespaces`, which only steers.
"""

from __future__ import annotations

from typing import Any

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.metallb import selectors
from porter.app.migrate.metallb.selectors import Labels
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, manifest
from porter.model.address import InvalidAddress, parse_range
from porter.model.selector import Selector

LAST_PRIORITY = 2**31 - 1
MAX_ADDRESSES = 1024
EVERY_NAMESPACE = {"matchExpressions": [{"key": selectors.NAMESPACE_NAME_LABEL, "operator": "Exists"}]}


def eip_of(document: Document, report: Report, fields: Fields, namespaces: dict[str, Labels]) -> dict[str, Any] | None:
    """Convert a pool; None where none of its addresses can be read."""
    spec: dict[str, Any] = _addresses(fields)
    avoid = fields.flag("avoidBuggyIPs")
    if avoid is not None:
        fields.kept("avoidBuggyIPs", f"{shown(avoid)}: spec.avoidBuggyIPs")
        if avoid:
            spec["avoidBuggyIPs"] = True
    automatic = fields.flag("autoAssign")
    spec["autoAssign"] = automatic is not False
    if automatic is None:
        fields.changed("autoAssign", "MetalLB's default is true, Porter's is not: spec.autoAssign is written out")
    else:
        fields.kept("autoAssign", f"{shown(automatic)}: spec.autoAssign")
    if fields.has("serviceAllocation"):
        _pin(spec, fields.below("serviceAllocation"), namespaces)
    fields.finish()
    if not spec.get("address"):
        return None
    labels = document.metadata.get("labels")
    if labels:
        Fields(document, report, document.metadata, "metadata").kept("labels", "advertisements may select by them")
    return manifest("Eip", document.name, spec, labels)


def _addresses(fields: Fields) -> dict[str, Any]:
    good: list[str] = []
    for index, text in enumerate(fields.texts("addresses")):
        path = f"addresses[{index}]"
        try:
            span = parse_range(text)
        except InvalidAddress as error:
            fields.refused(path, f"{error}")
            continue
        compact = "".join(text.split())
        good.append(compact)
        fields.kept(path, f"{compact}: {span.size} addresses")
    if not good:
        fields.refused("addresses", "holds no address that can be read, so that no Eip is made; mend it")
        return {}
    if len(good) > MAX_ADDRESSES:
        fields.refused("addresses", f"holds {len(good)} entries, an Eip at most {MAX_ADDRESSES}; unite neighbours")
    spans = [parse_range(text) for text in good]
    if spans != sorted(spans):
        fields.changed("addresses", "MetalLB gives them in the listed order; Porter gives the lowest free address")
    return {"address": good[0], **({"addresses": good[1:MAX_ADDRESSES]} if good[1:] else {})}


def _pin(spec: dict[str, Any], fields: Fields, namespaces: dict[str, Labels]) -> None:
    priority = fields.integer("priority", -(2**31), 2**31 - 1)
    if priority:
        fields.kept("priority", f"{priority}: spec.priority, the lower number first")
    else:
        note = f"0, which MetalLB takes last: spec.priority {LAST_PRIORITY}, as Porter takes the lower number first"
        fields.changed("priority", note)
    spec["priority"] = priority or LAST_PRIORITY
    where = _namespaces(fields, namespaces)
    services = _services(fields)
    if where:
        spec["namespaceLabelSelector"] = where
    if services:
        spec["serviceSelector"] = services
    if where is None or services is None:
        # A pool whose bounds are not known must not be given to those that it may be kept from.
        spec["autoAssign"] = False
        fields.changed("", "until that is mended, spec.autoAssign is false: the pool gives addresses only on request")
    elif not where and not services:
        spec["namespaceLabelSelector"] = EVERY_NAMESPACE
        note = (
            "binds no one: spec.namespaceLabelSelector binds the pool to every Namespace, so that its priority counts"
        )
        fields.changed("", note)
    fields.finish()


def _namespaces(fields: Fields, known: dict[str, Labels]) -> dict[str, Any] | None:
    """The Namespaces that a pool is for, as one selector: {} for all of them, None where there is no such selector."""
    names = fields.texts("namespaces")
    alternatives = selectors.taken(fields, "namespaceSelectors")
    if not names and not alternatives:
        return None if fields.raw("namespaces") or fields.raw("namespaceSelectors") else {}
    every = [selectors.named(names)] * bool(names) + alternatives
    one = selectors.united(every)
    if one is None and not known:
        note = "no single selector says the same; give one label to these Namespaces and select by that, or add the "
        fields.refused("namespaceSelectors", f"{note}Namespaces to the input to have them listed by name")
        if names:
            note = "alone in spec.namespaceLabelSelector they would keep out what namespaceSelectors lets in"
            fields.refused("namespaces", f"{shown(names)}: {note}; give the same label to these Namespaces")
        return None
    if names:
        fields.changed("namespaces", f"{shown(names)}: spec.namespaceLabelSelector, which also refuses requests")
    if one is not None:
        if alternatives:
            fields.kept("namespaceSelectors", "one of them must match: spec.namespaceLabelSelector")
        return selectors.tree_of(one) or EVERY_NAMESPACE
    found = selectors.matching(every, known)
    note = f"no single selector says the same: those that match today ({shown(found)}), by name"
    fields.changed("namespaceSelectors", f"{note}; give them one label and select by that, to follow later edits")
    return selectors.tree_of(selectors.named(found))


def _services(fields: Fields) -> dict[str, Any] | None:
    """The Services that a pool is for, as one selector: {} for all of them, None where there is no such selector."""
    alternatives = selectors.taken(fields, "serviceSelectors")
    if not alternatives:
        return None if fields.raw("serviceSelectors") else {}
    one = selectors.united(alternatives)
    if one is None:
        note = "no single selector says the same; give one label to these Services and select by that"
        fields.refused("serviceSelectors", note)
        return None
    if one == Selector():
        fields.kept("serviceSelectors", "one of them matches every Service, so that none is needed")
        return {}
    fields.kept("serviceSelectors", "one of them must match: spec.serviceSelector")
    return selectors.tree_of(one)
