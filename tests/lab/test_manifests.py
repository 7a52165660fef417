"""A folder of manifests instead of an API server: nothing stands between Porter and what somebody wrote there."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab import manifests, plan, scenario
from tests.lab.client import Object
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

MEBIBYTE = 1024 * 1024

MALFORMED: dict[str, tuple[Object, str]] = {
    "bad-cidr": (manifests.eip("bad-cidr", address="198.51.300.0/24", default=False), "198.51.300.0/24"),
    "reversed": (manifests.eip("reversed", address="203.0.113.9-203.0.113.3", default=False), "203.0.113.9"),
    "odd": (manifests.eip("odd", address="203.0.113.0/28", default=False, adress="203.0.113.0/24"), "adress"),
    "no-text": (manifests.eip("no-text", address=[198, 51], default=False), "spec.address"),
    "as-zero": (manifests.bgp_peer("as-zero", "10.77.0.99", 0), "peerAs"),
    "three-mebibytes": (
        manifests.service(
            "three-mebibytes",
            annotations={"eip.openelb.kubesphere.io/v1alpha2": "x" * 3 * MEBIBYTE, "note": "y" * MEBIBYTE},
        ),
        "characters",
    ),
    "ports-are-no-list": (manifests.service("ports-are-no-list", ports="http"), "ports"),
}
"""By file: a manifest that no API server would let through, and a word that its refusal must have."""


def test_folder_with_malformed_manifests(clean: Lab) -> None:
    lab = clean
    folder = lab.run.folder / "manifests"
    folder.mkdir()
    good = write_folder(lab, folder)
    for name, (manifest, _) in MALFORMED.items():
        write(folder, f"bad-{name}", manifest)
    porter = Porter(
        lab.run, lab.porter_namespace(1), "folder", plan.porter(1).v4, None, options=["--manifests", str(folder)]
    )
    try:
        porter.start()
        scenario.wait_sessions(lab, porter)
        for name, (manifest, word) in MALFORMED.items():
            eventually(
                lambda manifest=manifest, word=word: word in said_of(porter, folder, manifest),  # type: ignore[misc]
                f"{name} is refused for its {word}",
                scenario.SETTLED_WITHIN_S,
            )
        check_folder_served(lab, folder, good)
        # The folder is watched: one more manifest is served beside the bad ones, and a file that is no manifest at all.
        (folder / "broken.yaml").write_text("kind: Service\n  metadata: [")
        write_service(lab, folder, "late")
        check_folder_served(lab, folder, [*good, "late"])
        scenario.check_memory(porter)
    finally:
        porter.end()


def write(folder: Path, name: str, *objects: Object) -> None:
    """Write manifests into a file of the folder, in one step."""
    whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    temporary = folder / f".{name}.new"
    temporary.write_text(json.dumps(whole))
    temporary.replace(folder / f"{name}.json")


def write_folder(lab: Lab, folder: Path) -> list[str]:
    """Write a cluster that works into the folder; returns the names of its Services."""
    for node in lab.cluster.nodes.values():
        manifest = manifests.node(node.name, node.addresses, node.number)
        manifest["metadata"]["uid"] = f"uid-of-{node.name}"
        addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
        manifest["status"] = {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]}
        write(folder, node.name, manifest)
    peers = [manifests.bgp_peer(each.name, each.addresses.v4, each.as_number) for each in lab.routers]
    write(folder, "bgp", manifests.bgp_conf(), *peers)
    write(folder, "pool", manifests.eip("pool", address=scenario.POOL4))
    names = ["first", "second"]
    for name in names:
        write_service(lab, folder, name)
    return names


def write_service(lab: Lab, folder: Path, name: str) -> None:
    """Write a Service with its EndpointSlice into the folder."""
    pods = [(node, lab.cluster.pods["default", f"web-{node}"].addresses.v4, True) for node in lab.web_nodes]
    write(folder, name, manifests.service(name), manifests.endpoint_slice(name, pods))


def said_of(porter: Porter, folder: Path, manifest: Object) -> str:
    """What Porter says of a manifest, as text: a Service's refusal, or the conditions in the status beside it."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "Service":
        return scenario.refusal_of(porter, metadata["name"])
    path = folder / ".status" / f"{manifest['kind']}.{metadata.get('namespace', '')}.{metadata['name']}.json"
    return json.dumps(json.loads(path.read_text()).get("conditions", "")) if path.exists() else ""


def check_folder_served(lab: Lab, folder: Path, names: Sequence[str]) -> None:
    """Each of these Services has an address in its status file, and its routes at both routers."""
    for name in names:
        path = folder / ".status" / f"Service.default.{name}.json"
        eventually(
            lambda path=path: path.exists() and scenario.ingress_of({"status": json.loads(path.read_text())}),  # type: ignore[misc]
            f"{name} has an address",
            scenario.SETTLED_WITHIN_S,
        )
        addresses = scenario.ingress_of({"status": json.loads(path.read_text())})
        scenario.wait_routed(lab, scenario.expected_hops(lab, addresses), scenario.SETTLED_WITHIN_S)
