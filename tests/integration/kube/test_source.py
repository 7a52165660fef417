"""Facts from a real API server, through everything that can happen to a watch."""

import asyncio
import json
import signal
import time

import pytest

from porter.kube import reflector as reflector_module
from porter.kube.client import ApiError, ApiUnavailable, InvalidKubeconfig, KubeClient
from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory
from porter.kube.reflector import Reflector, Resource
from porter.kube.source import KubeSource
from porter.model.reasons import Reason
from porter.ports import FactKey
from tests.integration.kube.control_plane import CRDS, free_port
from tests.integration.kube.helpers import OPT_IN, eventually, running, until


class Counting:
    """Instrumentation that remembers the counts."""

    def __init__(self):
        self.counts = []
        self.alive = {}

    def count(self, name, amount=1, labels=None):
        self.counts.append((name, amount, dict(labels or {})))

    def gauge(self, name, value, labels=None):
        self.alive[labels["resource"]] = value

    def reasons(self, resource):
        return [labels["reason"] for _, _, labels in self.counts if labels["resource"] == resource]


async def test_a_service_is_seen_changed_and_gone(api, source):
    await api.service(externalTrafficPolicy="Local")
    await until(source, lambda: api.key() in source.facts)
    assert source.facts[api.key()].traffic_policy == "Local"
    assert source.facts[api.key(kind="Endpoints")].ready == ()
    await api.patch("services", "web", {"metadata": {"annotations": {"eip.openelb.kubesphere.io/v1alpha2": "p"}}})
    await until(source, lambda: source.facts[api.key()].requested_pool == "p")
    await api.delete("services", "web")
    await until(source, lambda: api.key() not in source.facts)
    assert api.key(kind="Endpoints") not in source.facts


async def test_a_service_of_another_class_is_no_fact(api, source):
    await api.service("other", loadBalancerClass="other.io/x")
    await api.service("ours", annotations={}, loadBalancerClass="porter.io/porter")
    await until(source, lambda: api.key("ours") in source.facts)
    assert api.key("other") not in source.facts


async def test_endpoint_slices_and_nodes(api, source):
    await api.service()
    await until(source, lambda: api.key() in source.facts)
    for number, node in enumerate(("n1", "n2")):
        await api.create(
            "endpointslices",
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"web-{number}", "labels": {"kubernetes.io/service-name": "web"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [f"10.0.0.{number + 1}"], "nodeName": node}],
            },
        )
    endpoints = api.key(kind="Endpoints")
    await until(source, lambda: source.facts[endpoints].ready == (("IPv4", ("n1", "n2")),))
    name = f"{api.namespace}-n1"
    await api.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    ready["addresses"] = [{"type": "InternalIP", "address": "192.0.2.11"}]
    await api.patch("nodes", name, {"status": ready}, "/status")
    key = FactKey("Node", name)
    await until(source, lambda: key in source.facts and source.facts[key].ready)
    assert source.facts[key].addresses == ("192.0.2.11",)


async def test_listings_in_pages_hold_everything(api, client):
    for number in range(7):
        await api.service(f"s{number}")
    small = KubeSource(client, page_items=2)
    async with running(small):
        keys = {key.name for key in small.facts if key.kind == "Service" and key.name.startswith(f"{api.namespace}/")}
    assert keys == {f"{api.namespace}/s{number}" for number in range(7)}
    assert set(small.parts().values()) == {"synced"}


async def test_malformed_pools_and_one_of_two_to_the_64_addresses(api, source):
    names = {kind: f"{api.namespace}-{kind}" for kind in ("bad", "backwards", "huge", "fine")}
    await api.eip(names["bad"], addresses=["192.0.2.0/33"])
    await api.eip(names["backwards"], addresses=["192.0.2.9-192.0.2.1"])
    await api.eip(names["huge"], address="2001:db8::/64")
    await api.eip(names["fine"], address="192.0.2.0/24")
    keys = {kind: FactKey("Pool", name) for kind, name in names.items()}
    await until(source, lambda: set(keys.values()) <= source.facts.keys())
    assert source.facts[keys["bad"]].problems[0].reason == Reason.ADDRESS_INVALID
    assert source.facts[keys["backwards"]].problems[0].field == "spec.addresses[0]"
    assert source.facts[keys["huge"]].ranges == (("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),)
    assert source.facts[keys["fine"]].problems == ()


async def test_the_largest_objects_that_the_server_stores_hold_nothing_up(api, source):
    with pytest.raises(ApiError) as refused:
        await api.service("huge", annotations=OPT_IN | {"x": "y" * 3_000_000})
    assert refused.value.status in {413, 422}
    # The server escapes each of these as six characters: the watch event is six times the annotation.
    await api.service("large", annotations=OPT_IN | {"x": "<" * 250_000})
    name = f"{api.namespace}-large"
    await api.eip(name, address="192.0.2.1", namespaces=["n" * 253] * 4000 + [""])
    await api.service("after")
    await until(source, lambda: {api.key("large"), api.key("after")} <= source.facts.keys())
    await until(source, lambda: FactKey("Pool", name) in source.facts)
    # An empty name is none: the pool says so instead of giving addresses.
    assert source.facts[FactKey("Pool", name)].problems[0].field == "spec.namespaces"
    assert set(source.parts().values()) == {"synced"}


async def test_a_kind_that_is_not_installed_says_how_to_install_it(client):
    missing = Resource("BgpPeer", "/apis/network.kubesphere.io/v1alpha2/nowhere", "install the CRDs")
    inventory = Inventory(FactSettings())
    reflector = Reflector(client, missing, inventory)
    async with running(reflector):
        await eventually(lambda: "404" in reflector.state)
        assert "install the CRDs" in reflector.state
        assert not inventory.synced


async def test_an_api_server_with_older_crds_holds_nothing_up(api, client, control_plane, monkeypatch):
    """BgpAdvertisement is missing, is installed later, and is taken away again."""
    monkeypatch.setattr(reflector_module, "ABSENT_KIND_RETRY_S", 0.1)
    monkeypatch.setattr(reflector_module, "MISSING_KIND_RETRY_S", 0.1)
    definition = str(CRDS / "bgpadvertisements.yaml")
    await asyncio.to_thread(control_plane.kubectl, "delete", "-f", definition)
    name = f"{api.namespace}-edge"
    key = FactKey("Advertisement", name)
    source = KubeSource(client)
    try:
        async with running(source):
            await eventually(lambda: source.parts()["bgpadvertisements"].startswith("synced, as none: "))
            assert "install the CRDs" in source.parts()["bgpadvertisements"]
            await asyncio.to_thread(control_plane.apply_crds)
            body = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement"}
            await api.create("bgpadvertisements", body | {"metadata": {"name": name}, "spec": {"med": 5}})
            await until(source, lambda: key in source.facts)
            assert source.parts()["bgpadvertisements"] == "synced"
            await asyncio.to_thread(control_plane.kubectl, "delete", "-f", definition)
            await until(source, lambda: key not in source.facts)
            await eventually(lambda: source.parts()["bgpadvertisements"].startswith("synced, as none: "))
            assert source.synced
    finally:
        await asyncio.to_thread(control_plane.apply_crds)


async def test_the_config_maps_of_porters_own_namespace_are_read(api, client):
    source = KubeSource(client, FactSettings(namespace=api.namespace))
    text = "global.config.as = 65000\n[[neighbors]]\nconfig = {neighbor-address = '192.0.2.254', peer-as = 65001}"
    async with running(source):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bgp-cfg"}, "data": {"config.toml": text}}
        await api.create("configmaps", body)
        await until(source, lambda: FactKey("Peer", "bgp-cfg-192-0-2-254") in source.facts)
        assert source.facts[FactKey("Conf", "default")].as_number == 65000
        await api.delete("configmaps", "bgp-cfg")
        await until(source, lambda: FactKey("Conf", "default") not in source.facts)


async def test_the_clusters_own_service_addresses_are_known(source):
    ranges = [fact.prefixes for key, fact in source.facts.items() if key.kind == "ServiceRange"]
    assert ("10.96.0.0/16", "fd96::/112") in ranges


async def test_watches_go_on_after_the_server_was_killed(api, client, control_plane):
    counting = Counting()
    source = KubeSource(client, instrumentation=counting)
    async with running(source):
        await api.service("before")
        await until(source, lambda: api.key("before") in source.facts)
        control_plane.stop_apiserver(signal.SIGKILL)
        await eventually(lambda: "services" in source.parts() and source.parts()["services"] != "synced")
        # What was known stays known: a server that is away deletes nothing.
        assert api.key("before") in source.facts
        assert source.synced
        await asyncio.to_thread(control_plane.start_apiserver)
        await api.service("after")
        await until(source, lambda: api.key("after") in source.facts)
        await eventually(lambda: set(source.parts().values()) == {"synced"})
    assert "expired" not in counting.reasons("services")
    assert counting.alive["services"] <= time.time()


async def test_deletions_in_a_gap_whose_history_is_compacted_are_found(api, client, control_plane):
    counting = Counting()
    source = KubeSource(client, instrumentation=counting)
    async with running(source):
        for name in ("stays", "goes"):
            await api.service(name)
        await until(source, lambda: {api.key("stays"), api.key("goes")} <= source.facts.keys())
        # Stand still, as a process does that is stopped: its watches break, and their history is compacted away.
        old_versions = {r.resource.plural: r._version for r in source._reflectors}
        control_plane.stop_apiserver(signal.SIGKILL)
        await eventually(lambda: all(state != "synced" for state in source.parts().values()))
        other = await _restarted_and_compacted(control_plane, api)
        await until(source, lambda: api.key("goes") not in source.facts, timeout_s=40)
        await until(source, lambda: source.synced)
        assert api.key("stays") in source.facts
        assert api.key("recreated") in source.facts
        await other.close()
    assert old_versions["services"]
    assert "expired" in counting.reasons("services")


async def _restarted_and_compacted(control_plane, api):
    """Change objects through another server process while the source cannot reach its own, then compact."""
    port, control_plane.port = control_plane.port, free_port()
    await asyncio.to_thread(control_plane.start_apiserver)
    other = await KubeClient.connect(control_plane.kubeconfig)
    await other.request("DELETE", api.path("services", "goes"))
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "recreated", "annotations": OPT_IN}}
    body["spec"] = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    await other.request("POST", api.path("services"), body=body)
    api.made.append(("services", "recreated"))
    control_plane.stop_apiserver(signal.SIGKILL)
    control_plane.compact()
    control_plane.port = port
    await asyncio.to_thread(control_plane.start_apiserver)
    return other


async def test_a_connection_without_a_byte_is_given_up(client, control_plane):
    counting = Counting()
    source = KubeSource(client, instrumentation=counting, idle_timeout_s=1.0)
    async with running(source):
        await eventually(lambda: counting.reasons("nodes"))
        assert counting.reasons("nodes")[0] == "Unavailable"
        assert source.synced


async def test_a_watch_that_the_server_ends_goes_on_without_listing_anew(client, api, monkeypatch):
    monkeypatch.setattr(reflector_module, "MIN_WATCH_S", 1)
    monkeypatch.setattr(reflector_module, "MAX_WATCH_S", 1)
    counting = Counting()
    inventory = Inventory(FactSettings())
    reflector = Reflector(client, Resource("Service", "/api/v1/services"), inventory, instrumentation=counting)
    ended = asyncio.Event()
    watch = reflector._watch

    async def observed():
        await watch()
        ended.set()

    monkeypatch.setattr(reflector, "_watch", observed)
    async with running(reflector):
        async with asyncio.timeout(10):
            await ended.wait()
        await api.service()
        await eventually(lambda: api.key() in inventory.facts)
    assert counting.counts == []


async def test_what_cannot_connect_says_why(tmp_path, control_plane):
    with pytest.raises(InvalidKubeconfig, match="does not exist"):
        await KubeClient.connect(tmp_path / "none")
    broken = tmp_path / "broken"
    broken.write_text("clusters: [")
    with pytest.raises(InvalidKubeconfig, match="cannot be used"):
        await KubeClient.connect(broken)
    config = json.loads(control_plane.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "wrong"
    (tmp_path / "wrong").write_text(json.dumps(config))
    stranger = await KubeClient.connect(tmp_path / "wrong")
    with pytest.raises(ApiError, match="check the credentials") as refused:
        await stranger.request("GET", "/api/v1/nodes")
    assert refused.value.status == 401
    await stranger.close()
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "nobody").write_text(json.dumps(config))
    nobody = await KubeClient.connect(tmp_path / "nobody")
    with pytest.raises(ApiUnavailable, match=r"127\.0\.0\.1:1"):
        await nobody.request("GET", "/api/v1/nodes")
    await nobody.close()
