"""`porter migrate --kubeconfig` reads a real API server, and what it prints is what that server accepts."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from porter.kube.client import ApiError
from tests.integration.kube.helpers import eventually

APPLY_PATCH = "application/apply-patch+yaml"
GROUP = "metallb.io"
KINDS = {
    "ipaddresspools": "IPAddressPool",
    "bgppeers": "BGPPeer",
    "bgpadvertisements": "BGPAdvertisement",
    "l2advertisements": "L2Advertisement",
}
"""Two kinds of MetalLB are left out: a server need not know them all."""


def crd(plural, kind):
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": schema}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
async def metallb(client, api):
    """An API server that has MetalLB's kinds; returns a function that makes an object of one."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for plural, kind in KINDS.items():
        await client.request("POST", crds, body=crd(plural, kind))

    async def make(plural, name, spec):
        path = f"/apis/{GROUP}/v1beta1/namespaces/{api.namespace}/{plural}"
        tree = {"apiVersion": f"{GROUP}/v1beta1", "kind": KINDS[plural], "metadata": {"name": name}, "spec": spec}

        async def made():
            try:
                await client.request("POST", path, body=tree)
            except ApiError as error:
                assert error.status in {404, 503}, error
                return False
            return True

        await eventually(made)

    yield make
    for plural in KINDS:
        await client.request("DELETE", f"{crds}/{plural}.{GROUP}")


async def migrate(*arguments):
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "porter", "migrate", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_a_cluster_with_metallb(client, api, control_plane, metallb):
    await metallb("ipaddresspools", "edge", {"addresses": ["203.0.113.0/28"], "avoidBuggyIPs": True})
    await metallb("bgppeers", "leaf", {"myASN": 64512, "peerASN": 64601, "peerAddress": "10.0.0.1"})
    await metallb("bgpadvertisements", "all", {"communities": ["64512:70"]})
    await api.service(annotations={"metallb.io/address-pool": "edge"}, externalTrafficPolicy="Local")
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
    await api.patch("services", "web", status, "/status")
    done = await migrate("metallb", "--kubeconfig", str(control_plane.kubeconfig), "--report", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stderr)
    [address] = [one for one in report["addresses"] if one["service"] == f"{api.namespace}/web"]
    assert (address["today"], address["then"], address["verdict"]) == (["203.0.113.7"], ["203.0.113.7"], "same")
    made = list(yaml.safe_load_all(done.stdout))
    assert {"Eip", "BgpConf", "BgpPeer", "BgpAdvertisement", "Service"} == {one["kind"] for one in made}
    for manifest in made:
        if manifest["kind"] != "Service" or manifest["metadata"]["namespace"] == api.namespace:
            await apply(client, manifest)
    service = await api.get("services", "web")
    assert service["metadata"]["annotations"]["lb.kubesphere.io/v1alpha1"] == "porter"
    assert service["metadata"]["annotations"]["eip.openelb.kubesphere.io/v1alpha1"] == "203.0.113.7"
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert service["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.7"
    for plural, name in (("eips", "edge"), ("bgppeers", "leaf"), ("bgpconfs", "default"), ("bgpadvertisements", "all")):
        await client.request("DELETE", f"/apis/network.kubesphere.io/v1alpha2/{plural}/{name}")


async def apply(client, manifest, query=""):
    """Server-side apply, as `kubectl apply --server-side` does; a field that the server does not know is an error."""
    kind, metadata = manifest["kind"], manifest["metadata"]
    root = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
    scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    path = f"{root}{scope}/{kind.lower()}s/{metadata['name']}"
    query = f"fieldManager=test&force=true&fieldValidation=Strict{query}"
    await client.request("PATCH", path, query=query, body=manifest, content_type=APPLY_PATCH)


async def test_a_cluster_without_anything_to_migrate(api, control_plane):
    for origin in ("metallb", "openelb"):
        done = await migrate(origin, "--kubeconfig", str(control_plane.kubeconfig))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""


async def test_what_the_samples_become_is_accepted_as_it_is(client, api):
    samples = Path(__file__).parents[3] / "docs/migrate/samples"
    of_openelb = [f"openelb/{one.name}" for one in (samples / "openelb").iterdir()]
    origins = {"metallb": ["metallb", "metallb-0.12"], "openelb": of_openelb}
    for origin, names in origins.items():
        for name in names:
            done = await migrate(origin, "-f", str(samples / name))
            made = list(yaml.safe_load_all(done.stdout))
            assert made, done.stderr
            for manifest in made:
                if manifest["apiVersion"].startswith("network.kubesphere.io/"):
                    await apply(client, manifest, "&dryRun=All")
