"""Every rule that a manifest can break, from one table: refused by the API server, or reported by a condition."""

import json
from pathlib import Path

import pytest
import yaml

from porter.app.controller.facts import in_order
from porter.kube.client import ApiError
from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory
from porter.kube.objects import KINDS
from porter.model.reasons import Reason
from porter.ports import FactKey
from porter.projections.sessions import Sessions
from porter.projections.status import (
    advertisement_status,
    conf_status,
    peer_status,
    pool_status,
    service_conditions,
)
from tests.unit.projections.story import Story

ROWS = yaml.safe_load(Path(__file__).with_name("invalid_manifests.yaml").read_text())
GROUP = "/apis/network.kubesphere.io/v1alpha2"
API_VERSIONS = {
    "Service": "v1",
    "Node": "v1",
    "ConfigMap": "v1",
    "ServiceCIDR": "networking.k8s.io/v1",
}
PLURALS = {"Eip": "eips", "BgpConf": "bgpconfs", "BgpPeer": "bgppeers", "BgpAdvertisement": "bgpadvertisements"}
STRICT = "dryRun=All&fieldValidation=Strict"
CONF = {"kind": "BgpConf", "metadata": {"name": "default"}, "spec": {"as": 64500}}


def completed(manifest):
    kind = manifest["kind"]
    version = manifest.get("apiVersion") or API_VERSIONS.get(kind, "network.kubesphere.io/v1alpha2")
    return manifest | {"apiVersion": version, "metadata": {"name": "invalid"} | manifest.get("metadata", {})}


async def offered(client, manifest):
    """Offer a manifest to the API server as kubectl does, and return the object that it would store."""
    kind, version = manifest["kind"], manifest["apiVersion"]
    path = "/api/v1/namespaces/default/services" if kind == "Service" else f"/apis/{version}/{PLURALS[kind]}"
    return json.loads(await client.request("POST", path, query=STRICT, body=manifest))


def folded(objects):
    """The state after a leader has seen these objects and decided; older objects come first."""
    inventory = Inventory(FactSettings())
    for kind in KINDS:
        inventory.begin_listing(kind)
    for number, item in enumerate(objects):
        metadata = item["metadata"]
        metadata |= {
            "uid": metadata.get("uid") or f"uid-{number}",
            "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
        }
        inventory.put(item["kind"], json.dumps(item).encode())
    for kind in KINDS:
        inventory.end_listing(kind)
    story = Story(*(inventory.facts[key] for key in in_order(inventory.facts)))
    story.settles()
    return story.state, inventory


def conditions_of(state, inventory, kind, metadata):
    name = metadata["name"]
    match kind:
        case "Eip":
            return pool_status(state, name)["conditions"]
        case "BgpConf":
            return conf_status(state, Sessions.empty(), name)["conditions"]
        case "BgpPeer":
            return peer_status(state, Sessions.empty(), name)["conditions"]
        case "BgpAdvertisement":
            return advertisement_status(state, name)["conditions"]
    return service_conditions(state, inventory.facts[FactKey("Service", f"default/{name}")].uid)


def test_the_table_is_whole():
    assert len(ROWS) >= 60
    assert len({row["rule"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert ("rejected" in row) is not ("reported" in row), row["rule"]
        if "reported" in row:
            assert row["reported"]["reason"] in set(Reason), row["rule"]


@pytest.mark.parametrize("row", [row for row in ROWS if "rejected" in row], ids=lambda row: row["rule"])
async def test_what_one_object_shows_is_refused_at_the_api_server(client, row):
    with pytest.raises(ApiError) as refused:
        await offered(client, completed(row["manifest"]))
    assert refused.value.status in {400, 422}
    for words in row["rejected"]:
        assert words in str(refused.value)


@pytest.mark.parametrize("row", [row for row in ROWS if "reported" in row], ids=lambda row: row["rule"])
async def test_what_it_takes_more_to_see_is_reported_by_a_condition(client, row):
    manifest, wanted = completed(row["manifest"]), row["reported"]
    stored = await offered(client, manifest)
    beside = [completed(other) for other in row.get("beside", ())]
    if manifest["kind"] != "BgpConf":
        beside.append(completed(CONF))
    state, inventory = folded([*beside, stored])
    found = {each["type"]: each for each in conditions_of(state, inventory, manifest["kind"], stored["metadata"])}
    condition = found[wanted["condition"]]
    assert (condition["status"], condition["reason"]) == (wanted["status"], wanted["reason"])
    assert wanted["field"] in condition["message"]
    assert wanted["mend"] in condition["message"]
