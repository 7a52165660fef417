"""From the release before to this one: what Kubernetes changes in place nowhere is as it was, or the page says how."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import ROOT, Object, chart, find, render
from tests.chart.test_lifecycle import release, with_a_namespace  # noqa: F401 (a fixture)
from tests.golden import record_chart
from tests.integration.kube.control_plane import ControlPlane

FIXED = ("serviceName", "selector", "podManagementPolicy", "volumeClaimTemplates")
"""The fields of a StatefulSet that the API server lets nobody change, of those that the chart sets."""
STATE = "/data"


@pytest.fixture(scope="module", name="before")
def recorded() -> list[Object]:
    """What the chart of the release before rendered."""
    return record_chart.previous()


@pytest.fixture(scope="module", name="now")
def rendered() -> list[Object]:
    """What this one renders."""
    return render(record_chart.VALUES)


def names(objects: list[Object], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in objects if each["kind"] == kind}


def fixed(workload: Object) -> dict[str, Any]:
    return {field: workload["spec"].get(field) for field in FIXED}


def test_what_cannot_be_changed_in_place_is_as_it_was(before: list[Object], now: list[Object]) -> None:
    page = (ROOT / "docs/operate/upgrade.md").read_text()
    for name in names(before, "StatefulSet"):
        was, is_now = find(before, "StatefulSet", name), find(now, "StatefulSet", name)
        if fixed(was) == fixed(is_now):
            continue
        version = is_now["metadata"]["labels"]["helm.sh/chart"]
        assert version != was["metadata"]["labels"]["helm.sh/chart"], f"{name} needs another version of the chart"
        assert f"delete statefulset {name} " in page, f"docs/operate/upgrade.md does not say how {name} is upgraded"


def test_secrets_services_and_accounts_keep_their_names(before: list[Object], now: list[Object]) -> None:
    for kind in ("StatefulSet", "Secret", "Service", "ServiceAccount"):
        assert names(before, kind) <= names(now, kind), kind
    for name in names(before, "Secret"):
        was, is_now = (find(each, "Secret", name)["stringData"] for each in (before, now))
        assert was.keys() <= is_now.keys()


def test_the_journal_stays_where_it_is(before: list[Object], now: list[Object]) -> None:
    for objects in (before, now):
        configuration = find(objects, "ConfigMap", "porter-redis")["data"]["redis.conf"]
        assert f"dir {STATE}\n" in configuration
        assert "appendonly yes" in configuration
        assert not re.search("^append(dirname|filename)", configuration, re.MULTILINE)
        [server] = find(objects, "StatefulSet", "porter-redis")["spec"]["template"]["spec"]["containers"]
        assert {"name": "data", "mountPath": STATE} in server["volumeMounts"]
        # The keys' names.
        assert "%RW~{porter:porter}:j " in find(objects, "Secret", "porter-redis")["stringData"]["users.acl"]


def test_helm_upgrades_it_and_keeps_what_was_generated(plane: ControlPlane, tmp_path: Path) -> None:
    before = as_chart(tmp_path)
    release(plane, "install", "porter", str(before))
    kept = secrets(plane)
    release(plane, "upgrade", "porter", str(chart()), "--set", "crds.install=false")
    now = secrets(plane)
    for name, data in kept.items():
        same = {key: value for key, value in data.items() if key != "users.acl"}
        assert same.items() <= now[name].items(), name
    release(plane, "uninstall", "porter")


def test_a_changed_claim_is_refused_until_the_statefulset_is_made_anew(plane: ControlPlane, tmp_path: Path) -> None:
    without = ["--set", "crds.install=false,archive.persistence.enabled=false"]
    release(plane, "install", "porter", str(chart()), *without)
    with pytest.raises(AssertionError, match="updates to statefulset spec for fields other than"):
        release(plane, "upgrade", "porter", str(chart()), "--set", "crds.install=false")
    section = (ROOT / "docs/operate/upgrade.md").read_text().partition("\n## A StatefulSet that cannot be changed")[2]
    typed = re.findall(r"^kubectl -n porter-system (delete statefulset .*)$", section, re.MULTILINE)
    assert len(typed) == 1
    plane.kubectl("-n", "lifecycle", *typed[0].split(), "--wait=false")
    # No garbage collector runs here, which would take this off; the lab has one, and runs the page's whole block.
    unheld = json.dumps({"metadata": {"finalizers": None}})
    plane.kubectl("-n", "lifecycle", "patch", "statefulset", "porter-controller", "--type=merge", "-p", unheld)
    release(plane, "upgrade", "porter", str(chart()), "--set", "crds.install=false")
    claims = json.loads(plane.kubectl("-n", "lifecycle", "get", "statefulset", "porter-controller", "-o", "json"))
    assert [each["metadata"]["name"] for each in claims["spec"]["volumeClaimTemplates"]] == ["archive"]
    release(plane, "uninstall", "porter")


def as_chart(folder: Path) -> Path:
    """The recorded objects as a chart, in whatever namespace it is installed."""
    made = folder / "previous"
    (made / "templates").mkdir(parents=True)
    shutil.copy2(chart() / "Chart.yaml", made / "Chart.yaml")
    about = yaml.safe_load((made / "Chart.yaml").read_text())
    about.pop("dependencies")
    (made / "Chart.yaml").write_text(yaml.safe_dump(about))
    text = yaml.safe_dump_all(record_chart.previous())
    assert "{{" not in text
    (made / "templates" / "all.yaml").write_text(text.replace("porter-system", "{{ .Release.Namespace }}"))
    return made


def secrets(plane: ControlPlane) -> dict[str, dict[str, str]]:
    """What the release's Secrets hold."""
    answer = json.loads(plane.kubectl("-n", "lifecycle", "get", "secrets", "-o", "json"))
    return {each["metadata"]["name"]: each["data"] for each in answer["items"] if each["type"] == "Opaque"}
