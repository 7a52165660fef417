"""Random operations on a `World`, as plain values, so that a failing history prints itself."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.model.address import Address
from porter.model.selector import Requirement, Selector
from tests.property.world import POOL_RANGES, World

NAMES = ("a-1", "a-2", "a-3", "b-1", "b-2")
NODES = ("n1", "n2", "n3", "n4")
POOLS = ("p", "q", "r")
REQUESTS = (
    (),
    (),
    ("198.51.100.0",),
    ("198.51.100.0",),
    ("192.0.2.1",),
    ("192.0.2.2",),
    ("198.51.100.3",),
    ("2001:db8::2",),
    ("198.51.100.1", "2001:db8::1"),
    ("198.51.100.0", "198.51.100.1"),
    ("192.0.2.0", "192.0.2.1", "198.51.100.2"),
    ("198.51.100.1", "2001:db8::1", "2001:db8::2"),
    ("203.0.113.9",),
    (),
    (),
)
RESERVATIONS = (
    (),
    (),
    (("198.51.100.0", "a", "a-1"),),
    (("198.51.100.1", "a", "a-2"), ("198.51.100.2", "b", "b-1"), ("2001:db8::", "b", "b-1")),
    (("192.0.2.1", "b", "b-2"), ("203.0.113.1", "a", "a-1")),
)
SELECTORS = ((), (), (), (Selector((("app", "x"),)),), (Selector((), (Requirement("app", "NotIn", ("x",)),)),))
STACKS = (
    (("IPv4",), "SingleStack"),
    (("IPv4",), "SingleStack"),
    (("IPv6",), "SingleStack"),
    (("IPv4", "IPv6"), "PreferDualStack"),
    (("IPv6", "IPv4"), "RequireDualStack"),
)

node_subsets = st.lists(st.sampled_from((*NODES, "")), unique=True, max_size=3).map(lambda names: tuple(sorted(names)))
endpoint_pairs = st.dictionaries(st.sampled_from(("IPv4", "IPv6")), node_subsets.filter(bool)).map(
    lambda nodes: tuple(sorted(nodes.items()))
)

# What is left out stays as it is, or as it is by default: most histories change a few things at a time.
service_fields = st.fixed_dictionaries(
    {},
    optional={
        "ports": st.sampled_from(((("TCP", 80),), (("TCP", 443),), (("TCP", 80), ("UDP", 53)))),
        "traffic_policy": st.sampled_from(("Cluster", "Cluster", "Local")),
        "stack": st.sampled_from(STACKS),
        "requested_pool": st.sampled_from(("", "", "p", "q", "absent")),
        "requested_addresses": st.sampled_from(REQUESTS),
        "sharing_key": st.sampled_from(("", "k", "k")),
        "labels": st.sampled_from(((), (("app", "x"),))),
    },
)

pool_choices: dict[str, st.SearchStrategy[Any]] = {
    "disabled": st.sampled_from((False, False, True)),
    "auto_assign": st.sampled_from((None, True, False)),
    "priority": st.integers(0, 2),
    "namespaces": st.sampled_from(((), (), ("a",))),
    "namespace_selector": st.sampled_from(((), (), (("team", "x"),))),
    "protocol": st.sampled_from(("bgp", "bgp", "layer2")),
    "excludes": st.sampled_from(((), (), (("198.51.100.1", "198.51.100.2"),), (("192.0.2.0", "192.0.2.0"),))),
    "avoid_buggy": st.sampled_from((False, False, True)),
    "service_selector": st.sampled_from(SELECTORS),
    "namespace_label_selector": st.sampled_from(((), (), (), (Selector((("team", "x"),)),))),
    "quota_per_namespace": st.sampled_from((-1, -1, -1, 0, 1, 2)),
    "quota_overrides": st.sampled_from(((), (), (("a", 1),), (("a", -1), ("b", 2)))),
    "reservations": st.sampled_from(RESERVATIONS),
    "release_delay_ms": st.sampled_from((0, 0, 5_000, 50_000)),
    "sharing_namespaces": st.sampled_from(((), (), ("a", "b"), ("*",), ("a",))),
}
ranges_of_pools = {"ranges": st.sampled_from(sorted(POOL_RANGES)), "default": st.booleans()}
pool_fields = st.fixed_dictionaries(ranges_of_pools, optional=pool_choices)
pool_edits = st.fixed_dictionaries({}, optional=pool_choices)

operations = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES), service_fields),
    st.tuples(st.just("create"), st.sampled_from(NAMES), service_fields),
    st.tuples(st.just("edit"), st.sampled_from(NAMES), service_fields),
    st.tuples(st.just("edit"), st.sampled_from(NAMES), service_fields),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("endpoints"), st.sampled_from(NAMES), endpoint_pairs, endpoint_pairs),
    st.tuples(st.just("node"), st.sampled_from(NODES), st.booleans(), st.booleans(), st.sampled_from((4, 6, 46))),
    st.tuples(st.just("node gone"), st.sampled_from(NODES)),
    st.tuples(st.just("node drain"), st.sampled_from(NODES), st.sampled_from(("begin", "force", "elapse", "end"))),
    st.tuples(st.just("service drain"), st.sampled_from(NAMES), st.sampled_from(("begin", "elapse", "end"))),
    st.tuples(
        st.just("speaker drain"), st.sampled_from(("s1", "s2")), st.sampled_from(("begin", "now", "elapse", "end"))
    ),
    st.tuples(st.just("hold"), st.integers(0, 3)),
    st.tuples(st.just("approve")),
    st.tuples(st.just("pool"), st.sampled_from(POOLS), pool_fields),
    st.tuples(st.just("pool edit"), st.sampled_from(("p", "p", "q")), pool_edits),
    st.tuples(st.just("pool edit"), st.sampled_from(("p", "p", "q")), pool_edits),
    st.tuples(st.just("pool gone"), st.sampled_from(POOLS)),
    st.tuples(st.just("namespace"), st.sampled_from(("a", "b")), st.booleans()),
    st.tuples(st.just("status"), st.sampled_from(NAMES)),
    st.tuples(st.just("statuses")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("time"), st.sampled_from((1_000, 100_000))),
)


def _service_changes(fields: dict[str, Any]) -> dict[str, Any]:
    changes = dict(fields)
    if "stack" in changes:
        changes["families"], changes["family_policy"] = changes.pop("stack")
    if "requested_addresses" in changes:
        changes["requested_addresses"] = tuple(Address(one) for one in changes["requested_addresses"])
    return changes


def _pool_changes(fields: dict[str, Any]) -> dict[str, Any]:
    changes = dict(fields)
    if "ranges" in changes:
        changes["ranges"] = tuple((Address(one), Address(two)) for one, two in POOL_RANGES[changes["ranges"]])
    if "reservations" in changes:
        changes["reservations"] = tuple(observed.Reservation(*one) for one in changes["reservations"])
    return changes


def _key(name: str) -> str:
    return f"{name.partition('-')[0]}/{name}"


def _node_drain(name: str, step: str) -> Event:
    match step:
        case "elapse":
            return decided.NodeDrainElapsed(name)
        case "end":
            return decided.NodeUndrained(name, "ada", "")
    return decided.NodeDrained(name, name, "ada", "", 10_000, step == "force")


def _service_drain(fact: observed.ServiceObserved, step: str) -> Event:
    match step:
        case "elapse":
            return decided.ServiceDrainElapsed(fact.uid, fact.namespace, fact.name)
        case "end":
            return decided.ServiceUndrained(fact.uid, fact.namespace, fact.name, "ada", "")
    return decided.ServiceDrained(fact.uid, fact.namespace, fact.name, "ada", "", 10_000)


def _speaker_drain(name: str, step: str) -> Event:
    match step:
        case "elapse":
            return decided.SpeakerDrainElapsed(name)
        case "end":
            return decided.SpeakerUndrained(name, "ada", "")
    return decided.SpeakerDrained(name, "ada", "", 0 if step == "now" else 10_000)


def _apply_to_pool(world: World, operation: tuple[Any, ...]) -> None:
    kind, name, *rest = operation
    before = world.objects.get(("Pool", name))
    match kind:
        case "pool":
            created_ms = before.created_ms if isinstance(before, observed.PoolObserved) else world.position
            fact = observed.PoolObserved(name, name, "1", world.position, created_ms)
            world.puts("Pool", name, fact._replace(**_pool_changes(rest[0])))
            world.observes(("Pool", name))
        case "pool edit":
            if isinstance(before, observed.PoolObserved):
                world.puts("Pool", name, before._replace(**_pool_changes(rest[0])))
                world.observes(("Pool", name))
        case "pool gone":
            world.puts("Pool", name, None)
            world.observes(("Pool", name))


def apply(world: World, operation: tuple[Any, ...]) -> None:
    """Carry one operation out: the object changes, and the leader notices."""
    kind, *rest = operation
    match kind:
        case "create":
            world.creates_service(rest[0], **_service_changes(rest[1]))
            world.observes(("Service", _key(rest[0])))
        case "edit":
            fact = world.services().get(_key(rest[0]))
            if fact is not None:
                world.puts("Service", _key(rest[0]), fact._replace(**_service_changes(rest[1])))
                world.observes(("Service", _key(rest[0])))
        case "delete":
            world.puts("Service", _key(rest[0]), None)
            world.observes(("Service", _key(rest[0])))
            world.observes(("Endpoints", _key(rest[0])))
        case "endpoints":
            name, ready, terminating = rest
            fact = observed.EndpointsObserved(name.partition("-")[0], name, ready, terminating)
            world.puts("Endpoints", _key(name), fact if ready or terminating else None)
            world.observes(("Endpoints", _key(name)))
        case "node":
            name, ready, excluded, stacks = rest
            number = NODES.index(name) + 1
            four, six = (Address(f"10.0.0.{number}"),), (Address(f"fd00::{number}"),)
            addresses = {4: four, 6: six, 46: four + six}[stacks]
            world.puts("Node", name, observed.NodeObserved(name, name, "1", addresses, ready, excluded))
            world.observes(("Node", name))
        case "node gone":
            world.puts("Node", rest[0], None)
            world.observes(("Node", rest[0]))
        case "node drain":
            world.journals(_node_drain(*rest))
        case "service drain":
            fact = world.services().get(_key(rest[0]))
            if fact is not None:
                world.journals(_service_drain(fact, rest[1]))
        case "speaker drain":
            world.journals(_speaker_drain(*rest))
        case "hold":
            prefixes = tuple(sorted(world.state.loc_rib.routes)[: rest[0]])
            number = world.position + 1
            world.journals(decided.WithdrawalHeld(number, "NoReadyEndpoint", prefixes, 3, 4, 25, 2, 600_000))
        case "approve":
            world.journals(*(decided.WithdrawalApproved(one, "ada", "") for one in world.state.ledger.holds.open))
        case "pool" | "pool edit" | "pool gone":
            _apply_to_pool(world, operation)
        case "namespace":
            labels = (("team", "x"),) if rest[1] else ()
            world.puts("Namespace", rest[0], observed.NamespaceObserved(rest[0], labels))
            world.observes(("Namespace", rest[0]))
        case "status":
            fact = world.services().get(_key(rest[0]))
            if fact is not None:
                world.writes_status(fact.uid)
                world.observes(("Service", _key(rest[0])))
        case "statuses":
            world.writes_statuses()
        case "settle":
            world.settles()
        case "restart":
            world.restarts()
        case "time":
            world.time_ms += rest[0]
