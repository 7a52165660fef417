"""The planned changes as facts: manifests through the conversions of a controller, and what is taken away.

An object that is there already keeps its identity and its age: its manifest names neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import msgspec

from porter.app.history.reading import NotThere
from porter.app.migrate.reading import Document, read
from porter.app.migrate.simulate import identified
from porter.events.catalogue import Event
from porter.events.observed import (
    AdvertisementGone,
    ConfGone,
    EndpointsObserved,
    NamespaceGone,
    NodeGone,
    PeerGone,
    PoolGone,
    ServiceGone,
    ServiceObserved,
)
from porter.kube.facts import FactSettings
from porter.kube.facts.convert import FACT_KINDS
from porter.kube.facts.endpoints import SliceNodes, endpoints_fact, slice_nodes
from porter.kube.inventory import Inventory as Source
from porter.kube.inventory import meaning
from porter.kube.objects import KINDS, EndpointSlice, Malformed, decode
from porter.model.reasons import Problem, Reason
from porter.ports import FactKey
from porter.projections.cluster import ClusterState

KIND_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("service", "services", "svc"), "Service"),
    **dict.fromkeys(("eip", "eips", "pool"), "Eip"),
    **dict.fromkeys(("bgppeer", "bgppeers", "bgpp", "peer"), "BgpPeer"),
    **dict.fromkeys(("bgpconf", "bgpconfs", "bgpc"), "BgpConf"),
    **dict.fromkeys(("bgpadvertisement", "bgpadvertisements", "bgpa"), "BgpAdvertisement"),
    **dict.fromkeys(("node", "nodes", "no"), "Node"),
    **dict.fromkeys(("namespace", "namespaces", "ns"), "Namespace"),
}
"""How `--delete` may name a kind, as kubectl does."""

IN_ORDER = ("Namespace", "Node", "Eip", "BgpConf", "BgpPeer", "BgpAdvertisement", "Service", "EndpointSlice")
"""What a decision depends on comes before what is decided."""


class NotPlannable(ValueError):
    """A change that cannot be made; the message names it and the mend."""


class Deletion(NamedTuple):
    """What is to be deleted: a kind of `FACT_KINDS`, and its full name."""

    kind: str
    name: str


@dataclass(slots=True)
class Changes:
    """Manifests to apply and objects to take away; nodes and peers that are to fail."""

    documents: list[Document] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    nodes_down: list[str] = field(default_factory=list)
    peers_down: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_changes(
    files: Iterable[str], deletions: Iterable[str], nodes_down: Iterable[str], peers_down: Iterable[str]
) -> Changes:
    """Read what the command line names.

    Raises:
        Unreadable: a file is not there.
        NotPlannable: a deletion names no object.
    """
    documents, faults = read(files)
    told = [f"{fault.where}: {fault.message}" for fault in faults]
    found = [_deletion(text) for text in deletions]
    return Changes(documents, found, list(nodes_down), list(peers_down), told)


def _deletion(text: str) -> Deletion:
    kind, _, name = text.partition("/")
    known = KIND_NAMES.get(kind.lower())
    if known is None or not name or (known == "Service") != ("/" in name):
        raise NotPlannable(
            f"--delete {text!r} names no object; write one like eip/public, node/node-1 or service/shop/web"
        )
    return Deletion(known, name)


class Planned(NamedTuple):
    """The facts that the changes make, in order; what is odd about them; and each object of a manifest as it will be,
    by its title, also where that changes nothing."""

    facts: list[Event]
    notes: list[str]
    objects: list[tuple[str, Event]]


def facts_of(changes: Changes, state: ClusterState, settings: FactSettings) -> Planned:
    """What the changes make.

    Raises:
        NotThere: something that is to go is not there.
    """
    planned = _manifests(changes.documents, state, settings)
    facts = planned.facts
    for kind, name in changes.deletions:
        facts.append(_gone(kind, name, state))
    facts += _nodes_down(changes.nodes_down, state)
    for name in changes.peers_down:
        if name not in state.inventory.peers:
            raise NotThere(f"--peer-down {name}: no BgpPeer of that name is known")
    return planned


def _manifests(documents: Sequence[Document], state: ClusterState, settings: FactSettings) -> Planned:
    source = Source(settings)
    planned = Planned([], [], [])
    facts, notes = planned.facts, planned.notes
    slices: dict[str, list[SliceNodes]] = {}
    for document in sorted(documents, key=_order):
        kind = document.kind
        if kind == "EndpointSlice":
            _take_slice(document, slices, notes)
        elif kind in FACT_KINDS and kind in KINDS:
            _take(document, source, state, planned)
        else:
            notes.append(f"{document.where}: a {kind} changes nothing of Porter's")
    for service, nodes in sorted(slices.items()):
        namespace, _, name = service.partition("/")
        fact = endpoints_fact(namespace, name, nodes)
        if fact != state.inventory.endpoints.get(service):
            facts.append(fact)
    return planned


def _order(document: Document) -> tuple[int, str, str]:
    place = IN_ORDER.index(document.kind) if document.kind in IN_ORDER else len(IN_ORDER)
    return place, document.namespace, document.name


def _take(document: Document, source: Source, state: ClusterState, planned: Planned) -> None:
    facts, notes, objects = planned
    kind: Any = document.kind
    fact_kind = FACT_KINDS[kind]
    name = f"{document.namespace or 'default'}/{document.name}" if fact_kind == "Service" else document.name
    before = state.inventory.get(fact_kind, name)
    tree = _identified(document, before)
    source.put(kind, msgspec.json.encode(tree))
    fact = source.facts.get(FactKey(fact_kind, name))
    if fact is None:
        if before is not None:
            facts.append(_gone(kind, name, state, reason=Reason.SERVICE_NOT_CLAIMED))
        else:
            notes.append(f"{document.where}: {document.title} does not concern Porter")
        return
    fact = _aged(fact, before, state)
    if before is None or meaning(before) != meaning(fact):
        facts.append(fact)
    objects.append((document.title, fact))
    problems: tuple[Problem, ...] = getattr(fact, "problems", ())
    notes += [f"{document.title}: {problem.field}: {problem.message}" for problem in problems]


def _identified(document: Document, before: Event | None) -> dict[str, Any]:
    tree = identified(document.tree)
    metadata = tree["metadata"]
    if document.kind == "Service":
        metadata.setdefault("namespace", "default")
    uid = getattr(before, "uid", "")
    if uid and "uid" not in document.metadata:
        metadata["uid"] = uid
    if isinstance(before, ServiceObserved):
        # The API server keeps these where a manifest leaves them out.
        spec = tree.setdefault("spec", {})
        spec.setdefault("ipFamilies", list(before.families))
        spec.setdefault("ipFamilyPolicy", before.family_policy)
    return tree


def _aged(fact: Event, before: Event | None, state: ClusterState) -> Event:
    """As old as it is, or new: age decides between objects that contradict each other. Manifests name no generation."""
    fields: dict[str, int] = {
        # A folder of manifests tells no age: 0 is one that stays.
        "created_ms": getattr(before, "created_ms", state.ledger.time_ms),
        "generation": getattr(before, "generation", 1),
    }
    known = {name: value for name, value in fields.items() if name in fact._fields}
    return fact._replace(**known)  # type: ignore[arg-type]  # it has these fields


def _take_slice(document: Document, slices: dict[str, list[SliceNodes]], notes: list[str]) -> None:
    try:
        item = decode("EndpointSlice", msgspec.json.encode(identified(document.tree)))
    except Malformed as error:
        notes.append(f"{document.where}: {error}")
        return
    nodes = slice_nodes(item) if isinstance(item, EndpointSlice) else None
    if nodes is not None:
        slices.setdefault(nodes.service, []).append(nodes)


def _gone(kind: str, name: str, state: ClusterState, *, reason: str = Reason.SERVICE_DELETED) -> Event:
    before: Any = state.inventory.get(FACT_KINDS[kind], name)  # type: ignore[index]  # a kind of KIND_NAMES
    if before is None:
        raise NotThere(f"--delete {kind.lower()}/{name}: nothing of that name is known; see `porter status`")
    if isinstance(before, ServiceObserved):
        return ServiceGone(before.uid, before.namespace, before.name, reason)
    if kind == "Eip":
        return PoolGone(name, before.uid)
    others: dict[str, Any] = {
        "BgpPeer": PeerGone,
        "BgpConf": ConfGone,
        "BgpAdvertisement": AdvertisementGone,
        "Node": NodeGone,
        "Namespace": NamespaceGone,
    }
    return cast("Event", others[kind](name))


def _nodes_down(names: Sequence[str], state: ClusterState) -> list[Event]:
    """Nodes that fail are not Ready, and their endpoints are not either."""
    found: list[Event] = []
    for name in names:
        node = state.inventory.nodes.get(name)
        if node is None:
            raise NotThere(f"--node-down {name}: no Node of that name is known")
        found.append(node._replace(ready=False))
    for _, endpoints in sorted(state.inventory.endpoints.items()):
        left = _without(endpoints, frozenset(names))
        if left != endpoints:
            found.append(left)
    return found


def _without(endpoints: EndpointsObserved, gone: frozenset[str]) -> EndpointsObserved:
    ready, terminating = (
        tuple((family, left) for family, nodes in rows if (left := tuple(one for one in nodes if one not in gone)))
        for rows in (endpoints.ready, endpoints.terminating)
    )
    return endpoints._replace(ready=ready, terminating=terminating)
