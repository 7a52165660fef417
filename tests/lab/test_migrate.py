"""Taking over a cluster from another load balancer: what Services hold by its word stays theirs, and is routed."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.lab import manifests, plan, scenario
from tests.lab.client import Object
from tests.lab.lab import Lab
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

HELD = ("198.51.100.77", "198.51.100.50")
"""Neither is the lowest of the pool: who decided anew would give another."""

LOWEST = "198.51.100.10"
OPENELB_FINALIZER = "finalizer.lb.kubesphere.io/v1alpha1"
POOL_FINALIZER = "finalizer.ipam.kubesphere.io/v1alpha1"
POOL_LABEL = "eip.openelb.kubesphere.io/v1alpha2"


def existing(lab: Lab, name: str, address: str, **options: object) -> None:
    """A Service that another controller gave an address."""
    manifest = manifests.service(name, **options)  # type: ignore[arg-type]
    if "annotations" not in options:
        manifest["metadata"]["annotations"] = {}
    lab.client.create(manifest)
    scenario.write_endpoints(lab, name, dict.fromkeys(lab.web_nodes, True))
    lab.cluster.set_ingress(name, [address])


def migrate(*arguments: str) -> list[Object]:
    """What the command prints; it must find nothing wrong."""
    command = [sys.executable, "-m", "porter", "migrate", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    return list(yaml.safe_load_all(done.stdout))


def check_kept(lab: Lab, held: dict[str, str]) -> None:
    """Every Service is routed at the address that it had, at both routers."""
    routes = scenario.expected_hops(lab, list(held.values()))
    scenario.wait_routed(lab, routes, scenario.SETTLED_WITHIN_S)
    for name, address in held.items():
        assert scenario.ingress_of(lab.client.get("Service", name)) == [address], name


def metallb_objects(lab: Lab) -> list[Object]:
    """MetalLB's objects of a cluster whose routers are those of the lab."""
    specs: list[tuple[str, str, object]] = [
        ("IPAddressPool", "pool", {"addresses": [scenario.POOL4]}),
        ("BGPAdvertisement", "all", {"ipAddressPools": ["pool"]}),
    ]
    for router in lab.routers:
        peer = {"myASN": plan.SPEAKER_AS, "peerASN": router.as_number, "peerAddress": router.addresses.v4}
        specs.append(("BGPPeer", router.name, peer))
    return [
        {
            "apiVersion": "metallb.io/v1beta2" if kind == "BGPPeer" else "metallb.io/v1beta1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "metallb-system"},
            "spec": spec,
        }
        for kind, name, spec in specs
    ]


def dump(folder: Path, objects: Sequence[Object]) -> str:
    """Write objects as `kubectl get -o json` prints them."""
    path = folder / "dump.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return str(path)


@pytest.mark.parametrize("running", [False, True], ids=["porter starts afterwards", "porter runs already"])
def test_services_of_metallb_keep_their_addresses(clean: Lab, tmp_path: Path, running: bool) -> None:
    lab = clean
    held = {"first": HELD[0], "second": HELD[1]}
    for name, address in held.items():
        existing(lab, name, address)
    services = [
        {"apiVersion": "v1", "kind": "Service", **each}
        for each in lab.client.list("Service", "default")
        if each["metadata"]["name"] in held
    ]
    made = migrate("metallb", "-f", dump(tmp_path, [*metallb_objects(lab), *services]))
    porter = lab.porter()
    if running:
        porter.start()
    for manifest in made:
        lab.client.apply(manifest)
    if not running:
        porter.start()
    scenario.wait_sessions(lab, porter)
    check_kept(lab, held)
    assert scenario.serve(lab, "newcomer") == [LOWEST]
    check_kept(lab, held)


def test_services_of_openelb_keep_their_addresses_and_lose_its_finalizers(clean: Lab) -> None:
    lab = clean
    scenario.configure(lab)
    lab.client.patch("Eip", "pool", {"metadata": {"finalizers": [POOL_FINALIZER]}})
    held = {"asked": HELD[0], "given": HELD[1]}
    ours = {"lb.kubesphere.io/v1alpha1": "openelb"}
    existing(lab, "asked", HELD[0], annotations=ours | {"eip.openelb.kubesphere.io/v1alpha1": HELD[0]})
    existing(lab, "given", HELD[1], annotations=ours)
    for name in held:
        changes = {"metadata": {"finalizers": [OPENELB_FINALIZER], "labels": {POOL_LABEL: "pool"}}}
        lab.client.patch("Service", name, changes)
    porter = lab.porter()
    printed = porter.command("migrate", "openelb", "--kubeconfig", str(lab.control_plane.kubeconfig("admin")))
    assert printed == "", "nothing has to change"
    porter.start()
    scenario.wait_sessions(lab, porter)
    check_kept(lab, held)
    for kind, name in (("Service", "asked"), ("Service", "given"), ("Eip", "pool")):
        eventually(
            lambda kind=kind, name=name: not lab.client.get(kind, name)["metadata"].get("finalizers"),  # type: ignore[misc]
            f"{kind} {name} has no finalizer of OpenELB",
            scenario.SETTLED_WITHIN_S,
        )
    check_kept(lab, held)
    for name in held:
        scenario.delete_service(lab, name)
        lab.client.wait_gone("Service", name)
