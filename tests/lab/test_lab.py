"""The lab itself: its parts do what the suites that use them take for granted."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab import plan
from tests.lab.client import ApiError
from tests.lab.hand_speaker import HandSpeaker
from tests.lab.lab import MADE_BY_A_TEST, Lab
from tests.lab.namespaces import NAMESPACES
from tests.lab.processes import start_ticks
from tests.lab.run import ROOT, remove_leftovers
from tests.lab.traffic import Requests, answers
from tests.lab.waiting import NotInTime, eventually

pytestmark = pytest.mark.lab

ADDRESS4 = "198.51.100.7"
ADDRESS6 = "2001:db8:51::7"
PREFIX4 = f"{ADDRESS4}/32"
PREFIX6 = f"{ADDRESS6}/128"
ROUTE_TIMEOUT_S = 5.0


@pytest.fixture
def web(clean: Lab) -> Lab:
    """The lab with a dual-stack Service ``web`` whose addresses stand in its status."""
    clean.cluster.create_service("web", selector={"app": "web"}, families=("IPv4", "IPv6"))
    clean.cluster.set_ingress("web", [ADDRESS4, ADDRESS6])
    clean.cluster.wait_endpoints("web", clean.web_nodes)
    clean.cluster.wait_served(ADDRESS4, ADDRESS6)
    return clean


@pytest.fixture
def speaker(clean: Lab) -> Iterator[HandSpeaker]:
    """ExaBGP by hand, with a session to both routers."""
    with HandSpeaker(clean.run, clean.porter_namespace(1), plan.porter(1).v4, clean.routers) as made:
        yield made


def announce_web(lab: Lab, speaker: HandSpeaker) -> None:
    speaker.announce(PREFIX4, sorted(lab.next_hops()))
    speaker.announce(PREFIX6, sorted(lab.next_hops(family=6)))
    for router in lab.routers:
        router.kernel.wait_next_hops(PREFIX4, lab.next_hops(), ROUTE_TIMEOUT_S)
        router.kernel.wait_next_hops(PREFIX6, lab.next_hops(family=6), ROUTE_TIMEOUT_S)


def test_a_static_multipath_route_reaches_all_pods_through_each_router(web: Lab) -> None:
    for router in web.routers:
        router.namespace.replace_route(PREFIX4, sorted(web.next_hops()))
        router.namespace.replace_route(PREFIX6, sorted(web.next_hops(family=6)))
        for address in (ADDRESS4, ADDRESS6):
            assert set(answers(router.client, address, 60)) == {"web-n1", "web-n2", "web-n3"}
        router.namespace.remove_route(PREFIX4)
        router.namespace.remove_route(PREFIX6)
        router.kernel.wait_gone(PREFIX4, ROUTE_TIMEOUT_S)
        with pytest.raises(OSError, match="unreachable"):
            answers(router.client, ADDRESS4)


def test_third_party_next_hops_over_add_path_become_one_multipath_route(web: Lab, speaker: HandSpeaker) -> None:
    announce_web(web, speaker)
    for router in web.routers:
        assert router.established() == {speaker.address}
        assert router.rib(PREFIX4) == [(speaker.address, hop) for hop in sorted(web.next_hops())]
        assert router.rib(PREFIX6) == [(speaker.address, hop) for hop in sorted(web.next_hops(family=6))]
        assert router.kernel.look()[PREFIX4] == web.next_hops()
        assert router.kernel.look()[PREFIX6] == web.next_hops(family=6)
        for address in (ADDRESS4, ADDRESS6):
            assert set(answers(router.client, address, 60)) == {"web-n1", "web-n2", "web-n3"}


def test_the_monitor_sees_a_withdrawal_as_one_replacement_and_the_last_as_a_deletion(
    web: Lab, speaker: HandSpeaker
) -> None:
    announce_web(web, speaker)
    for prefix, family in ((PREFIX4, 4), (PREFIX6, 6)):
        kept = {router.name: len(router.kernel.events_of(prefix)) for router in web.routers}
        # What stays is never missing, although the route is written anew.
        with web.watch({prefix: web.next_hops("n1", "n3", family=family)}) as watch:
            speaker.withdraw(prefix, web.next_hops("n2", family=family))
            for router in web.routers:
                router.kernel.wait_next_hops(prefix, web.next_hops("n1", "n3", family=family), ROUTE_TIMEOUT_S)
                assert [event.change for event in router.kernel.events_of(prefix)[kept[router.name] :]] == ["replace"]
            assert watch.looks > 0
        speaker.withdraw(prefix, web.next_hops("n1", "n3", family=family))
        for router in web.routers:
            router.kernel.wait_gone(prefix, ROUTE_TIMEOUT_S)
            assert router.kernel.events_of(prefix)[-1].change == "delete"
            assert prefix not in router.kernel.look()


def test_the_watch_and_the_requests_report_a_loss(web: Lab, speaker: HandSpeaker) -> None:
    announce_web(web, speaker)
    message = r"bird 198\.51\.100\.7/32 lacks \['10\.77\.0\.102'\] \(event replace\)"
    with pytest.raises(AssertionError, match=message), web.watch({PREFIX4: web.next_hops()}):
        speaker.withdraw(PREFIX4, web.next_hops("n2"))
        web.bird.kernel.wait_next_hops(PREFIX4, web.next_hops("n1", "n3"), ROUTE_TIMEOUT_S)
    with Requests(web.run, web.bird.client, [ADDRESS4]) as requests:
        speaker.withdraw(PREFIX4, web.next_hops("n1", "n3"))
        eventually(lambda: requests.failures, "a request fails", ROUTE_TIMEOUT_S)
    with pytest.raises(AssertionError, match="requests failed"):
        requests.check()
    assert requests.pods()


def test_routers_keep_routes_while_a_speaker_restarts_gracefully(web: Lab, speaker: HandSpeaker) -> None:
    announce_web(web, speaker)
    speaker.end_of_rib()
    everything = {PREFIX4: web.next_hops(), PREFIX6: web.next_hops(family=6)}
    with web.watch(everything), web.requests(ADDRESS4, ADDRESS6) as clients:
        speaker.kill()
        for router in web.routers:
            router.wait_sessions(set())
        speaker.start()
        announce_web(web, speaker)
        # A route that is not announced again goes with End-of-RIB, and only then: so the mark was seen.
        speaker.end_of_rib()
        speaker.announce("198.51.100.8/32", web.next_hops("n1"))
        for router in web.routers:
            router.kernel.wait_next_hops("198.51.100.8/32", web.next_hops("n1"), ROUTE_TIMEOUT_S)
    assert all(client.pods() for client in clients)


def test_a_router_without_add_path_holds_one_next_hop(web: Lab, speaker: HandSpeaker) -> None:
    for router in web.routers:
        router.set_add_path(False)
        router.wait_sessions({speaker.address})
        speaker.announce(PREFIX4, sorted(web.next_hops()))
        # A router that restarts gracefully itself chooses no path before it has heard this.
        speaker.end_of_rib()
        eventually(lambda router=router: len(router.kernel.next_hops(PREFIX4)) == 1, "one next hop", ROUTE_TIMEOUT_S)  # type: ignore[misc]
        assert len(router.rib(PREFIX4)) == 1


def test_sessions_over_ipv6_carry_both_families(web: Lab) -> None:
    own = plan.porter(1)
    with HandSpeaker(web.run, web.porter_namespace(1), own.v6, web.routers, router_id=own.v4) as speaker:
        announce_web(web, speaker)
        for router in web.routers:
            assert router.established() == {own.v6}


def test_two_speakers_and_twelve_nodes_give_twelve_distinct_next_hops(clean: Lab) -> None:
    for number in range(4, 13):
        clean.cluster.add_node(number, paper=True)
    hops4 = clean.next_hops(*clean.cluster.nodes)
    hops6 = clean.next_hops(*clean.cluster.nodes, family=6)
    assert len(hops4) == len(hops6) == 12
    with contextlib.ExitStack() as stack:
        for number in (1, 2):
            namespace, address = clean.porter_namespace(number), plan.porter(number).v4
            speaker = HandSpeaker(clean.run, namespace, address, clean.routers, f"hand{number}")
            stack.enter_context(speaker)
            speaker.announce(PREFIX4, hops4)
            speaker.announce(PREFIX6, hops6)
        for router in clean.routers:
            router.kernel.wait_next_hops(PREFIX4, hops4, ROUTE_TIMEOUT_S)
            router.kernel.wait_next_hops(PREFIX6, hops6, ROUTE_TIMEOUT_S)
            eventually(lambda router=router: len(router.rib(PREFIX4)) == 24, "paths of both speakers", ROUTE_TIMEOUT_S)  # type: ignore[misc]
            assert router.kernel.look()[PREFIX4] == hops4


def test_endpoints_follow_pods_by_themselves(clean: Lab) -> None:
    cluster = clean.cluster
    cluster.create_service("moving", selector={"app": "moving"}, policy="Local")
    cluster.add_pod("n1", "moving", {"app": "moving"})
    cluster.wait_endpoints("moving", ["n1"])
    cluster.set_pod_ready("moving", False)
    cluster.wait_endpoints("moving", [])
    cluster.delete_pod("moving")
    cluster.add_pod("n3", "moving", {"app": "moving"})
    cluster.wait_endpoints("moving", ["n3"])
    cluster.set_ingress("moving", [ADDRESS4])
    # With the policy Local a node without an endpoint drops what comes for the address.
    clean.bird.namespace.replace_route(PREFIX4, sorted(clean.next_hops("n3")))
    clean.cluster.wait_served(ADDRESS4)
    assert set(answers(clean.bird.client, ADDRESS4, 10)) == {"moving"}
    clean.bird.namespace.replace_route(PREFIX4, sorted(clean.next_hops("n2")))
    with pytest.raises(OSError, match=r"timed out|unreachable|refused"):
        answers(clean.bird.client, ADDRESS4)
    clean.bird.namespace.remove_route(PREFIX4)


def test_services_on_paper_are_cheap(clean: Lab) -> None:
    for number in range(1, 51):
        clean.cluster.create_paper_service(f"paper-{number}", clean.web_nodes, number=number, families=("IPv4", "IPv6"))
    slices = clean.client.list("EndpointSlice", "default", "endpointslice.kubernetes.io/managed-by=lab.porter.io")
    assert len(slices) == 100
    assert clean.cluster.endpoint_nodes("paper-50") == set(clean.web_nodes)


def test_redis_comes_back_with_its_data_from_a_crash_and_with_less_from_an_old_copy(clean: Lab) -> None:
    redis = clean.redis
    assert redis.command("SET", "one", "1") == "+OK"
    redis.stop()
    old = redis.copy("old")
    redis.start()
    assert redis.command("SET", "two", "2") == "+OK"
    redis.kill()
    redis.start()
    assert redis.command("EXISTS", "one", "two") == ":2"
    redis.stop()
    redis.cut_last_commit(3)
    redis.start()
    assert redis.command("EXISTS", "one", "two") == ":1"
    redis.stop()
    redis.put_back(old)
    redis.start()
    assert redis.command("EXISTS", "one", "two") == ":1"


def test_users_have_the_rights_that_they_were_given_and_no_others(clean: Lab) -> None:
    alice = clean.control_plane.client_of("alice")
    with pytest.raises(ApiError, match="403"):
        alice.list("Service", "default")
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    metadata = {"name": "lab-reader", "labels": dict([MADE_BY_A_TEST.split("=")])}
    clean.client.apply({**role, "metadata": metadata, "rules": [rule]})
    binding = {
        **role,
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lab-reader"},
        "subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    clean.client.apply(binding)

    def allowed() -> bool:
        return bool(alice.list("Service", "default"))

    eventually(allowed, "alice may list Services", ROUTE_TIMEOUT_S, ignore=(ApiError,))
    assert "kubernetes" in clean.control_plane.kubectl("get", "services", user="alice")


def test_nodes_and_pods_come_back_as_they_were(clean: Lab) -> None:
    cluster = clean.cluster
    cluster.set_node_ready("n1", False)
    cluster.label_node("n2", {"node.kubernetes.io/exclude-from-external-load-balancers": ""})
    cluster.delete_node_object("n3")
    cluster.delete_pod("web-n1")
    cluster.terminate_pod("web-n2")
    cluster.unplug_node(cluster.nodes["n1"])
    cluster.add_node(4)
    cluster.add_pod("n4", "extra", {"app": "web"})
    clean.reset()
    cluster.create_service("web", selector={"app": "web"})
    cluster.wait_endpoints("web", clean.web_nodes)
    nodes = {node["metadata"]["name"]: node for node in clean.client.list("Node")}
    assert sorted(nodes) == clean.web_nodes
    for node in nodes.values():
        assert [each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"] == ["True"]
        assert "node.kubernetes.io/exclude-from-external-load-balancers" not in node["metadata"]["labels"]


def test_a_paused_router_lets_sessions_be_and_a_restarted_one_forgets(web: Lab, speaker: HandSpeaker) -> None:
    announce_web(web, speaker)
    for router in web.routers:
        router.pause()
        assert answers(router.client, ADDRESS4)
        router.resume()
        assert router.established() == {speaker.address}
        router.restart()
        router.wait_sessions({speaker.address})
        # A router that restarts gracefully waits for the speaker's End-of-RIB before it chooses routes (RFC 4724).
        speaker.end_of_rib()
        router.kernel.wait_next_hops(PREFIX4, web.next_hops(), 6 * ROUTE_TIMEOUT_S)


def test_a_wait_that_fails_says_what_was_there(web: Lab) -> None:
    web.bird.namespace.replace_route(PREFIX4, sorted(web.next_hops("n1")))
    with pytest.raises(NotInTime, match=r"has \['10\.77\.0\.101'\], not \['10\.77\.0\.102'\]"):
        web.bird.kernel.wait_next_hops(PREFIX4, web.next_hops("n2"), 0.2)
    web.bird.namespace.remove_route(PREFIX4)


@pytest.mark.usefixtures("lab")
def test_what_a_killed_run_left_behind_is_removed() -> None:
    script = (
        "from tests.lab.run import Run\n"
        "run = Run()\n"
        "namespace = run.namespace('left')\n"
        "process = run.process('sleep', ['sleep', '600'], namespace)\n"
        "print(run.prefix, process.pid, flush=True)\n"
        "import time; time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        prefix, pid = child.stdout.readline().split()
        remove_leftovers()
        assert start_ticks(int(pid)) is not None, "what belongs to a living run stays"
        child.send_signal(signal.SIGKILL)
    remove_leftovers()
    assert start_ticks(int(pid)) is None
    assert not (NAMESPACES / f"{prefix}-left").exists()
    assert not (ROOT / prefix).exists()
