"""One story of objects, told to every implementation of the port `Source`: the facts are the same at every step."""

import json
from contextlib import suppress

import pytest

from porter.kube.client import MERGE_PATCH, KubeClient
from porter.kube.facts import FactSettings
from porter.kube.manifests import ManifestSource
from porter.kube.source import KubeSource
from porter.ports import FactKey
from tests.integration.kube.control_plane import shared
from tests.integration.kube.helpers import running, until

NAMESPACE = "story"
GROUP = "network.kubesphere.io/v1alpha2"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "EndpointSlice": f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
    "Eip": f"/apis/{GROUP}/eips",
    "BgpConf": f"/apis/{GROUP}/bgpconfs",
    "BgpPeer": f"/apis/{GROUP}/bgppeers",
    "BgpAdvertisement": f"/apis/{GROUP}/bgpadvertisements",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs",
    "ConfigMap": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
}
VERSIONS = {
    "Namespace": "v1",
    "Node": "v1",
    "Service": "v1",
    "ConfigMap": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "ServiceCIDR": "networking.k8s.io/v1",
}


def manifest(kind, name, *, labels=None, annotations=None, **rest):
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    if annotations:
        metadata["annotations"] = annotations
    if kind in {"Service", "EndpointSlice", "ConfigMap"}:
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": VERSIONS.get(kind, GROUP), "kind": kind, "metadata": metadata, **rest}


def service(name="web", annotations=None, **spec):
    opted = {"lb.kubesphere.io/v1alpha1": "openelb"} | (annotations or {})
    body = {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80}], "selector": {"app": name}} | spec
    return manifest("Service", name, annotations=opted, spec=body)


def endpoints(name, *nodes, of="web", family="IPv4"):
    address = "10.0.0.1" if family == "IPv4" else "fd00::1"
    points = [{"addresses": [address], "nodeName": node} for node in nodes]
    labels = {"kubernetes.io/service-name": of}
    return manifest("EndpointSlice", name, labels=labels, addressType=family, endpoints=points)


def node(name, ready="True", labels=None):
    conditions = [{"type": "Ready", "status": ready}]
    addresses = [{"type": "InternalIP", "address": "192.0.2.11"}, {"type": "InternalIP", "address": "2001:db8::11"}]
    return manifest("Node", name, labels=labels, status={"conditions": conditions, "addresses": addresses})


BGP_CFG = """
global.config.as = 65000
neighbors = [{config = {neighbor-address = "192.0.2.254", peer-as = 65001}},
             {config = {neighbor-address = "192.0.2.253", peer-as = 65001}}]
"""
POLICY = """
global.apply-policy.config.export-policy-list = ["p"]
policy-definitions = [{name = "p", statements = [{name = "s", actions.bgp-actions.set-med = 7}]}]
"""
WHOLE_POOL = {
    "address": "192.0.2.0/28",
    "addresses": ["2001:db8::/120"],
    "priority": 3,
    "namespaces": [NAMESPACE],
    "excludes": ["192.0.2.1"],
    "avoidBuggyIPs": True,
    "autoAssign": False,
    "serviceSelector": {"matchLabels": {"app": "web"}},
    "namespaceLabelSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["red", "blue"]}]},
    "quota": {"perNamespace": 4, "overrides": {NAMESPACE: 8}},
    "reservations": [{"address": "192.0.2.7", "namespace": NAMESPACE, "name": "web"}],
    "releaseDelay": "10m",
    "sharing": {"namespaces": ["*"]},
}
ADVERTISEMENT = {
    "eips": ["story-a"],
    "peerSelector": {"matchLabels": {"site": "x"}},
    "nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "Exists"}]}],
    "communities": ["no-export", "65000:1"],
    "largeCommunities": ["65000:1:2"],
    "localPref": 200,
    "aggregationLength": 24,
}
PEER = {
    "conf": {"neighborAddress": "192.0.2.254", "peerAs": 64512, "authPassword": "hunter2"},
    "timers": {"config": {"holdTime": "30"}},
    "transport": {"passiveMode": True},
    "afiSafis": [{"config": {"family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}, "enabled": True}}],
}
STORY = [
    ("apply", manifest("Namespace", NAMESPACE, labels={"team": "red"})),
    ("apply", manifest("ConfigMap", "bgp-cfg", data={"config.toml": BGP_CFG})),
    ("apply", manifest("BgpConf", "default", spec={"as": 64500, "listenPort": 17900, "policy": "old"})),
    ("apply", manifest("ConfigMap", "old", data={"gobgp.conf": POLICY})),
    ("apply", manifest("BgpConf", "another", spec={"as": 64501})),
    ("apply", manifest("BgpPeer", "story-tor", labels={"site": "x"}, spec=PEER)),
    ("apply", manifest("BgpPeer", "story-cni", labels={"openelb.kubesphere.io/cni": "calico"}, spec=PEER)),
    ("apply", manifest("Eip", "story-a", labels={"tier": "public"}, spec=WHOLE_POOL)),
    ("apply", manifest("BgpAdvertisement", "story-edge", spec=ADVERTISEMENT)),
    ("apply", manifest("BgpAdvertisement", "story-wrong", spec={"communities": ["no-such-name"]})),
    ("apply", manifest("ServiceCIDR", "story-range", spec={"cidrs": ["10.97.0.0/24"]})),
    ("apply", manifest("Eip", "story-bad", spec={"address": "192.0.2.1", "addresses": ["192.0.2.9-192.0.2.2"]})),
    ("apply", manifest("Eip", "story-huge", spec={"address": "2001:db8::/64"})),
    ("apply", node("story-n1")),
    ("apply", node("story-n2", "Unknown", {"node.kubernetes.io/exclude-from-external-load-balancers": ""})),
    ("apply", service()),
    ("apply", endpoints("web-1", "story-n1")),
    ("apply", service("dual", ipFamilyPolicy="RequireDualStack", externalTrafficPolicy="Local")),
    ("apply", service("asking", {"eip.porter.kubesphere.io/v1alpha1": "192.0.2.3,2001:DB8::3"})),
    ("apply", service("wrong", {"eip.openelb.kubesphere.io/v1alpha1": "192.0.2.300"})),
    ("apply", service("other", loadBalancerClass="other.io/x")),
    ("apply", endpoints("web-2", "story-n2", family="IPv6")),
    ("apply", endpoints("web-1", "story-n1", "story-n2")),
    ("apply", service("asking", {"eip.porter.kubesphere.io/v1alpha1": "192.0.2.4"})),
    ("apply", node("story-n1", "False")),
    ("delete", endpoints("web-1")),
    ("delete", service("dual")),
    ("delete", node("story-n2")),
    ("delete", manifest("Eip", "story-a")),
    ("delete", manifest("BgpAdvertisement", "story-wrong")),
    ("delete", manifest("ConfigMap", "old")),
    ("delete", manifest("ConfigMap", "bgp-cfg")),
]


# What is somebody else's makes no fact.
INVISIBLE = {"another", "story-cni", "other"}


class KubeTeller:
    """Tells the story to an API server."""

    def __init__(self, client):
        self.client = client
        self.made = {}

    async def apply(self, body):
        kind, name = body["kind"], body["metadata"]["name"]
        known = (kind, name) in self.made
        path = f"{PATHS[kind]}/{name}" if known else PATHS[kind]
        main = {key: value for key, value in body.items() if key != "status"}
        await self._send("PATCH" if known else "POST", path, main)
        if "status" in body:
            await self._send("PATCH", f"{PATHS[kind]}/{name}/status", {"status": body["status"]})
        self.made[kind, name] = body

    async def delete(self, body):
        kind, name = body["kind"], body["metadata"]["name"]
        await self.client.request("DELETE", f"{PATHS[kind]}/{name}")
        del self.made[kind, name]

    async def end(self):
        for body in reversed(list(self.made.values())):
            await self.delete(body)
        await self.client.close()

    async def _send(self, method, path, body):
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        await self.client.request(method, path, body=body, content_type=content_type)


class FolderTeller:
    """Tells the story by files, one for each object."""

    def __init__(self, folder):
        self.folder = folder

    async def apply(self, body):
        path = self._path(body)
        half = path.with_suffix(".tmp")
        half.write_text(json.dumps(body))
        half.rename(path)

    async def delete(self, body):
        self._path(body).unlink()

    async def end(self):
        pass

    def _path(self, body):
        return self.folder / f"{body['kind']}-{body['metadata']['name']}.json"


def key_of(body):
    kinds = {
        "Eip": "Pool",
        "BgpConf": "Conf",
        "BgpPeer": "Peer",
        "BgpAdvertisement": "Advertisement",
        "ServiceCIDR": "ServiceRange",
        "EndpointSlice": "Endpoints",
    }
    name = body["metadata"]["name"]
    if body["kind"] == "EndpointSlice":
        name = body["metadata"]["labels"]["kubernetes.io/service-name"]
    namespace = body["metadata"].get("namespace")
    return FactKey(kinds.get(body["kind"], body["kind"]), f"{namespace}/{name}" if namespace else name)


KEYS = {key_of(body) for _, body in STORY} | {FactKey("Endpoints", f"{NAMESPACE}/{n}") for n in ("dual", "asking")}
SEEDED = FactKey("Peer", "bgp-cfg-192-0-2-253")
STATEMENT = FactKey("Advertisement", "policy-s")
KEYS |= {SEEDED, FactKey("Peer", "bgp-cfg-192-0-2-254"), STATEMENT}


def plain(fact):
    """A fact less what each API makes up for itself: versions, uids and times, and the labels it adds."""
    values = fact._asdict() | dict.fromkeys(("resource_version", "uid", "created_ms", "generation"))
    own = ("kubernetes.io/metadata.name",)
    return {name: tuple(p for p in value if p[0] not in own) if name == "labels" else value
            for name, value in values.items()}  # fmt: skip


def told(source):
    return {key: plain(source.facts[key]) for key in KEYS & source.facts.keys()}


async def facts_along_the_story(source, teller, expected=None):
    """Tell every step and return the facts after each; `expected` is what another source had there."""
    chapters = []
    async with running(source):
        for number, (verb, body) in enumerate(STORY):
            before = told(source)
            await getattr(teller, verb)(body)
            with suppress(TimeoutError):
                if expected:
                    # An API server may take two writes for what one file says.
                    await until(source, lambda number=number: told(source) == expected[number], timeout_s=5)
                elif body["metadata"]["name"] not in INVISIBLE:
                    await until(source, lambda before=before: told(source) != before, timeout_s=5)
            chapters.append(told(source))
            if expected:
                assert chapters[-1] == expected[number], f"after {verb} {body['kind']} {body['metadata']['name']}"
    await teller.end()
    return chapters


@pytest.fixture
async def by_kube(request):
    client = await KubeClient.connect(shared(request.config).kubeconfig)
    return KubeSource(client, FactSettings(namespace=NAMESPACE)), KubeTeller(client)


@pytest.fixture
def by_folder(tmp_path):
    return ManifestSource(tmp_path, FactSettings(namespace=NAMESPACE)), FolderTeller(tmp_path)


async def test_both_sources_tell_the_same_facts(by_kube, by_folder):
    from_folder = await facts_along_the_story(*by_folder)
    from_kube = await facts_along_the_story(*by_kube, from_folder)
    assert from_kube == from_folder
    assert any(SEEDED in chapter for chapter in from_kube)
    assert any(STATEMENT in chapter for chapter in from_kube)
    last = from_kube[-1]
    assert not {SEEDED, STATEMENT} & last.keys()
    assert last[FactKey("ServiceRange", "story-range")]["prefixes"] == ("10.97.0.0/24",)
    assert last[FactKey("Advertisement", "story-edge")]["communities"] == ("65000:1", "65535:65281")
    assert last[FactKey("Endpoints", f"{NAMESPACE}/web")]["ready"] == (("IPv6", ("story-n2",)),)
    assert FactKey("Service", f"{NAMESPACE}/other") not in last
    assert FactKey("Peer", "story-cni") not in last
    assert "hunter2" not in repr(last)


async def test_a_source_that_starts_later_knows_all_of_the_story_at_once(by_folder, tmp_path):
    source, teller = by_folder
    told_live = (await facts_along_the_story(source, teller))[-1]
    late = ManifestSource(tmp_path, FactSettings(namespace=NAMESPACE))
    async with running(late):
        assert told(late) == told_live
        assert late.synced
