"""A folder as the API: its files' changes, faults and half-written states, and the statuses beside it."""

import asyncio
import json
import os

import pytest
from structlog.testing import capture_logs

from porter.kube.manifest_files import MAX_FILE_BYTES
from porter.kube.manifest_status import ManifestStatusWriter
from porter.kube.manifests import ManifestSource
from porter.model.reasons import Reason
from porter.ports import FactKey, ObjectStatus
from tests.integration.kube.helpers import SystemClock, eventually, running, until

SERVICE = """
apiVersion: v1
kind: Service
metadata:
  name: {name}
  annotations: {{lb.kubesphere.io/v1alpha1: openelb}}
spec:
  type: LoadBalancer
  ports: [{{port: 80}}]
"""
VIP = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}


def key(name, kind="Service"):
    return FactKey(kind, f"default/{name}" if kind in {"Service", "Endpoints"} else name)


def write(folder, name, *texts):
    """Write a file as an editor does that cares: whole, by renaming."""
    half = folder / f".{name}.half"
    half.write_text("---\n".join(texts))
    half.rename(folder / name)


@pytest.fixture
async def source(tmp_path):
    made = ManifestSource(tmp_path)
    async with running(made):
        yield made


async def test_files_with_many_documents_and_lists(tmp_path):
    write(
        tmp_path, "many.yaml", SERVICE.format(name="a"), "# nothing\n", SERVICE.format(name="b"), "kind: Deployment\n"
    )
    pools = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "EipList", "items": []}
    for name in ("p", "q"):
        item = {"apiVersion": pools["apiVersion"], "kind": "Eip", "metadata": {"name": name}}
        pools["items"].append(item | {"spec": {"address": "192.0.2.1"}})
    write(tmp_path, "list.json", json.dumps(pools))
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / "folder.yaml").mkdir()
    source = ManifestSource(tmp_path)
    async with running(source):
        assert {k for k in source.facts if k.kind in {"Service", "Pool"}} == {
            key("a"), key("b"), key("p", "Pool"), key("q", "Pool"),
        }  # fmt: skip
        assert source.parts() == {"manifests": "synced"}
        assert source.facts[key("a")].created_ms == 0


async def test_a_deleted_and_recreated_object_is_the_same_one_unless_it_says_otherwise(source, tmp_path):
    write(tmp_path, "web.yaml", SERVICE.format(name="web"))
    await until(source, lambda: key("web") in source.facts)
    uid = source.facts[key("web")].uid
    (tmp_path / "web.yaml").unlink()
    await until(source, lambda: key("web") not in source.facts)
    write(tmp_path, "web.yml", SERVICE.format(name="web"))
    await until(source, lambda: key("web") in source.facts)
    assert source.facts[key("web")].uid == uid
    write(tmp_path, "web.yml", SERVICE.format(name="web").replace("name: web", "name: web\n  uid: my-own"))
    await until(source, lambda: source.facts[key("web")].uid == "my-own")


async def test_a_broken_file_is_logged_once(source, tmp_path):
    with capture_logs() as logged:
        write(tmp_path, "a.yaml", SERVICE.format(name="a") + "  broken: [")
        await eventually(lambda: "manifests/a.yaml" in source.parts())
        write(tmp_path, "b.yaml", SERVICE.format(name="b"))
        await asyncio.sleep(0.8)
    warned = [one["file"] for one in logged if one["event"] == "manifests not honoured"]
    assert warned == ["a.yaml"]


async def test_a_broken_file_keeps_its_last_good_content_and_stops_no_other(source, tmp_path):
    write(tmp_path, "a.yaml", SERVICE.format(name="a"))
    await until(source, lambda: key("a") in source.facts)
    write(tmp_path, "a.yaml", SERVICE.format(name="a") + "  broken: [")
    await eventually(lambda: "manifests/a.yaml" in source.parts())
    assert "last good content stays" in source.parts()["manifests/a.yaml"]
    assert key("a") in source.facts
    write(tmp_path, "b.yaml", SERVICE.format(name="b"))
    await until(source, lambda: key("b") in source.facts)
    write(tmp_path, "a.yaml", SERVICE.format(name="c"))
    await until(source, lambda: key("c") in source.facts)
    assert key("a") not in source.facts
    assert source.parts() == {"manifests": "synced"}


async def test_nothing_counts_as_absent_while_a_file_was_never_readable(tmp_path):
    write(tmp_path, "a.yaml", SERVICE.format(name="a"))
    write(tmp_path, "b.yaml", "spec: [")
    source = ManifestSource(tmp_path)
    async with running(source, synced=False):
        await eventually(lambda: key("a") in source.facts)
        await eventually(lambda: "b.yaml was never readable" in source.parts()["manifests"])
        assert not source.synced
        write(tmp_path, "b.yaml", SERVICE.format(name="b"))
        await until(source, lambda: source.synced)
        assert key("b") in source.facts


async def test_a_file_that_is_truncated_and_written_anew_loses_nothing(source, tmp_path):
    path = tmp_path / "web.yaml"
    path.write_text(SERVICE.format(name="a") + "---" + SERVICE.format(name="b"))
    await until(source, lambda: {key("a"), key("b")} <= source.facts.keys())
    gone = []
    watching = asyncio.create_task(_watch_for_gone(source, key("b"), gone))
    for _ in range(3):
        # As a shell's redirection does it: empty first, then piece by piece.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        await asyncio.sleep(0.08)
        os.write(descriptor, SERVICE.format(name="a").encode())
        await asyncio.sleep(0.08)
        os.write(descriptor, ("---" + SERVICE.format(name="b")).encode())
        os.close(descriptor)
        await asyncio.sleep(0.05)
    watching.cancel()
    assert gone == []


async def _watch_for_gone(source, watched, gone):
    while True:
        await asyncio.sleep(0.005)
        if watched not in source.facts:
            gone.append(watched)


async def test_poisonous_objects_are_named_and_stop_no_other(source, tmp_path):
    bad = [
        SERVICE.format(name="fine"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\nspec: {type: LoadBalancer}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: ../../escape}\n",
        SERVICE.format(name="wrong").replace("port: 80", "port: eighty"),
        "apiVersion: network.kubesphere.io/v1alpha2\nkind: Eip\nmetadata: {name: bad}\nspec: {address: 12, x: 1}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: knative}\n",
    ]
    write(tmp_path, "mixed.yaml", *bad)
    await until(source, lambda: key("fine") in source.facts)
    assert "metadata.name" in source.parts()["manifests/mixed.yaml"]
    assert source.facts[key("wrong")].problems[0].field == "spec.ports[0].port"
    assert {p.field for p in source.facts[key("bad", "Pool")].problems} == {"spec.address", "spec.x"}
    assert key("knative") not in source.facts


async def test_a_three_megabyte_annotation_and_a_file_beyond_the_limit(source, tmp_path):
    large = json.loads(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "large"}}))
    annotation = {"eip.openelb.kubesphere.io/v1alpha1": "9" * 3_000_000, "lb.kubesphere.io/v1alpha1": "openelb"}
    large["metadata"]["annotations"] = annotation
    large["spec"] = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    write(tmp_path, "large.json", json.dumps(large))
    write(tmp_path, "fine.yaml", SERVICE.format(name="fine"))
    await until(source, lambda: {key("large"), key("fine")} <= source.facts.keys())
    assert source.facts[key("large")].problems[0].reason == Reason.ADDRESS_INVALID
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    await eventually(lambda: "split it" in source.parts().get("manifests/huge.yaml", ""))


async def test_a_few_lines_that_name_billions_of_values_are_refused(source, tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    write(tmp_path, "bomb.yaml", "\n".join(lines))
    await eventually(lambda: "values" in source.parts().get("manifests/bomb.yaml", ""))
    write(tmp_path, "fine.yaml", SERVICE.format(name="fine"))
    await eventually(lambda: key("fine") in source.facts)


async def test_one_object_in_two_files_is_named(source, tmp_path):
    write(tmp_path, "a.yaml", SERVICE.format(name="web"))
    write(tmp_path, "b.yaml", SERVICE.format(name="web").replace("80", "81"))
    await eventually(lambda: "in another file too" in source.parts().get("manifests/b.yaml", ""))
    assert source.facts[key("web")].ports == (("TCP", 80),)


async def test_a_folder_that_is_missing_is_waited_for_and_says_so(tmp_path):
    source = ManifestSource(tmp_path / "later")
    async with running(source, synced=False):
        await eventually(lambda: "create it" in source.parts()["manifests"])
        assert not source.synced
        (tmp_path / "later").mkdir()
        write(tmp_path / "later", "web.yaml", SERVICE.format(name="web"))
        await until(source, lambda: source.synced and key("web") in source.facts)


async def test_a_folder_that_goes_away_deletes_nothing(tmp_path):
    folder = tmp_path / "api"
    folder.mkdir()
    write(folder, "web.yaml", SERVICE.format(name="web"))
    source = ManifestSource(folder)
    async with running(source):
        folder.rename(tmp_path / "moved")
        await eventually(lambda: "cannot be read" in source.parts()["manifests"])
        assert key("web") in source.facts
        (tmp_path / "moved").rename(folder)
        write(folder, "other.yaml", SERVICE.format(name="other"))
        await until(source, lambda: key("other") in source.facts)
        assert key("web") in source.facts


def wanted(source, status=VIP, labels=None):
    uid = source.facts[key("web")].uid
    return ObjectStatus("Service", "default", "web", uid, status, labels or {}, {"porter.io/decision": "7 ab"})


async def test_a_status_is_a_file_that_the_next_start_reads(source, tmp_path):
    write(tmp_path, "web.yaml", SERVICE.format(name="web"))
    await until(source, lambda: key("web") in source.facts)
    path = tmp_path / ".status" / "Service.default.web.json"
    async with running(ManifestStatusWriter(tmp_path, source.inventory, lambda: True, SystemClock())) as writer:
        writer.want(wanted(source))
        await eventually(path.exists)
        content = json.loads(path.read_text())
        assert content["loadBalancer"] == VIP["loadBalancer"]
        written = path.stat()
        writer.want(wanted(source))
        await eventually(lambda: not writer._due and not writer._busy)
        assert path.stat().st_mtime_ns == written.st_mtime_ns
        assert path.stat().st_ino == written.st_ino
    again = ManifestSource(tmp_path)
    async with running(again):
        assert again.facts[key("web")].held == ("192.0.2.1",)
        assert again.facts[key("web")].held_decision == 7
    # An object that is deleted takes its status along: made again, it holds nothing.
    (tmp_path / "web.yaml").unlink()
    await until(source, lambda: key("web") not in source.facts)
    await eventually(lambda: not path.exists())


async def test_a_status_file_that_is_damaged_or_anothers_counts_as_none(tmp_path):
    write(tmp_path, "web.yaml", SERVICE.format(name="web"))
    (tmp_path / ".status").mkdir()
    path = tmp_path / ".status" / "Service.default.web.json"
    path.write_text("{half")
    async with running(ManifestSource(tmp_path)) as source:
        assert source.facts[key("web")].held == ()
    path.write_text(json.dumps(VIP | {"metadata": {"uid": "of-an-older-one"}}))
    async with running(ManifestSource(tmp_path)) as source:
        assert source.facts[key("web")].held == ()


async def test_who_does_not_lead_writes_no_status(source, tmp_path):
    write(tmp_path, "web.yaml", SERVICE.format(name="web"))
    await until(source, lambda: key("web") in source.facts)
    async with running(ManifestStatusWriter(tmp_path, source.inventory, lambda: False, SystemClock())) as writer:
        writer.want(wanted(source))
        await eventually(lambda: not writer._due and not writer._busy)
    assert not (tmp_path / ".status").exists()


async def test_what_was_written_a_moment_before_is_there_after_a_refresh(source, tmp_path):
    """A new leader would else take for gone what the leader before it had seen already."""
    for number in range(20):
        write(tmp_path, f"web-{number}.yaml", SERVICE.format(name=f"web-{number}"))
        await source.refresh()
        assert key(f"web-{number}") in source.facts
