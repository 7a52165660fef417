"""Maintenance without a lost request, and outages of the cluster's objects that take no route along."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab import scenario
from tests.lab.lab import Lab
from tests.lab.namespaces import CommandFailed
from tests.lab.porter import Porter
from tests.lab.routers import Router
from tests.lab.traffic import Request, Requests
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

LONG, SHORT = "1h", "1s"
"""Delays of drains: one that is not over while the routers are looked at, and one that takes its place."""
TOLD_ROUTERS_WITHIN_S = 15.0
DRAINED_WITHIN_S = 15.0
APART_S = 0.02
"""Requests and route events are noted by two processes: how far apart one moment may be told."""
OUTAGE_SIZE = 32
HELD_WITHIN_S = 6.0
TOLD_WITHIN_S = scenario.LEASE_S + scenario.SETTLED_WITHIN_S
NAMES = [f"mass-{number:02}" for number in range(OUTAGE_SIZE)]


def hops(router: Router, prefix: str) -> set[str]:
    """The next hops of all paths of a prefix at a router."""
    return {hop for _, hop in router.rib(prefix)}


def marked(router: Router, prefix: str) -> set[str]:
    """The next hops of a prefix at a router whose paths carry GRACEFUL_SHUTDOWN."""
    return {hop for _, hop in router.marked(prefix)}


def wait_marked(lab: Lab, prefix: str, wanted: set[str]) -> None:
    for router in lab.routers:
        eventually(
            lambda router=router: marked(router, prefix) == wanted, f"{router.name} is told", TOLD_ROUTERS_WITHIN_S
        )  # type: ignore[misc]


@contextlib.contextmanager
def requests_that_only_rehashing_breaks(lab: Lab, address: str) -> Iterator[None]:
    """A request every 20 ms from both clients, none of which may fail.

    One kind of failure is the routers' own: when the next hops change, Linux hashes flows anew, and a connection that
    is open at that very moment may go on at a node that knows nothing of it, and is reset. What else fails is a loss.
    """
    prefix = scenario.host_prefix(address)
    with contextlib.ExitStack() as stack:
        asked = [(router, stack.enter_context(Requests(lab.run, router.client, [address]))) for router in lab.routers]
        yield
    for router, requests in asked:
        changes = [event.at_s for event in router.kernel.events_of(prefix)]
        lost = [one for one in requests.failures if not rehashed(one, changes)]
        assert not lost, f"{router.name}: {len(lost)} of {len(requests.requests)} requests were lost: {lost[:5]}"
        assert len(requests.failures) <= len(changes), f"{router.name}: {requests.failures[:5]}"


def rehashed(request: Request, changes: Sequence[float]) -> bool:
    """Whether a request was open at the moment of a change of its route, and reset."""
    first_s, last_s = request.began_s - APART_S, request.began_s + request.took_ms / 1000 + APART_S
    return "ConnectionResetError" in request.error and any(first_s <= at_s <= last_s for at_s in changes)


def test_a_drained_node_loses_no_request(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "drained")
    prefix = scenario.host_prefix(address)
    scenario.wait_reachable(lab, [address])
    leaving = lab.next_hops("n3")

    with lab.watch({prefix: lab.next_hops("n1", "n2")}), requests_that_only_rehashing_breaks(lab, address):
        porter.command("drain", "node", "n3", "--delay", LONG, "--why", "a new kernel")
        wait_marked(lab, prefix, leaving)
        for router in lab.routers:
            assert hops(router, prefix) == lab.next_hops(), "it is told before anything is withdrawn"
        porter.command("drain", "node", "n3", "--delay", SHORT)
        scenario.wait_routed(lab, {prefix: lab.next_hops("n1", "n2")}, DRAINED_WITHIN_S)
        for router in lab.routers:
            eventually(
                lambda router=router: hops(router, prefix) == lab.next_hops("n1", "n2"),
                "withdrawn",
                TOLD_ROUTERS_WITHIN_S,
            )  # type: ignore[misc]
        porter.command("uncordon", "node", "n3")
        scenario.wait_routed(lab, {prefix: lab.next_hops()}, scenario.SETTLED_WITHIN_S)
        wait_marked(lab, prefix, set())


def test_a_drained_service_is_announced_as_leaving_and_then_withdrawn(lab: Lab, porter: Porter) -> None:
    [address] = scenario.serve(lab, "leaving")
    prefix = scenario.host_prefix(address)
    porter.command("drain", "service", "default/leaving", "--delay", LONG)
    wait_marked(lab, prefix, lab.next_hops())
    porter.command("drain", "service", "default/leaving", "--delay", SHORT)
    scenario.wait_routed(lab, {prefix: ()}, DRAINED_WITHIN_S)
    assert lab.cluster.wait_ingress("leaving") == [address]
    porter.command("uncordon", "service", "default/leaving")
    scenario.wait_routed(lab, {prefix: lab.next_hops()}, scenario.SETTLED_WITHIN_S)


def holds(porter: Porter) -> list[dict[str, object]]:
    """The holds that stand."""
    answer: Mapping[str, list[dict[str, object]]] = porter.json("/v1/status")  # type: ignore[assignment]
    return answer["holds"]


def wait_told(lab: Lab, reason: str, words: str) -> None:
    """Wait for an Event of the BgpConf."""

    def told() -> bool:
        events = [one for one in lab.client.list("Event", "default") if one["involvedObject"]["kind"] == "BgpConf"]
        return any(one["reason"] == reason and words in one["message"] for one in events)

    eventually(told, f"an Event {reason} says {words}", TOLD_WITHIN_S)


def positions(porter: Porter, kind: str) -> list[int]:
    """The positions of the journal's events of a type."""
    answer: Mapping[str, list[dict[str, int]]] = porter.json(f"/v1/events?type={kind}&limit=10000")  # type: ignore[assignment]
    return [event["position"] for event in answer["events"]]


def delete_every_slice(lab: Lab) -> None:
    """Take every hand-written EndpointSlice away at once."""
    path = lab.client.path("EndpointSlice", None, "default")
    lab.client.request("DELETE", path, query={"labelSelector": "endpointslice.kubernetes.io/managed-by=lab.porter.io"})


@pytest.fixture(scope="module")
def expected(lab: Lab, porter: Porter) -> dict[str, set[str]]:
    """Services enough for an outage, and the routes that they have."""
    with ThreadPoolExecutor(4) as creators:
        list(creators.map(lambda name: scenario.create_web(lab, name), NAMES))
    addresses = [lab.cluster.wait_ingress(name)[0] for name in NAMES]
    routes = scenario.expected_hops(lab, addresses)
    scenario.wait_routed(lab, routes, scenario.SETTLED_WITHIN_S)
    return routes


@pytest.mark.parametrize("cause", ["watched", "listed"])
def test_an_outage_of_all_endpoints_is_held_until_it_is_approved(
    lab: Lab, porter: Porter, expected: dict[str, set[str]], cause: str
) -> None:
    before = max(positions(porter, "EndpointsObserved"))
    with lab.watch(expected):
        if cause == "listed":
            # What went while no controller watched is found by the next one's list.
            killed = porter.kill("controller")
            delete_every_slice(lab)
            porter.wait_restarted("controller", killed)
            porter.wait_ready()
        else:
            delete_every_slice(lab)
        eventually(lambda: holds(porter), "the withdrawals are held", HELD_WITHIN_S, ignore=(OSError,))
        for part in ("controller", "speaker"):
            killed = porter.kill(part)
            porter.wait_restarted(part, killed)
        scenario.wait_ready(porter)
        [hold] = eventually(lambda: holds(porter), "the hold stands", HELD_WITHIN_S, ignore=(OSError,))
        assert hold["cause"] == "NoReadyEndpoint"
        lost = eventually(
            lambda: [position for position in positions(porter, "EndpointsObserved") if position > before],
            "the loss is journaled",
            HELD_WITHIN_S,
        )
        assert int(str(hold["hold"])) < min(lost), "the hold stands before what calls for it"
        assert int(str(hold["held"])) >= OUTAGE_SIZE
    # Where the first leader was killed before it told, the next one does.
    wait_told(lab, "WithdrawalHeld", f"`porter approve {hold['hold']}`")
    # The new controller leads when the lease of the killed one has run out.
    eventually(
        lambda: porter.command("approve", str(hold["hold"]), "--why", "the lab wants it so"),
        "the hold is approved",
        scenario.LEASE_S + scenario.SETTLED_WITHIN_S,
        ignore=(CommandFailed,),
    )
    scenario.wait_routed(lab, dict.fromkeys(expected, ()), scenario.SETTLED_WITHIN_S)
    assert holds(porter) == []
    wait_told(lab, "WithdrawalApproved", f"approved hold {hold['hold']}")
    for name in NAMES:
        scenario.write_endpoints(lab, name, dict.fromkeys(lab.web_nodes, True))
    scenario.wait_routed(lab, expected, scenario.SETTLED_WITHIN_S)


def test_an_outage_that_ends_releases_its_hold(lab: Lab, porter: Porter, expected: dict[str, set[str]]) -> None:
    with lab.watch(expected):
        delete_every_slice(lab)
        eventually(lambda: holds(porter), "the withdrawals are held", HELD_WITHIN_S)
        for service in lab.client.list("Service", "default"):
            if service["metadata"]["name"] != "kubernetes":
                scenario.write_endpoints(lab, service["metadata"]["name"], dict.fromkeys(lab.web_nodes, True))
        eventually(lambda: not holds(porter), "the hold ends with its cause", HELD_WITHIN_S)
    assert positions(porter, "HoldEnded")


def test_peers_and_advertisements_that_vanish_are_held_until_they_are_back(
    lab: Lab, porter: Porter, expected: dict[str, set[str]]
) -> None:
    kind = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement"}
    lab.client.create(kind | {"metadata": {"name": "everything"}, "spec": {"communities": ["64500:5"]}})
    lab.client.wait("BgpAdvertisement", "everything", scenario.conditions_of, "it has conditions")
    peers = lab.client.list("BgpPeer")
    with lab.watch(expected):
        # As a `kubectl delete` of all, or the removal of the CRDs, does it.
        for plural in ("bgpadvertisements", "bgppeers"):
            lab.client.request("DELETE", f"/apis/network.kubesphere.io/v1alpha2/{plural}")
        [hold] = eventually(lambda: holds(porter), "the removals are held", HELD_WITHIN_S, ignore=(OSError,))
        assert hold["cause"] in {"NoPeer", "NotAdvertised"}
        killed = porter.kill("controller")
        porter.wait_restarted("controller", killed)
        scenario.wait_ready(porter)
        [still] = eventually(lambda: holds(porter), "the hold stands", TOLD_WITHIN_S, ignore=(OSError,))
        assert still["hold"] == hold["hold"]
        wait_told(lab, "WithdrawalHeld", f"`porter approve {hold['hold']}`")
        for peer in peers:
            metadata = {"name": peer["metadata"]["name"]}
            lab.client.create({**{name: peer[name] for name in ("apiVersion", "kind", "spec")}, "metadata": metadata})
        lab.client.create(kind | {"metadata": {"name": "everything-again"}, "spec": {"communities": ["64500:5"]}})
        eventually(lambda: not holds(porter), "the hold ends", TOLD_WITHIN_S, ignore=(OSError,))
    scenario.wait_routed(lab, expected, scenario.SETTLED_WITHIN_S)
    lab.client.delete("BgpAdvertisement", "everything-again")
    # What says what every route is told with is no less held when it is the last; it is let go here.
    [last] = eventually(lambda: holds(porter), "the last advertisement is held", HELD_WITHIN_S)
    porter.command("approve", str(last["hold"]))
    eventually(lambda: not holds(porter), "the hold is over", HELD_WITHIN_S)


def test_deleted_services_are_withdrawn_however_many(lab: Lab, porter: Porter, expected: dict[str, set[str]]) -> None:
    lab.client.request(
        "DELETE", lab.client.path("Service", None, "default"), query={"fieldSelector": "metadata.name!=kubernetes"}
    )
    scenario.wait_routed(lab, dict.fromkeys(expected, ()), scenario.SETTLED_WITHIN_S)
    assert holds(porter) == []
