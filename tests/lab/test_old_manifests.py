"""The manifests of OpenELB's users, and of Porter's before it was renamed, apply unchanged and do what they did."""

from pathlib import Path

import pytest
import yaml

from tests.lab import scenario
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.yaml"))
OWN_AS, SPEAKERS_AS = 50001, 50000
ASKED_FOR = {"openelb": "172.22.0.7", "porter": "172.22.0.8"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_applies_unchanged_and_works(clean: Lab, path: Path) -> None:
    lab = clean
    wanted = ASKED_FOR[path.stem]
    with lab.bird.renumbered(OWN_AS, SPEAKERS_AS):
        lab.porter().start()
        for manifest in yaml.safe_load_all(path.read_text()):
            lab.client.create(manifest)
        assert lab.cluster.wait_ingress("sample-service") == [wanted]
        lab.bird.kernel.wait_next_hops(f"{wanted}/32", lab.next_hops(), scenario.SETTLED_WITHIN_S)
        found = lab.client.wait(
            "Service",
            "sample-service",
            lambda each: each["metadata"].get("labels", {}).get("eip.openelb.kubesphere.io/v1alpha2") == "sample-eip",
            "the label that the old controller kept names the pool",
        )
        # As with the old controller, the status of the pool names who uses the address.
        lab.client.wait(
            "Eip",
            "sample-eip",
            lambda each: each.get("status", {}).get("used") == {wanted: "default/sample-service"},
            "the pool's status says who uses the address",
        )
        assert found["status"]["loadBalancer"]["ingress"] == [{"ip": wanted, "ipMode": "VIP"}]
        assert lab.bird.client is not None
        lab.cluster.wait_served(wanted)
        assert set(scenario.curl(lab.bird.client, wanted, 30)) == {f"web-{node}" for node in lab.web_nodes}
