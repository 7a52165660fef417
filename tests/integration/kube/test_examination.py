"""What the doctor reads of a real API server."""

from porter.app.doctor.cluster import judged
from porter.kube.anchor import ANCHOR_ANNOTATION, encode_anchor
from porter.kube.examination import examine_cluster
from porter.kube.lease import LEASE_NAME
from porter.ports import Anchor

ANCHOR = Anchor("genesis-1", 7, 41877, "3f9c", ("speaker-0",))
PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nmode: ipvs\nipvs:\n  strictARP: false\n"


async def test_a_cluster_is_read_whole(api):
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE_NAME, "annotations": {ANCHOR_ANNOTATION: encode_anchor(ANCHOR)}},
        "spec": {"holderIdentity": "c-0", "leaseDurationSeconds": 5, "renewTime": "2026-11-25T14:00:00.000000Z"},
    }
    await api.client.request("POST", f"/apis/coordination.k8s.io/v1/namespaces/{api.namespace}/leases", body=lease)
    facts = await examine_cluster(api.client, api.namespace)
    assert facts.refused == ()
    assert facts.version is not None
    assert facts.version.startswith("v1.")
    assert {"eips", "bgppeers", "bgpconfs", "bgpadvertisements"} <= facts.resources
    assert (facts.lease.holder, facts.lease.anchor) == ("c-0", ANCHOR)
    assert isinstance(facts.workloads, tuple)
    checks = {one.name: one.verdict for one in judged(facts, facts.lease.renewed_s + 1, "genesis-1", 41877)}
    assert checks["lease"] == checks["anchor"] == checks["crds"] == "ok"


async def test_a_cluster_without_a_lease_is_told_so(api):
    facts = await examine_cluster(api.client, "no-such-namespace")
    assert facts.lease.holder == ""
    assert {one.name: one.verdict for one in judged(facts, 0.0, "g", 1)}["lease"] == "problem"
