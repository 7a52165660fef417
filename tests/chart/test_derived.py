"""What is derived from the chart is in step with it, and kustomize gives what an API server takes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import ROOT
from tests.integration.kube.control_plane import ControlPlane

OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "porter-system"}}


def test_derived_files_are_in_step_with_the_chart(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/manifests", "--to", tmp_path], check=True, timeout=120)
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 9
    for path in written:
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), f"{path} differs; run scripts/manifests"


@pytest.mark.parametrize("overlay", sorted(path.name for path in OVERLAYS.iterdir()))
def test_an_api_server_takes_every_overlay(overlay: str, control_plane: ControlPlane) -> None:
    rendered = control_plane.kubectl("kustomize", str(OVERLAYS / overlay))
    control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(NAMESPACE))
    answer = control_plane.kubectl(
        "apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-", stdin=rendered
    )
    assert answer.count("serverside-applied") == rendered.count("\nkind: ") >= 20
    assert "helm" not in rendered.lower()


def test_one_node_has_one_replica_of_each(control_plane: ControlPlane) -> None:
    rendered = yaml.safe_load_all(control_plane.kubectl("kustomize", str(OVERLAYS / "one-node")))
    replicas = {
        each["metadata"]["name"]: each["spec"]["replicas"] for each in rendered if each["kind"] == "StatefulSet"
    }
    assert replicas == {"porter-controller": 1, "porter-speaker": 1, "porter-redis": 1}


def test_the_secrets_for_kustomize_hold_what_the_manifests_ask_for() -> None:
    script = ROOT / "deploy/kustomize/components/redis/make-secrets"
    printed = subprocess.run([script], capture_output=True, text=True, check=True, timeout=30).stdout
    users, urls = (each["stringData"] for each in yaml.safe_load_all(printed))
    for name in ("controller", "speaker", "reader", "operator"):
        digest = hashlib.sha256(users[f"{name}-password"].encode()).hexdigest()
        assert f"user porter-{name} on #{digest} " in users["users.acl"]
    for name in ("controller", "speaker"):
        assert urls[name] == f"redis://porter-{name}:{users[f'{name}-password']}@porter-redis:6379/0"
