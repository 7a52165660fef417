"""The chart's own manifests at work: installed by Helm, started as by a kubelet, with its rights and nothing else."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chart.helm import NAMESPACE, RELEASE, chart
from tests.lab import manifests, plan, scenario
from tests.lab.client import ApiError, Client
from tests.lab.container_entry import CAPABILITIES
from tests.lab.installation import READY_TIMEOUT_S, Installation, install
from tests.lab.lab import Lab
from tests.lab.pods import Pod, token_of
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

VALUES = {
    # The lab installs them itself, and keeps them from test to test.
    "crds": {"install": False},
    "speaker": {"passwordSecrets": ["none-yet"]},
    "agent": {"enabled": True},
    "bfd": {"enabled": True},
    "console": {"enabled": True},
}
USED_WITHIN_S = 20.0
INLINE = "inl1ne-Pa55"
FINALIZERS = {"metadata": {"finalizers": ["finalizer.lb.kubesphere.io/v1alpha1"]}}


class Right(NamedTuple):
    """One verb on one resource, everywhere or in the release's namespace."""

    verb: str
    group: str
    resource: str
    namespaced: bool


@pytest.fixture(scope="module")
def installed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The chart, installed and running, with sessions to both routers."""
    install(lab, tmp_path_factory.mktemp("release"), VALUES)
    made = Installation(lab)
    try:
        scenario.configure(lab)
        made.wait_ready()
        for router in lab.routers:
            router.wait_sessions({pod.address for pod in made.speakers}, READY_TIMEOUT_S)
        made.wait_speakers()
        yield made
    finally:
        made.end()
        made.helm("uninstall", RELEASE)
        lab.reset()


def test_a_service_is_routed_by_what_the_chart_starts(lab: Lab, installed: Installation) -> None:
    addresses = scenario.serve(lab, "charted", families=scenario.DUAL_STACK)
    scenario.check_reaches_all(lab, addresses)


def test_the_console_shows_it_to_a_forwarded_port_and_to_nobody_else(lab: Lab, installed: Installation) -> None:
    pod = installed.start_console()
    [address] = scenario.serve(lab, "shown")

    def shown() -> bool:
        # A forwarded port ends on the Pod's own loopback.
        status, answer = pod.namespace.http_get("127.0.0.1", 9180, "/api/services?q=shown")
        return status == 200 and address in answer

    eventually(shown, "the console shows the Service", USED_WITHIN_S)
    with pytest.raises(OSError, match="refused"):
        pod.namespace.http_get(pod.address, 9180, "/")
    assert pod.namespace.http_get(pod.address, 9181, "/api/services")[0] == 404


def test_a_speakers_container_restarts_without_its_exabgp_and_without_a_lost_route(
    lab: Lab, installed: Installation
) -> None:
    [address] = scenario.serve(lab, "held")
    with lab.watch(scenario.expected_hops(lab, [address])):
        for pod in installed.speakers:
            pod.kill("speaker")
            pod.containers["speaker"].start()
        installed.wait_speakers()
        scenario.serve(lab, "after-restart")
    assert all(pod.containers["exabgp"].alive for pod in installed.speakers)


def test_bfd_watches_the_paths_with_the_rights_that_the_chart_names(lab: Lab, installed: Installation) -> None:
    bird = lab.routers[1]
    bird.set_bfd(*(pod.address for pod in installed.speakers))
    lab.client.patch("BgpPeer", bird.name, {"spec": {"bfd": {"enabled": True, "detectMultiplier": 10}}})
    try:
        eventually(lambda: {pod.address for pod in installed.speakers} <= bird.bfd_up(), "BFD is up", USED_WITHIN_S)
        scenario.wait_condition(
            lab,
            "BgpPeer",
            bird.name,
            lambda one: one["type"] == "BfdUp" and one["status"] == "True",
            "BFD watches the path of every session",
        )
    finally:
        lab.client.patch("BgpPeer", bird.name, {"spec": {"bfd": {"enabled": False}}})
        bird.set_bfd()
        bird.wait_sessions({pod.address for pod in installed.speakers}, READY_TIMEOUT_S)


def test_a_controller_may_ask_another_for_its_archive_and_for_nothing_else(lab: Lab, installed: Installation) -> None:
    asking, asked = installed.controllers
    token = (asking.volume("token") / "token").read_text().strip()
    assert ask_between(asking, asked, token, "/v1/archive") == 200
    assert ask_between(asking, asked, token, "/v1/segment?name=none.pjs") == 404
    assert ask_between(asking, asked, token, "/v1/status") == 403


def test_every_right_is_used_and_none_is_missing(lab: Lab, installed: Installation) -> None:
    # What an OpenELB left behind, and an object of each kind whose status is written.
    scenario.serve(lab, "adopted")
    for kind, name in (("Service", "adopted"), ("Eip", "pool"), ("BgpConf", "default"), ("BgpPeer", "bird")):
        lab.client.patch(kind, name, FINALIZERS)
    lab.client.create(
        {
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "BgpAdvertisement",
            "metadata": {"name": "edge"},
            "spec": {"eips": ["pool"], "communities": ["64500:1"]},
        }
    )
    # Who asks from another Pod is looked up, and whether they may.
    assert ask_from_elsewhere(installed, "porter-viewer", "/v1/status") == 200
    granted = rights_of(installed)

    eventually(lambda: granted <= used(installed), "every right is used", USED_WITHIN_S)

    assert not refused(installed)
    assert not used(installed) - granted


def test_a_password_in_a_peer_is_said_to_need_a_secret(lab: Lab, installed: Installation) -> None:
    peer = manifests.bgp_peer("inline", plan.porter(8).v4, plan.BIRD_AS)
    peer["spec"]["conf"]["authPassword"] = INLINE
    lab.client.create(peer)
    try:
        told = scenario.wait_condition(
            lab,
            "BgpPeer",
            "inline",
            lambda one: one["status"] == "False" and "put the password into a Secret" in one["message"],
            "the peer says what to do",
        )
        assert INLINE not in json.dumps(told)
        for pod in installed.pods:
            for process in pod.containers.values():
                assert INLINE.encode() not in process.log.read_bytes(), process.name
    finally:
        lab.client.delete("BgpPeer", "inline")


def test_other_pods_need_a_token_that_is_bound_to_a_role(installed: Installation) -> None:
    pod, asking = installed.controllers[0], installed.speakers[0].namespace
    status, body = asking.http_get(pod.address, 9179, "/v1/status")
    assert status == 401
    assert "kubectl create token" in body
    assert ask_from_elsewhere(installed, None, "/v1/status") == 403
    # Acting takes more than looking. Whoever may is told that there is no such speaker, or who leads.
    told = json.dumps({"speaker": "nobody", "why": ""})
    acting = ("--header", "Content-Type: application/json", "--data", told)
    assert ask_from_elsewhere(installed, "porter-viewer", "/v1/drain", *acting) == 403
    assert ask_from_elsewhere(installed, "porter-operator", "/v1/drain", *acting) in (404, 409)


def test_the_speaker_asks_the_api_server_nothing(installed: Installation) -> None:
    assert not [event for event in audited(installed) if event["user"]["username"].endswith(":porter-speaker")]


@pytest.mark.parametrize(
    "account", ["porter-controller", "porter-speaker", "porter-agent", "porter-console", "porter-redis"]
)
def test_no_account_reads_a_secret_anywhere(installed: Installation, account: str) -> None:
    plane = installed.plane
    own = token_of(plane, NAMESPACE, account)
    client = Client(plane.namespace, plane.address, plan.API_PORT, own, plane.keys.certificate)
    for path in (
        "/api/v1/secrets",
        "/api/v1/namespaces/default/secrets",
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        f"/api/v1/namespaces/{NAMESPACE}/secrets/porter-redis",
    ):
        with pytest.raises(ApiError) as denied:
            client.request("GET", path)
        assert denied.value.status == 403


def test_no_password_is_in_the_process_list_or_in_a_log(lab: Lab, installed: Installation) -> None:
    data = lab.client.get("Secret", "porter-redis", NAMESPACE)["data"]
    passwords = [base64.b64decode(value) for key, value in data.items() if key.endswith("-password")]
    assert len(passwords) == 4
    seen = 0
    for pod in installed.pods:
        for pid in pod.namespace.pids():
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert not any(password in arguments for password in passwords), arguments
            seen += 1
        for process in pod.containers.values():
            log = process.log.read_bytes()
            assert not any(password in log for password in passwords), process.name
    assert seen >= 9


def test_the_pods_have_neither_root_nor_capabilities_but_bfd_has_one(installed: Installation) -> None:
    of_bfd = 0
    for pod in installed.pods:
        for pid in pod.namespace.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            if Path(f"/proc/{pid}/comm").read_text().strip() == "unshare":
                continue
            uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)", status, re.MULTILINE)
            assert uids is not None
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            bfd = b"bfd" in words or words[0].endswith(b"/bird")
            of_bfd += bfd
            assert set(uids.groups()) == {"0"} if bfd else "0" not in uids.groups(), status
            for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
                rights = 1 << CAPABILITIES["NET_RAW"] if bfd and name != "CapAmb" else 0
                assert f"{name}:\t{rights:016x}" in status, status
            assert "NoNewPrivs:\t1" in status
    assert of_bfd == len(installed.speakers)


def test_agents_announce_their_nodes_to_a_peer_of_topology_node(lab: Lab, installed: Installation) -> None:
    addresses = scenario.serve(lab, "by-agents")
    installed.start_agents()
    with lab.watch(scenario.expected_hops(lab, addresses)):
        lab.client.create(
            manifests.bgp_peer("bird-by-node", plan.BIRD.v4, plan.BIRD_AS, topology="node")  # type: ignore[arg-type]
        )
        everyone = lab.next_hops() | {pod.address for pod in installed.speakers}
        lab.bird.wait_sessions(everyone, READY_TIMEOUT_S)
        own = {(hop, hop) for hop in lab.next_hops()}
        prefix = scenario.host_prefix(addresses[0])
        eventually(lambda: own <= set(lab.bird.rib(prefix)), "each agent announces its node", USED_WITHIN_S)


def test_an_upgrade_keeps_the_passwords(lab: Lab, installed: Installation) -> None:
    before = lab.client.get("Secret", "porter-redis", NAMESPACE)["data"]
    installed.helm("upgrade", RELEASE, str(chart()), "--reuse-values", "--set", "controller.replicas=1")
    assert lab.client.get("Secret", "porter-redis", NAMESPACE)["data"] == before
    assert installed.workload("porter-controller")["spec"]["replicas"] == 1


def ask_between(asking: Pod, asked: Pod, token: str, path: str, *options: str) -> int:
    """The HTTP status of a controller's answer to another Pod with a token."""
    words = ("--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "@-", *options)
    url = f"http://{asked.address}:9179{path}"
    return int(asking.namespace.run("curl", *words, url, stdin=f"Authorization: Bearer {token}"))


def ask_from_elsewhere(installed: Installation, role: str | None, path: str, *options: str) -> int:
    """The HTTP status of a controller's answer to an account in another Pod, bound to a role or to none."""
    plane, account = installed.plane, role or "nobody"
    plane.kubectl("-n", NAMESPACE, "create", "serviceaccount", account)
    try:
        if role is not None:
            bound = (f"--clusterrole={NAMESPACE}:{role}", f"--serviceaccount={NAMESPACE}:{account}")
            plane.kubectl("create", "clusterrolebinding", account, *bound)
        token = plane.kubectl("-n", NAMESPACE, "create", "token", account, "--audience", "porter").strip()
        return ask_between(installed.speakers[0], installed.controllers[0], token, path, *options)
    finally:
        plane.kubectl("-n", NAMESPACE, "delete", "serviceaccount", account)
        plane.kubectl("delete", "clusterrolebinding", account, "--ignore-not-found")


def rights_of(installed: Installation) -> set[Right]:
    """What the chart grants, one verb at a time."""
    client = installed.plane.client
    name = "porter-controller"
    cluster_wide = client.request("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAMESPACE}:{name}")
    own = client.request("GET", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/{name}")
    return {
        Right(verb, group, resource, namespaced)
        for namespaced, role in ((False, cluster_wide), (True, own))
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def audited(installed: Installation) -> list[dict[str, Any]]:
    """What the release's accounts asked of the API server."""
    events = [json.loads(line) for line in installed.audited()]
    accounts = f"system:serviceaccount:{NAMESPACE}:"
    return [event for event in events if event["user"]["username"].startswith(accounts) and "objectRef" in event]


def used(installed: Installation) -> set[Right]:
    """The rights that the controllers made use of."""
    found = set()
    for event in audited(installed):
        about = event["objectRef"]
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        own = about["resource"] in ("leases", "configmaps")
        if event["responseStatus"]["code"] != 403:
            found.add(Right(event["verb"], about.get("apiGroup", ""), resource, own))
    return found


def refused(installed: Installation) -> list[str]:
    """What the API server refused the controllers for want of a right."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in audited(installed)
        if event["responseStatus"]["code"] == 403 and event["objectRef"]["resource"] != "secrets"
    ]
