"""An API server takes all that is rendered, and Pod Security what is said to fit it."""

import json

import pytest

from tests.chart.helm import NAMESPACE, Object, pod_templates, render
from tests.chart.matrix import MATRIX
from tests.integration.kube.control_plane import ControlPlane

FOREIGN = ("PodMonitor", "ServiceMonitor", "PrometheusRule")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def as_list(objects: list[Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


@pytest.fixture(scope="module", name="namespaces")
def made(control_plane: ControlPlane) -> ControlPlane:
    """The release's namespace, and one where Pod Security enforces `restricted`."""
    for name, labels in ((NAMESPACE, {}), ("restricted", RESTRICTED)):
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(account))
    return control_plane


@pytest.mark.parametrize("case", MATRIX)
def test_the_api_server_takes_every_object(case: str, namespaces: ControlPlane) -> None:
    known = [each for each in render(MATRIX[case]) if each["kind"] not in FOREIGN]
    answer = namespaces.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts", "-f", "-",
        stdin=as_list([each for each in known if each["kind"] != "Pod"]),
    )  # fmt: skip
    assert answer.count("serverside-applied") == len([each for each in known if each["kind"] != "Pod"])


@pytest.mark.parametrize("case", MATRIX)
def test_every_pod_but_those_on_the_hosts_network_fits_restricted(case: str, namespaces: ControlPlane) -> None:
    for name, template in pod_templates(render(MATRIX[case])).items():
        spec = {**template["spec"], "serviceAccountName": "default"}
        # BFD's own container has a right that no restricted Pod may have; what it has is looked at by name elsewhere.
        spec["containers"] = [each for each in spec["containers"] if each["name"] != "bfd"]
        # Claims, and a class of priority that only a started controller makes, are no part of the question.
        spec.pop("priorityClassName", None)
        mounted = {mount["name"] for each in spec["containers"] for mount in each.get("volumeMounts", [])}
        there = {volume["name"] for volume in spec.get("volumes", [])}
        spec["volumes"] = [*spec.get("volumes", []), *({"name": each, "emptyDir": {}} for each in mounted - there)]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "restricted"}, "spec": spec}
        if name.endswith(("-speaker", "-agent")):
            with pytest.raises(AssertionError, match="violates PodSecurity") as refused:
                namespaces.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
            # Nothing but the host's network stands against it.
            reasons = str(refused.value).partition('"restricted:latest":')[2]
            assert reasons.strip().startswith("host namespaces (hostNetwork=true)"), reasons
            assert reasons.count(",") == 0, reasons
        else:
            namespaces.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
