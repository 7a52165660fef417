"""Changes of a cluster, drawn from a seed: Services, endpoints, nodes, pools, peers, advertisements, and drains.

None of them changes how a router prefers one path of a prefix to another (MED, AS_PATH): a router's kernel then has
exactly the next hops that it was told.
"""

import random
from collections.abc import Callable, Sequence

from tests.lab import manifests, plan, scenario
from tests.lab.client import Object
from tests.lab.lab import Lab

SERVICES = tuple(f"random-{number:02}" for number in range(40))
PAPER_NODES = range(11, 16)
POOLS = {
    "pool": ("198.51.100.10-198.51.100.209", "198.51.100.10-198.51.100.39", "198.51.100.24-198.51.100.120"),
    "extra": ("203.0.113.0/28", "203.0.113.8-203.0.113.21"),
}
"""What each pool's IPv4 addresses may be."""
ADVERTISEMENTS = ("first", "second", "third")
REQUEST = "eip.openelb.kubesphere.io/v1alpha2"
ADVERTISEMENT = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement"}
ZONES = ("a", "a", "b", None)
IN_ZONE_A = {"matchLabels": {"zone": "a"}}
OF_THE_WEB = {"matchLabels": {"tier": "web"}}

Drain = Callable[[Object], None]


class Changes:
    """A cluster's life: `make` draws the next change and makes it. The same seed gives the same changes.

    `drain` submits an operator's action; one that is refused counts as a change that changed nothing.
    """

    def __init__(self, lab: Lab, seed: int, drain: Drain) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self._drain = drain
        self._families: dict[str, Sequence[str]] = {}
        self._pools = {"pool"}
        self._absent: set[str] = set()
        self._made = 0
        self._kinds: dict[Callable[[], None], int] = {
            self._endpoints: 36,
            self._service: 16,
            self._service_goes: 9,
            self._service_spec: 7,
            self._service_labels: 3,
            self._node_readiness: 9,
            self._node_labels: 4,
            self._node_goes_or_comes: 2,
            self._node_drain: 2,
            self._pool: 4,
            self._advertisement: 6,
            self._peer: 3,
        }

    def prepare(self) -> None:
        """Add the nodes that exist as objects only."""
        for number in PAPER_NODES:
            self._lab.cluster.add_node(number, paper=True)

    def make(self) -> None:
        """Make one change. Raises ApiError, OSError."""
        [kind] = self._random.choices(list(self._kinds), list(self._kinds.values()))
        self._made += 1
        kind()

    # Services

    def _service(self) -> None:
        free = [name for name in SERVICES if name not in self._families]
        if not free:
            self._service_goes()
            return
        name = self._random.choice(free)
        few = self._random.random()
        families = scenario.DUAL_STACK if few < 0.1 else scenario.FAMILIES6 if few < 0.2 else scenario.FAMILIES4
        annotations = {REQUEST: "extra"} if few > 0.85 else {}
        policy = self._random.choice(("Cluster", "Local"))
        self._families[name] = families
        self._lab.client.create(manifests.service(name, families=families, policy=policy, annotations=annotations))
        self._write_endpoints(name)

    def _service_goes(self) -> None:
        if name := self._one_service():
            del self._families[name]
            self._lab.client.delete("Service", name)

    def _service_spec(self) -> None:
        if name := self._one_service():
            changes: Object = self._random.choice(
                (
                    {"spec": {"externalTrafficPolicy": "Cluster"}},
                    {"spec": {"externalTrafficPolicy": "Local"}},
                    {"metadata": {"annotations": {REQUEST: "extra"}}},
                    {"metadata": {"annotations": {REQUEST: None}}},
                )
            )
            self._lab.client.patch("Service", name, changes)

    def _service_labels(self) -> None:
        if name := self._one_service():
            labels = {"tier": self._random.choice(("web", "data", None))}
            self._lab.client.patch("Service", name, {"metadata": {"labels": labels}})

    def _endpoints(self) -> None:
        if name := self._one_service():
            self._write_endpoints(name)

    def _one_service(self) -> str:
        if not self._families:
            self._service()
            return ""
        return self._random.choice(sorted(self._families))

    def _write_endpoints(self, name: str) -> None:
        nodes = sorted(self._lab.cluster.nodes)
        chosen = self._random.sample(nodes, self._random.randint(0 if self._random.random() < 0.1 else 1, len(nodes)))
        ready = {node: self._random.random() < 0.9 for node in sorted(chosen)}
        for index, family in enumerate(scenario.DUAL_STACK):
            if family not in self._families[name]:
                continue
            addresses = [
                (node, plan.pod(self._lab.cluster.nodes[node].number, 150)[index], up) for node, up in ready.items()
            ]
            slice_ = manifests.endpoint_slice(name, addresses, suffix=family.lower())
            slice_["addressType"] = family
            self._lab.client.apply(slice_)

    # Nodes

    def _node_readiness(self) -> None:
        self._lab.cluster.set_node_ready(self._one_node(), self._random.random() < 0.7)

    def _node_labels(self) -> None:
        self._lab.cluster.label_node(self._one_node(), {"zone": self._random.choice(ZONES)})

    def _node_goes_or_comes(self) -> None:
        name = self._random.choice([f"n{number}" for number in PAPER_NODES])
        if name in self._absent:
            self._absent.remove(name)
            self._lab.cluster.restore_node(name)
        else:
            self._absent.add(name)
            self._lab.cluster.delete_node_object(name)

    def _node_drain(self) -> None:
        undo = self._random.random() < 0.6
        self._drain({"node": self._one_node(), **({"undo": True} if undo else {"delayMs": 0}), "why": "by chance"})

    def _one_node(self) -> str:
        return self._random.choice(sorted(self._lab.cluster.nodes.keys() - self._absent))

    # Pools, advertisements and peers

    def _pool(self) -> None:
        name = self._random.choice(sorted(POOLS))
        address = self._random.choice(POOLS[name])
        if name not in self._pools:
            self._pools.add(name)
            self._lab.client.create(manifests.eip(name, address=address, default=False))
            return
        if name == "extra" and self._random.random() < 0.2:
            self._pools.remove(name)
            self._lab.client.delete("Eip", name)
            return
        spec = {"address": address, "disable": self._random.random() < 0.15}
        delay = self._random.choice((None, "1s"))
        self._lab.client.patch("Eip", name, {"spec": {**spec, "releaseDelay": delay}})

    def _advertisement(self) -> None:
        name = self._random.choice(ADVERTISEMENTS)
        if self._random.random() < 0.3:
            self._lab.client.delete("BgpAdvertisement", name)
            return
        draw = self._random.choice
        spec: Object = {
            "eips": draw(([], [], ["pool"], ["extra"])),
            "peers": draw(([], [], ["frr"], ["bird"])),
            "nodeSelectors": draw(([], [], [], [IN_ZONE_A])),
            "communities": draw(([], ["64500:1"], [f"64500:{self._made % 100}"])),
            "aggregationLength": draw((0, 0, 28, 30)),
            **draw(({}, {}, {"serviceSelector": OF_THE_WEB})),
        }
        self._lab.client.apply({**ADVERTISEMENT, "metadata": {"name": name}, "spec": spec})

    def _peer(self) -> None:
        name = self._random.choice(("frr", "bird"))
        spec = self._random.choice(
            (
                {"nodeSelector": IN_ZONE_A},
                {"nodeSelector": None},
                {"nodeSelector": None},
                {"maxNextHops": 2},
                {"maxNextHops": 0},
            )
        )
        self._lab.client.patch("BgpPeer", name, {"spec": spec})
