"""Which objects an OpenELB's finalizers are taken off."""

import pytest

from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory
from tests.unit.kube.objects import raw, service

LB, IPAM, PROXY = (
    "finalizer.lb.kubesphere.io/v1alpha1",
    "finalizer.ipam.kubesphere.io/v1alpha1",
    "node-proxy.openelb.kubesphere.io/finalizer",
)
PER_NODE = "finalizer.lb.kubesphere.io/node-1"
OTHER = "service.kubernetes.io/load-balancer-cleanup"
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
POOL = {"address": "192.0.2.1"}
PEER = {"conf": {"neighborAddress": "192.0.2.1", "peerAs": 1}}


def carrying(*finalizers, **more):
    return {"finalizers": list(finalizers)} | more


@pytest.mark.parametrize(
    ("why", "kind", "body", "kept"),
    [
        ("ours", "Service", service(metadata=carrying(LB, OTHER)), [OTHER]),
        ("ours, with a proxy's", "Service", service(metadata=carrying(LB, PROXY)), []),
        ("ours, being deleted", "Service", service(metadata=carrying(LB, **DELETED)), []),
        ("nobody's, being deleted", "Service", service(annotations={}, metadata=carrying(LB, **DELETED)), []),
        ("nobody's", "Service", service(annotations={}, metadata=carrying(LB)), None),
        ("only others'", "Service", service(metadata=carrying(OTHER)), None),
        ("none", "Service", service(), None),
        (
            "another class, being deleted",
            "Service",
            service(spec={"loadBalancerClass": "other.io/x"}, metadata=carrying(LB, **DELETED)),
            None,
        ),
        (
            "our class, being deleted",
            "Service",
            service(spec={"loadBalancerClass": "porter.io/porter"}, metadata=carrying(LB, **DELETED)),
            [],
        ),
        ("a class that cannot be read", "Service", service(spec={"ports": "?"}, metadata=carrying(LB)), None),
        ("a pool", "Eip", raw("Eip", metadata=carrying(IPAM), spec=POOL), []),
        ("a pool of the first Porter", "Eip", raw("Eip", metadata=carrying(PER_NODE), spec=POOL), []),
        ("a pool being deleted", "Eip", raw("Eip", metadata=carrying(IPAM, **DELETED), spec=POOL), []),
        ("a conf", "BgpConf", raw("BgpConf", "default", metadata=carrying(LB), spec={"as": 1}), []),
        ("a conf that nobody acts on", "BgpConf", raw("BgpConf", "x", metadata=carrying(LB, **DELETED)), []),
        ("a peer", "BgpPeer", raw("BgpPeer", metadata=carrying(LB, OTHER), spec=PEER), [OTHER]),
        (
            "a peer of a CNI",
            "BgpPeer",
            raw("BgpPeer", metadata=carrying(LB, labels={"openelb.kubesphere.io/cni": "x"}), spec=PEER),
            None,
        ),
        ("a node", "Node", raw("Node", metadata=carrying(LB, **DELETED)), None),
    ],
)  # fmt: skip
async def test_what_is_to_be_taken_off(why, kind, body, kept):
    inventory = Inventory(FactSettings())
    inventory.put(kind, body)
    burdens = [burden.kept for burden in inventory.burdens.present.values()]
    assert burdens == ([] if kept is None else [kept]), why
    inventory.remove(kind, body)
    assert inventory.burdens.present == {}


async def test_a_burden_is_told_of_and_forgotten_when_it_is_off():
    inventory = Inventory(FactSettings())
    inventory.put("Service", service(metadata=carrying(LB)))
    await inventory.burdens.wait_for_any()
    inventory.put("Service", service())
    assert not inventory.burdens._any.is_set()
