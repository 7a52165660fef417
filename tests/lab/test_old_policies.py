"""An old installation's ConfigMaps beside a router, and what kubectl shows of the objects that came of it."""

from pathlib import Path

import pytest
import yaml

from tests.lab import scenario
from tests.lab.lab import Lab
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

SAMPLE = Path(__file__).parent / "samples" / "openelb.yaml"
OWN_AS, SPEAKERS_AS = 50001, 50000
ADDRESS, PREFIX = "172.22.0.7", "172.22.0.7/32"
NAMESPACE = "porter-system"
POLICY = """
[global.apply-policy.config]
  export-policy-list = ["mark"]
[[defined-sets.prefix-sets]]
  prefix-set-name = "pool"
  [[defined-sets.prefix-sets.prefix-list]]
    ip-prefix = "172.22.0.0/16"
    masklength-range = "16..32"
[[policy-definitions]]
  name = "mark"
  [[policy-definitions.statements]]
    name = "pool"
    [policy-definitions.statements.conditions.match-prefix-set]
      prefix-set = "pool"
    [policy-definitions.statements.actions]
      route-disposition = "accept-route"
      [policy-definitions.statements.actions.bgp-actions]
        set-med = 77
        [policy-definitions.statements.actions.bgp-actions.set-community]
          options = "add"
          [policy-definitions.statements.actions.bgp-actions.set-community.set-community-method]
            communities-list = ["50000:7"]
"""


def config_map(name: str, **data: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_a_policy_of_an_old_installation_marks_its_routes(clean: Lab) -> None:
    lab = clean
    with lab.bird.renumbered(OWN_AS, SPEAKERS_AS):
        lab.porter().start()
        lab.client.apply(config_map("old-policy", **{"gobgp.conf": POLICY}))
        for manifest in yaml.safe_load_all(SAMPLE.read_text()):
            if manifest["kind"] == "BgpConf":
                manifest["spec"]["policy"] = "old-policy"
            lab.client.create(manifest)
        assert lab.cluster.wait_ingress("sample-service") == [ADDRESS]
        lab.bird.kernel.wait_next_hops(PREFIX, lab.next_hops(), scenario.SETTLED_WITHIN_S)
        told = lab.bird.birdc(f"show route for {PREFIX} all")
        assert "BGP.med: 77" in told
        assert "BGP.community: (50000,7)" in told
        # The policy goes, and so does what it said; the route stays.
        lab.client.patch("BgpConf", "default", {"spec": {"policy": None}})
        eventually(
            lambda: "BGP.med" not in lab.bird.birdc(f"show route for {PREFIX} all"),
            "the route without the policy's attributes",
            scenario.SETTLED_WITHIN_S,
        )
        lab.bird.kernel.wait_next_hops(PREFIX, lab.next_hops(), scenario.SETTLED_WITHIN_S)
        lab.client.delete("ConfigMap", "old-policy", NAMESPACE)


def test_bgp_cfg_is_enough_until_an_object_of_the_api_says_more(clean: Lab) -> None:
    lab = clean
    router = lab.bird.addresses.v4
    seed = f"""
global.config = {{as = {SPEAKERS_AS}, router-id = "10.77.0.20", port = 17900}}
[[neighbors]]
config = {{neighbor-address = "{router}", peer-as = {OWN_AS}}}
add-paths.config.send-max = 8
"""
    with lab.bird.renumbered(OWN_AS, SPEAKERS_AS):
        porter = lab.porter().start()
        lab.client.apply(config_map("bgp-cfg", **{"config.toml": seed}))
        objects = {each["kind"]: each for each in yaml.safe_load_all(SAMPLE.read_text())}
        for kind in ("Eip", "Service"):
            lab.client.create(objects[kind])
        lab.bird.kernel.wait_next_hops(PREFIX, lab.next_hops(), scenario.SETTLED_WITHIN_S)
        porter.wait_ready(path="/readyz?sessions=all")
        # The same settings as objects: the conf takes the map's place, and the peer starts a session of its own.
        for kind in ("BgpConf", "BgpPeer"):
            lab.client.create(objects[kind])
        lab.client.wait(
            "BgpPeer",
            "sample-peer",
            lambda each: any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in each.get("status", {}).get("conditions", ())
            ),
            "its session is up",
            timeout_s=2 * scenario.SETTLED_WITHIN_S,
        )
        lab.bird.kernel.wait_next_hops(PREFIX, lab.next_hops(), scenario.SETTLED_WITHIN_S)
        assert [peer["peer"] for peer in porter.json("/v1/peers")["peers"]] == ["sample-peer"]  # type: ignore[call-overload,index]
        lab.client.delete("ConfigMap", "bgp-cfg", NAMESPACE)


def test_kubectl_shows_all_four_kinds(clean: Lab) -> None:
    lab = clean
    advertisement = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement"}
    advertisement |= {"metadata": {"name": "edge"}, "spec": {"eips": ["sample-eip"], "peers": ["sample-peer"]}}
    with lab.bird.renumbered(OWN_AS, SPEAKERS_AS):
        lab.porter().start()
        for manifest in (*yaml.safe_load_all(SAMPLE.read_text()), advertisement):
            lab.client.create(manifest)
        lab.bird.kernel.wait_next_hops(PREFIX, lab.next_hops(), scenario.SETTLED_WITHIN_S)

        def shown() -> dict[str, list[str]]:
            table = lab.control_plane.kubectl("get", "eip,bgpc,bgpp,bgpa")
            return {line.split()[0].rpartition("/")[2]: line.split()[1:] for line in table.splitlines() if line}

        eventually(
            lambda: (
                {name: row[:-1] for name, row in shown().items() if name != "NAME"}
                == {
                    "sample-eip": ["172.22.0.2-172.22.0.10", "1", "9", "True"],
                    "default": ["50000", "True"],
                    "sample-peer": ["10.77.0.2", "50001", "True"],
                    "edge": ['["sample-eip"]', '["sample-peer"]', "True"],
                }
            ),
            "the table of kubectl",
            scenario.SETTLED_WITHIN_S,
        )
