"""What the end-to-end suites share: Porter's objects, Services over hand-written EndpointSlices, and what must hold.

Every time that is asserted begins with the change at the API server and ends with the kernel's own event.
"""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from tests.lab import manifests
from tests.lab.client import ApiError, Object
from tests.lab.lab import Lab
from tests.lab.namespaces import CommandFailed, Namespace
from tests.lab.porter import Porter
from tests.lab.route_watch import RouteWatch
from tests.lab.waiting import NotInTime, eventually

ROUTED_WITHIN_S = 3.0
"""A Service that is created right after a crash is routed by then."""
NOTICED_WITHIN_S = 2.0
"""A lost, shortened or foreign journal is noticed by then."""
LEASE_S = 5.0
SETTLED_WITHIN_S = 10.0
"""For what has no bound of its own."""
FLEET_SIZE = 50
MEMORY_KIB_MAX = 250 * 1024
CREATORS = 4
LOAD_THREADS = 2
LOAD_KEPT = 5
LOAD_INTERVAL_S = 0.05
CURL_TIMEOUT_S = 1
STEADY_REQUESTS = 30
POOL4 = "198.51.100.10-198.51.100.209"
POOL6 = "2001:db8:51::10-2001:db8:51::ffff"
FAMILIES4 = ("IPv4",)
FAMILIES6 = ("IPv6",)
DUAL_STACK = ("IPv4", "IPv6")


def host_prefix(address: str) -> str:
    """The prefix that a Service's address is announced as."""
    return f"{address}/128" if ":" in address else f"{address}/32"


def configure(lab: Lab, **peer: object) -> None:
    """Create the BgpConf, a BgpPeer for each router, and the default pool of both families."""
    lab.client.create(manifests.bgp_conf())
    for router in lab.routers:
        lab.client.create(manifests.bgp_peer(router.name, router.addresses.v4, router.as_number, **peer))  # type: ignore[arg-type]
    lab.client.create(manifests.eip("pool", address=POOL4, addresses=[POOL6]))


def wait_sessions(lab: Lab, *porters: Porter, timeout_s: float = 20.0) -> None:
    """Wait until both routers have exactly the sessions of these speakers."""
    for router in lab.routers:
        router.wait_sessions({porter.address for porter in porters}, timeout_s)


def grant(lab: Lab, *users: str) -> None:
    """Let users do everything, so that the API server's audit log tells apart who did what."""
    for user in users:
        lab.client.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"lab-{user}"},
                "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
                "roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"},
            }
        )


# Services


def write_endpoints(lab: Lab, service: str, nodes: Mapping[str, bool], families: Sequence[str] = FAMILIES4) -> None:
    """Write a Service's EndpointSlices by hand: node name -> ready; an endpoint is the node's pod ``web-<node>``."""
    for index, family in enumerate(DUAL_STACK):
        if family in families:
            pods = [
                (node, lab.cluster.pods["default", f"web-{node}"].addresses[index], up) for node, up in nodes.items()
            ]
            slice_ = manifests.endpoint_slice(service, pods, suffix=family.lower())
            # An empty slice keeps its type, which the manifest cannot tell from its endpoints.
            slice_["addressType"] = family
            lab.client.apply(slice_)


def create_web(
    lab: Lab, name: str, *, families: Sequence[str] = FAMILIES4, nodes: Collection[str] | None = None, **options: object
) -> float:
    """Create a Service whose hand-written endpoints are the pods ``web-<node>``; returns when its creation began."""
    began_s = time.monotonic()
    lab.cluster.create_service(name, families=families, **options)
    write_endpoints(lab, name, dict.fromkeys(lab.web_nodes if nodes is None else nodes, True), families)
    return began_s


def delete_service(lab: Lab, name: str) -> None:
    """Delete a Service with its hand-written EndpointSlices."""
    lab.client.delete("Service", name)
    for family in DUAL_STACK:
        lab.client.delete("EndpointSlice", f"{name}-{family.lower()}")


def retire_service(lab: Lab, name: str) -> None:
    """Delete a Service, and wait until neither its pool nor a router has anything of it.

    The lowest free address is given: without the wait the next Service could get the same one while its last routes
    are on their way out, and a look at the routers would take these for the new ones.
    """
    addresses = ingress_of(lab.client.get("Service", name))
    delete_service(lab, name)
    held = {address for each in lab.client.list("Service") for address in ingress_of(each)}
    wait_routed(lab, {host_prefix(address): () for address in addresses if address not in held}, SETTLED_WITHIN_S)


def expected_hops(lab: Lab, addresses: Collection[str], *nodes: str) -> dict[str, set[str]]:
    """The routes of addresses by way of nodes (all that are there from the start if none is named)."""
    return {host_prefix(address): lab.next_hops(*nodes, family=6 if ":" in address else 4) for address in addresses}


def wait_routed(lab: Lab, routes: Mapping[str, Collection[str]], timeout_s: float) -> float:
    """Wait until both routers have exactly these next hops; returns when the last kernel told so (monotonic)."""
    deadline_s = time.monotonic() + timeout_s
    last_s = 0.0
    for kernel in lab.kernels:
        for prefix, hops in routes.items():
            kernel.wait_next_hops(prefix, hops, max(0.001, deadline_s - time.monotonic()))
            last_s = max([last_s, *(event.at_s for event in kernel.events_of(prefix)[-1:])])
    return last_s


def serve(
    lab: Lab, name: str, *, within_s: float = SETTLED_WITHIN_S, hops: Sequence[str] = (), **options: object
) -> list[str]:
    """Create a Service as ``create_web`` does, and wait until both routers have its routes; returns its addresses.

    ``hops`` names the nodes that must be its next hops, if they are others than those that are there from the start.
    Raises NotInTime unless that took at most ``within_s`` from the request that created it.
    """
    began_s = create_web(lab, name, **options)  # type: ignore[arg-type]
    count = len(options.get("families", FAMILIES4))  # type: ignore[arg-type]
    left_s = began_s + within_s - time.monotonic()
    addresses = lab.cluster.wait_ingress(name, count, timeout_s=max(0.001, left_s))
    left_s = began_s + within_s - time.monotonic()
    routed_s = wait_routed(lab, expected_hops(lab, addresses, *hops), max(0.001, left_s))
    print(f"{name} was routed {max(0.0, routed_s - began_s):.3f} s after its creation began")
    return addresses


def curl(client: Namespace, address: str, count: int = 1) -> list[str]:
    """The answers to ``count`` requests by curl, each over a connection of its own. Raises CommandFailed."""
    host = f"[{address}]" if ":" in address else address
    # Without --fail-early the exit code is that of the last request alone.
    limits = ["--fail", "--fail-early", "--max-time", str(CURL_TIMEOUT_S)]
    output = client.run("curl", "--silent", "--show-error", *limits, f"http://{host}/[1-{count}]")
    return [line for line in output.splitlines() if line]


def wait_reachable(lab: Lab, addresses: Sequence[str]) -> None:
    """Wait until addresses answer both clients every time: each kube-proxy follows endpoints in its own pace."""
    lab.cluster.wait_served(*addresses)

    def answered() -> bool:
        for router in lab.routers:
            assert router.client is not None
            for address in addresses:
                curl(router.client, address, STEADY_REQUESTS)
        return True

    eventually(answered, f"{addresses} answer", SETTLED_WITHIN_S, ignore=(CommandFailed,))


def check_reaches_all(lab: Lab, addresses: Sequence[str], count: int = 60) -> None:
    """Ask each address ``count`` times from both clients: every web pod must answer, and no request may fail."""
    wait_reachable(lab, addresses)
    for router in lab.routers:
        for address in addresses:
            assert router.client is not None
            answers = curl(router.client, address, count)
            assert len(answers) == count, f"{router.name} {address}"
            assert set(answers) == {f"web-{node}" for node in lab.web_nodes}, f"{router.name} {address}"


# Fifty Services


@dataclass
class Fleet:
    """Services that are up: their addresses by name, and the next hops that each prefix must keep."""

    lab: Lab
    addresses: dict[str, list[str]] = field(default_factory=dict)

    @property
    def expected(self) -> dict[str, set[str]]:
        """Prefix -> the next hops that must be there."""
        return expected_hops(self.lab, [address for held in self.addresses.values() for address in held])

    @property
    def probed(self) -> list[str]:
        """The addresses that clients keep asking: the first Service's and the last one's, one of each family."""
        every = list(self.addresses.values())
        return [every[0][0], every[-1][-1]]

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[RouteWatch]:
        """Prove for the length of the block that no route is lost, no request fails and no address changes."""
        with self.lab.watch(self.expected) as watch, self.lab.requests(*self.probed):
            yield watch
        self.check_addresses()

    def check_addresses(self) -> None:
        """Every Service still has in its status what it had."""
        found = {each["metadata"]["name"]: ingress_of(each) for each in self.lab.client.list("Service", "default")}
        changed = {name: (held, found.get(name)) for name, held in self.addresses.items() if found.get(name) != held}
        assert not changed, f"Services whose addresses changed: {changed}"


def fleet_families(size: int) -> list[tuple[str, ...]]:
    """The families of a fleet's Services: nine in ten have IPv4, then come IPv6 and dual stack."""
    few = size // 10
    return [FAMILIES4] * (size - few) + [FAMILIES6] * (few // 2) + [DUAL_STACK] * (few - few // 2)


def launch_fleet(lab: Lab, size: int = FLEET_SIZE) -> Fleet:
    """Create Services by several connections at once, and wait for all."""
    families = fleet_families(size)
    names = [f"fleet-{number:02}" for number in range(size)]
    with ThreadPoolExecutor(CREATORS) as creators:
        list(creators.map(lambda pair: create_web(lab, pair[0], families=pair[1]), zip(names, families, strict=True)))
    fleet = Fleet(lab)
    for name, wanted in zip(names, families, strict=True):
        fleet.addresses[name] = lab.cluster.wait_ingress(name, len(wanted), timeout_s=SETTLED_WITHIN_S)
    wait_routed(lab, fleet.expected, SETTLED_WITHIN_S)
    lab.cluster.wait_served(*fleet.probed)
    return fleet


def ingress_of(service: Object) -> list[str]:
    """The addresses in a Service's status."""
    return [each["ip"] for each in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()]


def check_exact(lab: Lab, timeout_s: float = SETTLED_WITHIN_S) -> None:
    """Nothing is missing and there is no ghost: both routers have the addresses that Services hold, and no others.

    Only for Services whose next hops are all the nodes. Raises NotInTime.
    """
    last: list[object] = []

    def exact() -> bool:
        held = [address for each in lab.client.list("Service", "default") for address in ingress_of(each)]
        assert len(held) == len(set(held)), f"an address has two owners: {sorted(held)}"
        wanted = {prefix: frozenset(hops) for prefix, hops in expected_hops(lab, held).items()}
        last[:] = []
        for router in lab.routers:
            there = router.kernel.look()
            there = {prefix: there[prefix] for prefix in router.bgp_prefixes() if prefix in there}
            last.extend((router.name, prefix) for prefix in there.items() ^ wanted.items())
        return not last

    try:
        eventually(exact, "the routers have what Services hold", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; differences: {last}") from error


class Load:
    """Services that come and go all the time, for the length of a block: several at once, the oldest leaving."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self._name = name
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(LOAD_THREADS)
        self.created = 0

    def __enter__(self) -> "Load":
        self._turns = [self._pool.submit(self._come_and_go, thread) for thread in range(LOAD_THREADS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for turn in self._turns:
            turn.result()
        self._pool.shutdown()

    def _come_and_go(self, thread: int) -> None:
        for number in itertools.count():
            create_web(self._lab, f"{self._name}-{thread}-{number}")
            self.created += 1
            if number >= LOAD_KEPT:
                delete_service(self._lab, f"{self._name}-{thread}-{number - LOAD_KEPT}")
            if self._ended.wait(LOAD_INTERVAL_S):
                return


# Conditions


def conditions_of(manifest: Object) -> list[Object]:
    """The conditions in an object's status, none of them if it has none."""
    found: list[Object] = manifest.get("status", {}).get("conditions") or []
    return found


def wait_condition(
    lab: Lab, kind: str, name: str, holds: Callable[[Object], object], what: str, timeout_s: float = SETTLED_WITHIN_S
) -> Object:
    """Wait until a condition of an object satisfies ``holds``, and return it. Raises NotInTime."""
    found = lab.client.wait(
        kind, name, lambda each: [one for one in conditions_of(each) if holds(one)], what, timeout_s=timeout_s
    )
    condition: Object = next(one for one in conditions_of(found) if holds(one))
    return condition


def refusal(lab: Lab, kind: str, name: str, act: Callable[[], object]) -> str:
    """Do what is wrong with an object, and return the words by which it is refused.

    Either the API server refuses it, or a condition ``Accepted`` that is False says why. Raises NotInTime.
    """
    try:
        act()
    except ApiError as error:
        assert error.status in {400, 413, 422}, error
        return str(error)
    refused = wait_condition(
        lab, kind, name, lambda one: one["type"] == "Accepted" and one["status"] == "False", "it is not accepted"
    )
    return f"{refused['reason']}: {refused['message']}"


def refusal_of(porter: Porter, service: str) -> str:
    """Why a Service has no address, as ``/v1/services`` says it: refusal and problems; empty if there is neither."""
    for each in porter.json("/v1/services")["services"]:  # type: ignore[index]
        if each["service"]["name"] == service and (each["refusal"] or each["problems"]):
            return json.dumps([each["refusal"], each["problems"]])
    return ""


def wait_refusal(porter: Porter, service: str) -> str:
    """Wait until a Service is refused, and return why."""
    return eventually(lambda: refusal_of(porter, service), f"{service} is refused", SETTLED_WITHIN_S)


def check_memory(porter: Porter) -> None:
    """The controller's resident memory stays bounded."""
    status = Path(f"/proc/{porter.pids()['controller']}/status").read_text()
    [resident] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    print(f"the controller takes {resident / 1024:.0f} MiB")
    assert resident < MEMORY_KIB_MAX


def wait_ready(porter: Porter, path: str = "/readyz?sessions=all", timeout_s: float = SETTLED_WITHIN_S) -> None:
    """Wait until a controller says that all of its parts and every session are up. Raises NotInTime with its words."""
    last = [(0, "")]

    def ready() -> bool:
        last[0] = porter.http(path)
        return last[0][0] == HTTPStatus.OK

    try:
        eventually(ready, f"{porter.name} {path}", timeout_s, ignore=(OSError,))
    except NotInTime as error:
        raise NotInTime(f"{error}: {last[0]}") from error
