"""`porter migrate` as a person meets it: what is piped, what is read, exit codes, and wrong usage."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from porter.cli.main import main
from tests.schema_check import violations

SOURCE = Path(__file__).resolve().parents[3]
SAMPLES = SOURCE / "docs/migrate/samples"
POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.0/28], autoAssign: true}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: all, namespace: metallb-system}
"""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def migrate(monkeypatch, capfd):
    """Run the command as `porter` does, within this process: what is asked is asked often."""

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["porter", "migrate", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        monkeypatch.chdir(SOURCE)
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        captured = capfd.readouterr()
        return Done(int(code or 0), captured.out, captured.err)

    return run


def test_the_program_itself_prints_manifests_that_can_be_piped():
    done = subprocess.run(
        [sys.executable, "-m", "porter", "migrate", "metallb", "-f", "-"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=SOURCE,
        input=POOL,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    assert [one["kind"] for one in yaml.safe_load_all(done.stdout)] == ["Eip", "BgpAdvertisement"]


def test_manifests_go_to_standard_output_and_the_report_to_standard_error(migrate):
    done = migrate("metallb", "-f", "-", stdin=POOL)
    assert done.returncode == 0, done.stderr
    assert [one["kind"] for one in yaml.safe_load_all(done.stdout)] == ["Eip", "BgpAdvertisement"]
    assert "1 kept, 0 changed, 0 refused" not in done.stdout
    assert "IPAddressPool metallb-system/p  (standard input, document 1)" in done.stderr
    assert "192.0.2.0/28: 16 addresses" in done.stderr


def test_manifests_as_json_are_one_list(migrate):
    done = migrate("metallb", "-f", "-", "-o", "json", stdin=POOL)
    assert json.loads(done.stdout)["kind"] == "List"


def test_the_report_alone_goes_to_standard_output(migrate):
    done = migrate("metallb", "-f", "-", "--report-only", "--report", "json", stdin=POOL)
    assert done.returncode == 0
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["sums"]["refused"] == 0
    assert {"where", "object", "field", "verdict", "note"} == set(report["fields"][0])


@pytest.mark.parametrize("origin", ["metallb", "openelb"])
def test_the_report_follows_its_published_schema(migrate, origin):
    done = migrate(origin, "-f", str(SAMPLES / origin), "--report-only", "--report", "json")
    assert violations(json.loads(done.stdout), "migration") == []


def test_a_refusal_ends_with_1(migrate, tmp_path):
    layer2 = {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "flat"}}
    (tmp_path / "layer2.json").write_text(json.dumps(layer2))
    done = migrate("metallb", "-f", str(SAMPLES / "metallb"), "-f", str(tmp_path / "layer2.json"))
    assert done.returncode == 1
    assert "refusal" in done.stderr.splitlines()[-1]


def test_an_address_that_would_change_ends_with_1(migrate):
    held = {"loadBalancer": {"ingress": [{"ip": "192.0.2.3"}]}}
    items = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "a"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": held,
        }
        for name in ("one", "two")
    ]
    text = f"{POOL}---\n{json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': items})}"
    done = migrate("metallb", "-f", "-", "--report-only", stdin=text)
    assert done.returncode == 1
    assert "1 Service would not keep what is held today" in done.stderr


def test_one_bad_document_does_not_stop_the_others(migrate):
    done = migrate("metallb", "-f", "-", stdin=f"kind: [\n---{POOL}")
    assert done.returncode == 1
    assert "standard input, document 1: is no YAML" in done.stderr
    assert [one["kind"] for one in yaml.safe_load_all(done.stdout)] == ["Eip", "BgpAdvertisement"]


@pytest.mark.parametrize("origin", ["metallb", "openelb"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give either -f FILE|DIR|- or --kubeconfig FILE"),
        (("-f", "a", "--kubeconfig", "b"), "give either"),
        (("-f", "/nowhere"), "-f: /nowhere cannot be read"),
        (("--kubeconfig", "/nowhere"), "/nowhere does not exist"),
        (("-f", "-", "-o", "xml"), "xml"),
        (("-f", "-", "--report", "xml"), "xml"),
    ],
)
def test_wrong_usage_ends_with_2(migrate, origin, arguments, told):
    done = migrate(origin, *arguments)
    assert done.returncode == 2, done
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("origin", ["metallb", "openelb"])
def test_a_cluster_that_does_not_answer_ends_with_3(migrate, origin, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    kubeconfig.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
    done = migrate(origin, "--kubeconfig", str(kubeconfig))
    assert done.returncode == 3, done
    assert "cannot be listed" in done.stderr
    assert done.stdout == ""


def test_nothing_to_migrate_is_fine(migrate):
    done = migrate("openelb", "-f", "-", stdin="")
    assert done.returncode == 0
    assert done.stdout == ""
