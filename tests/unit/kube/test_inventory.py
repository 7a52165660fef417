"""From objects to facts: slices over a Service, nodes, listings, and poisonous objects."""

import asyncio

import pytest

from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory, ObjectKey
from porter.kube.objects import KINDS
from porter.ports import FactKey
from tests.unit.kube.objects import OPT_IN, raw, service

WEB, WEB_ENDPOINTS = FactKey("Service", "shop/web"), FactKey("Endpoints", "shop/web")


@pytest.fixture
def inventory():
    filled = Inventory(FactSettings())
    for kind in KINDS:
        filled.begin_listing(kind)
        filled.end_listing(kind)
    return filled


def endpoint(node, ready=True, serving=None, terminating=None):
    return {"nodeName": node, "conditions": {"ready": ready, "serving": serving, "terminating": terminating}}


def slice_of(*endpoints, name="web-1", of="web", family="IPv4"):
    metadata = {"labels": {"kubernetes.io/service-name": of}}
    return raw("EndpointSlice", name, metadata=metadata, addressType=family, endpoints=list(endpoints))


async def changes(inventory):
    async with asyncio.timeout(1):
        return await inventory.changed()


def quiet(inventory):
    return not inventory._wake.is_set()


async def test_endpoints_of_all_slices_and_families_make_one_fact(inventory):
    inventory.put("Service", service())
    inventory.put("EndpointSlice", slice_of(endpoint("n2"), endpoint("n1"), endpoint("n3", ready=False)))
    inventory.put("EndpointSlice", slice_of(endpoint("n4"), {"conditions": {}}, name="web-2"))
    inventory.put("EndpointSlice", slice_of(endpoint("n1"), name="web-6", family="IPv6"))
    fact = inventory.facts[WEB_ENDPOINTS]
    assert fact.ready == (("IPv4", ("", "n1", "n2", "n4")), ("IPv6", ("n1",)))
    assert fact.terminating == ()
    inventory.remove("EndpointSlice", slice_of(name="web-1"))
    assert inventory.facts[WEB_ENDPOINTS].ready == (("IPv4", ("", "n4")), ("IPv6", ("n1",)))


async def test_serving_while_terminating_counts_where_the_node_has_none_ready(inventory):
    inventory.put("Service", service())
    leaving = {"ready": False, "serving": True, "terminating": True}
    dead = {"ready": False, "serving": False, "terminating": True}
    inventory.put(
        "EndpointSlice",
        slice_of(endpoint("n1"), endpoint("n1", **leaving), endpoint("n2", **leaving), endpoint("n3", **dead)),
    )
    assert inventory.facts[WEB_ENDPOINTS].terminating == (("IPv4", ("n2",)),)


async def test_endpoints_appear_and_go_with_a_service_of_ours(inventory):
    inventory.put("EndpointSlice", slice_of(endpoint("n1")))
    assert WEB_ENDPOINTS not in inventory.facts
    inventory.put("Service", service())
    assert inventory.facts[WEB_ENDPOINTS].ready == (("IPv4", ("n1",)),)
    inventory.put("Service", service(annotations={}))
    assert not {WEB, WEB_ENDPOINTS} & inventory.facts.keys()
    assert await changes(inventory) == {WEB, WEB_ENDPOINTS}


async def test_nobody_ready_is_not_guessed_before_the_slices_are_listed():
    inventory = Inventory(FactSettings())
    inventory.begin_listing("Service")
    inventory.put("Service", service())
    inventory.end_listing("Service")
    assert WEB in inventory.facts
    assert WEB_ENDPOINTS not in inventory.facts
    inventory.begin_listing("EndpointSlice")
    inventory.put("EndpointSlice", slice_of(endpoint("n1")))
    assert WEB_ENDPOINTS not in inventory.facts
    inventory.end_listing("EndpointSlice")
    assert inventory.facts[WEB_ENDPOINTS].ready == (("IPv4", ("n1",)),)


async def test_an_endpoint_that_moves_between_pages_of_a_listing_is_never_missing(inventory):
    inventory.put("Service", service())
    inventory.put("EndpointSlice", slice_of(endpoint("n1"), name="web-1"))
    await changes(inventory)
    inventory.begin_listing("EndpointSlice")
    inventory.put("EndpointSlice", slice_of(name="web-1"))
    assert inventory.facts[WEB_ENDPOINTS].ready == (("IPv4", ("n1",)),)
    inventory.put("EndpointSlice", slice_of(endpoint("n1"), name="web-2"))
    inventory.end_listing("EndpointSlice")
    assert WEB_ENDPOINTS not in await changes(inventory)


async def test_deletions_missed_in_a_gap_are_found_by_the_listing(inventory):
    for name in ("a", "b"):
        inventory.put("Service", service(name))
    await changes(inventory)
    inventory.begin_listing("Service")
    assert not inventory.synced
    inventory.put("Service", service("b"))
    assert FactKey("Service", "shop/a") in inventory.facts
    inventory.end_listing("Service")
    assert inventory.synced
    assert await changes(inventory) == {FactKey("Service", "shop/a"), FactKey("Endpoints", "shop/a")}
    assert FactKey("Service", "shop/b") in inventory.facts
    assert inventory.seen(ObjectKey("Service", "shop", "a")) is None


async def test_a_change_without_meaning_wakes_nobody_but_is_seen_by_the_status_writer(inventory):
    inventory.put("Service", service())
    await changes(inventory)
    told = []
    inventory.on_seen = told.append
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}
    metadata = {"resourceVersion": "8", "annotations": OPT_IN | {"porter.io/decision": "5 ab", "huge": "x" * 100}}
    inventory.put("Service", service(metadata=metadata, status=status))
    assert quiet(inventory)
    assert inventory.facts[WEB].held == ("192.0.2.1",)
    key = ObjectKey("Service", "shop", "web")
    assert told == [key]
    assert inventory.seen(key).status == status
    assert inventory.seen(key).annotations == {"porter.io/decision": "5 ab"}


async def test_a_recreated_service_shows_the_new_uid(inventory):
    inventory.put("Service", service())
    await changes(inventory)
    inventory.put("Service", service(metadata={"uid": "another"}))
    assert WEB in await changes(inventory)
    assert inventory.facts[WEB].uid == "another"


async def test_nodes(inventory):
    status = {
        "addresses": [
            {"type": "Hostname", "address": "n1"},
            {"type": "InternalIP", "address": "192.0.2.11"},
            {"type": "InternalIP", "address": "2001:DB8::11"},
            {"type": "ExternalIP", "address": "203.0.113.1"},
            {"type": "InternalIP", "address": "broken"},
        ],
        "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "True"}],
    }
    label = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    inventory.put("Node", raw("Node", "n1", metadata={"labels": label}, status=status))
    fact = inventory.facts[FactKey("Node", "n1")]
    assert (fact.addresses, fact.ready, fact.excluded) == (("192.0.2.11", "2001:db8::11"), True, True)
    status["conditions"][1]["status"] = "Unknown"
    inventory.put("Node", raw("Node", "n1", status=status))
    fact = inventory.facts[FactKey("Node", "n1")]
    assert (fact.ready, fact.excluded) == (False, False)


POISON = [
    ("Service", b"not json at all"),
    ("Service", b"[]"),
    ("Service", b'{"metadata": {"name": 5}}'),
    ("Service", b'{"metadata": {"name": "x", "labels": {"a": 1}}, "spec": {}}'),
    ("EndpointSlice", b'{"metadata": {"name": "x"}, "endpoints": 5}'),
    ("Node", b'{"metadata": {"name": "x"}, "status": {"addresses": "here"}}'),
    ("Namespace", b'{"metadata": "?"}'),
    ("Eip", b'{"metadata": {"name": "p", "generation": "many"}}'),
    ("BgpPeer", b'{"metadata": {"name": "p"}, "spec": 7}'),
    ("BgpConf", b'{"metadata": {"name": "default"}, "spec": {"as": {"deep": ' + b"[" * 200 + b"]" * 200 + b"}}}"),
    ("Eip", b'{"metadata": {"name": "deep"}, "spec": ' + b"[" * 100_000),
]


@pytest.mark.parametrize(("kind", "poison"), POISON)
async def test_a_poisonous_object_stops_no_other(inventory, kind, poison):
    inventory.put("Service", service())
    inventory.put(kind, poison)
    inventory.put("Service", service("other"))
    assert {WEB, FactKey("Service", "shop/other")} <= inventory.facts.keys()


async def test_a_malformed_service_is_named_with_the_field_and_keeps_what_it_had(inventory):
    inventory.put("Service", service())
    inventory.put("Service", service(spec={"ports": [{"port": "http"}]}))
    fact = inventory.facts[WEB]
    assert fact.ports == (("TCP", 80),)
    assert fact.problems[0].field == "spec.ports[0].port"
    inventory.put("Service", service("new", spec={"ports": "all"}))
    assert inventory.facts[FactKey("Service", "shop/new")].problems[0].field == "spec.ports"


async def test_a_malformed_node_keeps_its_last_good_fact(inventory):
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    inventory.put("Node", raw("Node", "n1", status=ready))
    inventory.put("Node", raw("Node", "n1", status={"conditions": "all well"}))
    assert inventory.facts[FactKey("Node", "n1")].ready


async def test_an_object_without_a_name_is_counted(inventory):
    inventory.put("Eip", b'{"spec": {}}')
    assert inventory.rejected == 1


def test_a_password_in_a_peer_stays_beside_the_facts():
    inventory = Inventory(FactSettings())
    conf = {"neighborAddress": "10.0.0.1", "peerAs": 1, "authPassword": "s3cret"}

    def peer(**changes):
        return raw("BgpPeer", "tor", spec={"conf": {**conf, **changes}})

    inventory.put("BgpPeer", peer())
    assert inventory.passwords == {"tor": "s3cret"}
    assert "s3cret" not in repr(inventory.facts)
    inventory.put("BgpPeer", peer(authPassword=7))
    assert inventory.passwords == {"tor": "s3cret"}, "a malformed edit keeps the session as it was"
    inventory.put("BgpPeer", peer(authPassword="other"))
    assert inventory.passwords == {"tor": "other"}
    inventory.put("BgpPeer", peer(authPassword=None))
    assert inventory.passwords == {}
    inventory.put("BgpPeer", peer())
    inventory.remove("BgpPeer", peer())
    assert inventory.passwords == {}
