"""A release from its installation to its end, at a real API server: what is kept, and what is upgraded."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
import yaml

from tests.chart.helm import ROOT, chart
from tests.integration.kube.control_plane import ControlPlane
from tests.lab import programs

SPACE = "lifecycle"
PORTER = Path(sys.executable).with_name("porter")
EIPS = "eips.network.kubesphere.io"


@pytest.fixture(name="plane")
def with_a_namespace(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with a namespace for the release; afterwards the CRDs are as the other tests know them."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    yield control_plane
    control_plane.apply_crds()


def release(plane: ControlPlane, *arguments: str) -> str:
    """Run Helm against the API server."""
    command = [programs.helm_program(), *arguments, "--namespace", SPACE, "--kubeconfig", str(plane.kubeconfig)]
    environment = {**os.environ, "HELM_REPOSITORY_CONFIG": os.devnull}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def older_chart(folder: Path) -> Path:
    """The chart as if of an earlier version, whose pools had no quotas."""
    older = folder / "older"
    copytree(chart(), older)
    path = older / "files" / "crds" / "eips.yaml"
    definition = yaml.safe_load(path.read_text())
    for version in definition["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("quota", None)
        version["schema"]["openAPIV3Schema"]["properties"]["spec"].pop("x-kubernetes-validations", None)
    path.write_text(yaml.safe_dump(definition))
    return older


def has_quota(plane: ControlPlane) -> bool:
    """Whether the CRD of pools knows quotas."""
    definition = json.loads(plane.kubectl("get", "crd", EIPS, "-o", "json"))
    return "quota" in json.dumps(definition["spec"])


@pytest.mark.parametrize("page", ["openelb.md", "metallb.md"])
def test_crds_that_another_installed_are_taken_over_as_the_page_says(
    page: str, plane: ControlPlane, tmp_path: Path
) -> None:
    text = (ROOT / "docs/migrate" / page).read_text().partition("## Taking over")[2]
    [options] = re.findall(r"`porter crds \| kubectl apply (.*) -f -`", text)
    assert "`helm install`" in text and "`--take-ownership`" in text
    crds = [path.read_text() for path in sorted((older_chart(tmp_path) / "files/crds").glob("*.yaml"))]
    # As if a chart of OpenELB's had installed them: its fields are Helm's.
    plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-", stdin="---\n".join(crds)
    )
    assert not has_quota(plane)
    printed = subprocess.run([PORTER, "crds"], capture_output=True, text=True, check=True, timeout=30).stdout
    plane.kubectl("apply", *options.split(), "-f", "-", stdin=printed)
    assert has_quota(plane)
    try:
        assert "porter status" in release(plane, "install", "moved", str(chart()), "--take-ownership")
    finally:
        release(plane, "uninstall", "moved", "--ignore-not-found")
        plane.kubectl("-n", SPACE, "delete", "secret", "moved-porter-signing-key", "--ignore-not-found")


def test_crds_are_upgraded_and_kept_and_passwords_stay(plane: ControlPlane, tmp_path: Path) -> None:
    # The API server of these tests has the CRDs already, as one where OpenELB was has them.
    notes = release(plane, "install", "porter", str(older_chart(tmp_path)), "--take-ownership")
    assert "porter status" in notes
    assert not has_quota(plane)
    pool = {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": "kept"},
        "spec": {"address": "192.0.2.0/28"},
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    secret = plane.kubectl("-n", SPACE, "get", "secret", "porter-redis", "-o", "jsonpath={.data}")
    key = plane.kubectl("-n", SPACE, "get", "secret", "porter-signing-key", "-o", "jsonpath={.data}")

    release(plane, "upgrade", "porter", str(chart()))
    assert has_quota(plane)
    assert plane.kubectl("-n", SPACE, "get", "secret", "porter-redis", "-o", "jsonpath={.data}") == secret
    assert plane.kubectl("-n", SPACE, "get", "secret", "porter-signing-key", "-o", "jsonpath={.data}") == key

    release(plane, "uninstall", "porter")
    assert has_quota(plane)
    assert "kept" in plane.kubectl("get", "eips", "-o", "name")
    left = plane.kubectl("-n", SPACE, "get", "statefulsets,secrets,serviceaccounts,roles,networkpolicies", "-o", "name")
    # The claims outlive the release, with what this key has signed.
    assert re.findall(r"\S*porter\S*", left) == ["secret/porter-signing-key"]
    assert not plane.kubectl("get", "clusterroles", "-o", "name", "-l", "app.kubernetes.io/part-of=porter")
    plane.kubectl("delete", "eip", "kept")

    release(plane, "install", "porter", str(chart()))
    assert plane.kubectl("-n", SPACE, "get", "secret", "porter-signing-key", "-o", "jsonpath={.data}") == key
    plane.kubectl("-n", SPACE, "delete", "secret", "porter-redis")
    release(plane, "upgrade", "porter", str(chart()))
    made = plane.kubectl("-n", SPACE, "get", "secret", "porter-redis", "-o", "jsonpath={.data}")
    assert made != secret and json.loads(made).keys() == json.loads(secret).keys()
    release(plane, "uninstall", "porter")
    plane.kubectl("-n", SPACE, "delete", "secret", "porter-signing-key")
