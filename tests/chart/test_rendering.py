"""What is rendered, over the whole matrix of values."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHARTS, NAMESPACE, ROOT, Object, find, pod_templates, render
from tests.chart.matrix import EVERYTHING, EXTERNAL_SECRET, EXTERNAL_TLS, MATRIX

SECRET_ARGUMENT = re.compile(r"--password|PASSWORD|://")
HOSTS_NETWORK = ("-speaker", "-agent")
CLUSTER_WIDE = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(params=MATRIX, name="objects", scope="module")
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of one combination of values."""
    return render(MATRIX[request.param])


def containers(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Each container with its Pod's name and specification."""
    for name, template in pod_templates(objects).items():
        for container in template["spec"]["containers"]:
            yield name, template["spec"], container


def test_every_container_is_confined(objects: list[Object]) -> None:
    seen = 0
    for name, pod, container in containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        if container["name"] != "bfd":
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "runAsUser" not in security, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod.get("hostNetwork", False) is name.endswith(HOSTS_NETWORK), name
        assert "hostPID" not in pod and "hostIPC" not in pod, name
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), name
        assert "resources" in container, name
        seen += 1
    assert seen >= 4


def test_bfd_is_there_when_it_is_asked_for_with_one_right_alone() -> None:
    assert not [name for name, _, container in containers(render()) if container["name"] == "bfd"]
    found = {name: own["securityContext"] for name, _, own in containers(render(EVERYTHING)) if own["name"] == "bfd"}
    assert found.keys() == {"lb-speaker", "lb-agent"}
    for security in found.values():
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]}
        assert (security["runAsUser"], security["runAsNonRoot"]) == (0, False)
    # The one container that has more than the others is told with them.
    rights = (ROOT / "docs/operate/security.md").read_text().partition("## What runs with which rights")[2]
    [row] = [line for line in rights.splitlines() if line.startswith("| the container `bfd`")]
    assert "| 0: " in row and "| NET_RAW alone " in row


def test_only_the_controller_is_handed_a_token_and_a_test_that_looks_around(objects: list[Object]) -> None:
    for name, template in pod_templates(objects).items():
        looks_around = name.endswith("-test") and "--in-cluster" in template["spec"]["containers"][0]["args"]
        expected = name.endswith("-controller") or looks_around
        assert template["spec"]["automountServiceAccountToken"] is expected, name
    for account in (each for each in objects if each["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_secret_stands_in_an_argument(objects: list[Object]) -> None:
    for name, _, container in containers(objects):
        for word in [*container.get("command", []), *container.get("args", [])]:
            # That of traces is no server's.
            assert word.startswith("--trace-url=") or not SECRET_ARGUMENT.search(word), (name, word)


def test_every_mount_has_its_volume(objects: list[Object]) -> None:
    claims = {
        each["metadata"]["name"]: {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        for each in objects
        if each["kind"] == "StatefulSet"
    }
    for name, pod, container in containers(objects):
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims.get(name, set())
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes, name


def test_selectors_find_the_pods_that_they_are_meant_for(objects: list[Object]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(objects).items()}
    for each in objects:
        if each["kind"] in (
            "StatefulSet",
            "DaemonSet",
            "Deployment",
            "PodDisruptionBudget",
            "PodMonitor",
            "ServiceMonitor",
        ):
            selector = each["spec"]["selector"]["matchLabels"]
        elif each["kind"] == "Service":
            selector = each["spec"]["selector"]
        elif each["kind"] == "NetworkPolicy":
            selector = each["spec"]["podSelector"]["matchLabels"]
        else:
            continue
        found = [name for name, own in labels.items() if selector.items() <= own.items()]
        assert found == [each["metadata"]["name"]], (each["kind"], selector)


def test_all_objects_are_labelled_and_in_the_releases_namespace(objects: list[Object]) -> None:
    for each in objects:
        if each["kind"] == "CustomResourceDefinition":
            continue
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "porter"
        # What `helm test` may read of kube-proxy is where kube-proxy is.
        elsewhere = each["kind"] in ("Role", "RoleBinding") and each["metadata"]["name"] == f"{NAMESPACE}-porter-test"
        home = "kube-system" if elsewhere else NAMESPACE
        assert each["metadata"].get("namespace") == (None if each["kind"] in CLUSTER_WIDE else home)


def test_the_crds_are_the_repositorys_and_kept_on_uninstall() -> None:
    rendered = {each["metadata"]["name"]: each for each in render() if each["kind"] == "CustomResourceDefinition"}
    sources = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml"))]
    assert len(sources) == len(rendered) == 4
    for source in sources:
        own = rendered[source["metadata"]["name"]]
        assert own["metadata"].pop("annotations") == {
            **source["metadata"].pop("annotations", {}),
            "helm.sh/resource-policy": "keep",
        }
        assert own == source
    # Helm never upgrades what is in that folder.
    assert not (CHARTS / "porter" / "crds").exists()


def test_the_charts_copies_of_the_crds_are_in_step() -> None:
    for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
        copy = CHARTS / "porter" / "files" / "crds" / path.name
        assert copy.read_text() == path.read_text(), f"{copy.name} differs; run scripts/manifests"


def test_an_alert_can_be_left_out_and_finds_its_runbook() -> None:
    sources = yaml.safe_load((ROOT / "deploy/alerts/porter.rules.yaml").read_text())["groups"]
    rendered = find(render(EVERYTHING), "PrometheusRule", "lb")["spec"]["groups"]
    assert [group["name"] for group in rendered] == [group["name"] for group in sources]
    before, after = (
        {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
        for groups in (sources, rendered)
    )
    assert before.keys() - after.keys() == {"PorterPoolNearlyFull"}
    for name, rule in after.items():
        assert rule["expr"] == before[name]["expr"]
        assert rule["annotations"]["runbook_url"] == f"https://runbooks.example/porter/{name}.md"


def test_the_dashboard_is_the_repositorys() -> None:
    own = find(render(EVERYTHING), "ConfigMap", "lb-dashboard")["data"]["porter.json"]
    assert json.loads(own) == json.loads((ROOT / "deploy/grafana/porter.json").read_text())


def test_without_crds_there_are_none() -> None:
    assert not [each for each in render(EVERYTHING) if each["kind"] == "CustomResourceDefinition"]


def test_generated_passwords_are_long_and_differ() -> None:
    first, second = (find(render(), "Secret", "porter-redis")["stringData"] for _ in range(2))
    passwords = [value for data in (first, second) for key, value in data.items() if key.endswith("-password")]
    assert len(set(passwords)) == 8
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", password) for password in passwords)
    assert not any(password in first["users.acl"] for password in passwords)


def test_with_ones_own_secret_none_is_generated() -> None:
    objects = render(EVERYTHING)
    assert not [each for each in objects if each["kind"] == "Secret"]
    text = yaml.safe_dump(objects)
    assert text.count("my-redis-users") == 5


def test_an_external_servers_url_comes_from_the_secret_per_program() -> None:
    objects = render(EXTERNAL_SECRET)
    assert not [each for each in objects if "redis" in each["metadata"]["name"]]
    for program in ("controller", "speaker"):
        own = environment(objects, f"porter-{program}")["PORTER_REDIS_URL"]
        assert own["valueFrom"]["secretKeyRef"] == {"name": "journal", "key": program}


def test_an_authority_of_ones_own_is_mounted_and_named() -> None:
    objects = render(EXTERNAL_TLS)
    for program in ("controller", "speaker"):
        own = environment(objects, f"porter-{program}")
        assert own["SSL_CERT_FILE"]["value"] == "/etc/porter/redis-ca/root.pem"
        pod = pod_templates(objects)[f"porter-{program}"]["spec"]
        assert {"name": "redis-ca", "mountPath": "/etc/porter/redis-ca", "readOnly": True} in pod["containers"][0][
            "volumeMounts"
        ]


def test_two_releases_share_no_name() -> None:
    first = {(each["kind"], each["metadata"]["name"]) for each in render({"crds": {"install": False}})}
    second = {
        (each["kind"], each["metadata"]["name"])
        for each in render({"crds": {"install": False}}, release="edge", namespace="edge")
    }
    assert not first & second


def environment(objects: list[Object], name: str) -> dict[str, Any]:
    """The environment of a workload's first container, by variable."""
    container = pod_templates(objects)[name]["spec"]["containers"][0]
    return {each["name"]: each for each in container["env"]}


def test_the_test_pod_may_ask_the_controllers_alone_unless_it_is_to_look_around() -> None:
    pod = find(render(), "Pod", "porter-test")
    assert pod["spec"]["automountServiceAccountToken"] is False
    (container,) = pod["spec"]["containers"]
    assert container["args"] == ["doctor", "--server=porter-controller:9179"]
    [bound] = [
        each for each in render() if each["kind"] == "ClusterRoleBinding" and "-test" in each["metadata"]["name"]
    ]
    assert bound["roleRef"]["name"] == f"{NAMESPACE}:porter-viewer"
    assert not [
        each for each in render() if each["kind"] in ("Role", "ClusterRole") and "-test" in each["metadata"]["name"]
    ]
    objects = render({"test": {"inspectCluster": True}})
    (container,) = find(objects, "Pod", "porter-test")["spec"]["containers"]
    assert "--in-cluster" in container["args"]
    mine = [each for each in objects if each["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "test"]
    assert {each["metadata"]["annotations"]["helm.sh/hook"] for each in mine} == {"test"}
    rules = [
        (rule["verbs"], rule["resources"], rule.get("resourceNames")) for each in mine for rule in each.get("rules", ())
    ]
    assert rules == [
        (["list"], ["daemonsets", "deployments"], None),
        (["get"], ["leases"], ["porter-controller"]),
        (["get"], ["configmaps"], ["kube-proxy"]),
    ]
