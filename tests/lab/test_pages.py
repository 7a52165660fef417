"""The pages' commands, typed: each block of every page is run here, or by another test, or it is said why it is not."""

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.chart.helm import NAMESPACE, RELEASE
from tests.lab import manifests, plan, scenario
from tests.lab.desk import Desk, Kubelet
from tests.lab.lab import Lab
from tests.lab.page_blocks import (
    COMMANDS,
    DRAWINGS,
    MANIFESTS,
    PAGES,
    ROOT,
    SESSION,
    Block,
    all_blocks,
    commands,
    missing_in,
)
from tests.lab.waiting import eventually
from tests.unit.cli import test_incident_page, test_migration_pages

pytestmark = pytest.mark.lab

NO_ENGINE = "there is no container engine"
VENDOR = "there is no router of this vendor"
NOT_RUN = {
    ("README.md", "make demo"): "tests/integration/programs/test_demo.py runs the demo",
    ("README.md", "make test"): "this test is a part of it",
    ("CONTRIBUTING.md", "make setup"): "it sets this machine up, and runs other suites",
    ("docs/concepts/topologies.md", "porter agent"): "these run on; tests/lab/test_agents.py starts them",
    ("docs/development.md", "PORTER_WRITE_IMAGES"): "it writes the pictures anew; their tests run without it",
    ("docs/development.md", "make lab-up"): "the lab is up already",
    ("docs/development.md", "make soak"): "it takes hours",
    ("docs/development.md", "make bench"): "it takes half an hour",
    ("docs/development.md", "python -m tests.golden"): "it writes the tests' golden files anew",
    ("docs/development.md", "docker build"): NO_ENGINE,
    ("docs/operate/console.md", "porter console\n"): "it needs a `porter up`; tests/integration/console has one",
    ("docs/operate/console.md", "kubectl -n porter-system port-forward"): "there is no kubelet to forward a port",
    (
        "docs/operate/incident.md",
        "porter replay --into",
    ): "it waits for keys; tests/integration/bgp/test_replay_into.py",
    ("docs/operate/maintenance.md", "$ porter status"): "it needs an outage; tests/lab/test_maintenance.py has one",
    ("docs/operate/redis.md", "helm repo add"): "upstream's chart is elsewhere; tests/chart/test_valkey_values.py",
    ("docs/quickstart/README.md", "docker pull"): NO_ENGINE,
    ("docs/quickstart/kind.md", "kind create cluster"): NO_ENGINE,
    ("docs/quickstart/kind.md", "docker network"): NO_ENGINE,
    ("docs/quickstart/kind.md", "docker exec"): NO_ENGINE,
}
"""Blocks by page and beginning, and why they are not run here."""
KINDS = {
    **dict.fromkeys(("frr", "bird", "toml", "vtysh", "birdc"), "tests/lab/test_router_pages.py"),
    **dict.fromkeys(("eos", "ios", "nxos", "iosxr", "junos", "routeros", "opnsense", "vyos"), VENDOR),
    MANIFESTS: "tests/chart/test_pages.py shows all of them to an API server",
    **dict.fromkeys(DRAWINGS, "nothing to run"),
}
COMPARED = {command for command, _ in test_incident_page.examples()} | {
    command for _, command, _ in test_migration_pages.examples()
}
"""Commands on the samples, whose output the unit tests compare letter by letter."""
DRY = {
    "docs/quickstart/bare-metal.md",
    "docs/quickstart/kind.md",
    "docs/operate/redis.md",
    "deploy/kustomize/README.md",
}
"""Pages that install Porter another time: the API server says whether it would take it."""
ANOTHER_WAY = {"deploy/kustomize/README.md"}
"""Of these the ones whose objects are others than the chart's, under the same names."""
NAMESPACE_TIMEOUT_S = 60.0
SHOWN_CHARACTERS = 4000


class Page(NamedTuple):
    """What a page's commands find at the desk, and what stands in them for an example's own values."""

    prepare: Callable[[Desk], None] | None = None
    values: Callable[[Desk], dict[str, str]] | None = None
    undo: Callable[[Desk], None] | None = None


def reason(block: Block) -> str:
    """Why a block is not run here; "" if it is."""
    for (page, beginning), why in NOT_RUN.items():
        if block.page == page and block.text.startswith(beginning):
            return why
    if block.kind == SESSION and all(command.typed.removeprefix("porter ") in COMPARED for command in commands(block)):
        return "tests/unit/cli compares what it prints"
    if block.page == "docs/routers/gobgp.md":
        return "tests/lab/test_router_pages.py"
    return KINDS.get(block.kind, "")


TO_RUN = {
    page: found
    for page in PAGES
    if (found := [block for block in all_blocks() if block.page == page and not reason(block)])
}


def test_every_block_is_run_or_says_why_not() -> None:
    for block in all_blocks():
        print(f"{block.place:<45} {reason(block) or 'run here'}")
        assert reason(block) or block.kind in (COMMANDS, SESSION), f"{block.place}: a block of the kind {block.kind}"
    for page, beginning in NOT_RUN:
        assert [each for each in all_blocks() if each.page == page and each.text.startswith(beginning)], (
            page,
            beginning,
        )


def test_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in all_blocks():
        if block.kind == COMMANDS:
            assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= targets, block.place


@pytest.fixture(scope="module", name="empty")
def before_anything(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk at a cluster with the CRDs alone, as long as nobody asked for ``desk``."""
    return Desk(lab, tmp_path_factory.mktemp("desk"))


@pytest.mark.parametrize("page", sorted(ANOTHER_WAY))
def test_the_api_server_takes_what_installs_porter_another_way(page: str, empty: Desk) -> None:
    type_all(page, empty)


@pytest.fixture(scope="module")
def desk(lab: Lab, empty: Desk) -> Iterator[Desk]:
    """A desk, from which Porter was installed by the README's commands and set up by those of the quickstart."""
    lab.client.delete("Namespace", NAMESPACE)
    lab.client.wait_gone("Namespace", NAMESPACE, timeout_s=NAMESPACE_TIMEOUT_S)
    kubelet = Kubelet(lab, empty.pods)
    kubelet.start()
    try:
        [installing] = [block for block in TO_RUN["README.md"] if "helm install" in block.text]
        try:
            print(empty.type(installing.text))
        finally:
            assert kubelet.error is None, kubelet.error
        for manifest in quickstart():
            lab.client.apply(manifest)
        assert kubelet.installation is not None
        lab.frr.wait_sessions({pod.address for pod in kubelet.installation.speakers})
        yield empty
    finally:
        # Before its rights are taken away.
        kubelet.stop()
        empty.type(f"helm uninstall {RELEASE} --namespace {NAMESPACE} --ignore-not-found")
        lab.client.delete("Namespace", NAMESPACE)
        lab.client.wait_gone("Namespace", NAMESPACE, timeout_s=NAMESPACE_TIMEOUT_S)
        lab.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        lab.reset()
    assert kubelet.error is None, kubelet.error


def quickstart() -> list[manifests.Object]:
    """The objects of the quickstart on bare metal, with the lab's router."""
    page = "docs/quickstart/bare-metal.md"
    text = "---\n".join(block.text for block in all_blocks() if block.page == page and block.kind == MANIFESTS)
    objects: list[manifests.Object] = list(yaml.safe_load_all(text.replace("192.0.2.1", plan.FRR.v4)))
    for each in objects:
        if each["kind"] == "Service":
            each["metadata"]["namespace"] = "default"
    return objects


@pytest.mark.parametrize("page", [page for page in TO_RUN if page != "README.md" and page not in ANOTHER_WAY])
def test_a_pages_commands_do_what_it_says(page: str, desk: Desk) -> None:
    type_all(page, desk)


def test_what_the_release_says_next_can_be_typed(desk: Desk) -> None:
    notes = desk.type(f"helm get notes {RELEASE} --namespace {NAMESPACE}")
    [expose] = re.findall(r"^ +(kubectl expose .*)$", notes, re.MULTILINE)
    [status] = re.findall(r"^ +(kubectl .* -- porter status)$", notes, re.MULTILINE)
    [apply] = re.findall(r"^ +kubectl apply -f - <<EOF\n(.*?)^ +EOF$", notes, re.MULTILINE | re.DOTALL)
    desk.type(f"kubectl apply --dry-run=server -f - <<EOF\n{textwrap.dedent(apply)}EOF")
    desk.type("kubectl create namespace notes; kubectl -n notes create deployment web --image=web")
    try:
        desk.type(f"{expose} --namespace notes")
        desk.lab.cluster.wait_ingress("web", namespace="notes")
        assert "services" in desk.type(status)
    finally:
        desk.lab.client.delete("Namespace", "notes")


def test_helm_test_uses_every_right_that_it_is_given_to_look_around(desk: Desk) -> None:
    values = "--reuse-values --set test.inspectCluster=true"
    desk.type(f"helm upgrade {RELEASE} deploy/helm/porter --namespace {NAMESPACE} {values}")
    desk.type(f"helm test {RELEASE} --namespace {NAMESPACE}")
    account = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-test"
    events = [json.loads(line) for line in desk.lab.control_plane.audit_log.read_text().splitlines()]
    asked = [each for each in events if each["user"]["username"] == account and "objectRef" in each]
    assert not [each["requestURI"] for each in asked if each["responseStatus"]["code"] == 403]
    assert {(each["verb"], each["objectRef"]["resource"], each["objectRef"].get("name", "")) for each in asked} == {
        ("list", "daemonsets", ""),
        ("list", "deployments", ""),
        ("get", "leases", "porter-controller"),
        ("get", "configmaps", "kube-proxy"),
    }


def type_all(page: str, desk: Desk) -> None:
    """Type the blocks of a page, one after another, and look whether what it shows comes out."""
    about = ABOUT.get(page, Page())
    if about.prepare is not None:
        about.prepare(desk)
    try:
        type_blocks(page, desk, about.values(desk) if about.values is not None else {})
    finally:
        if about.undo is not None:
            about.undo(desk)


def type_blocks(page: str, desk: Desk, values: dict[str, str]) -> None:
    def here(text: str) -> str:
        for example, own in values.items():
            text = re.sub(example, own, text)
        return text

    for block in TO_RUN[page]:
        for command in commands(block):
            printed = desk.type(here(command.typed), dry=page in DRY and "helm test" not in command.typed)
            print(f"{block.place}: {command.typed}\n{printed[-SHOWN_CHARACTERS:]}")
            assert not missing_in(here(command.shown), printed), block.place


def redis_url(desk: Desk) -> str:
    """The URL by which a desk reads the journal."""
    return f"redis://porter-reader:{desk.secret('porter-redis', 'reader-password')}@{plan.porter(1).v4}:6379/0"


def shop(desk: Desk) -> None:
    """Two Services of which the second asks for the address of the first."""
    client = desk.lab.client
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    client.apply(manifests.service("web", namespace="shop"))
    pods = desk.lab.cluster.pods
    endpoints = [(node, pods["default", f"web-{node}"].addresses.v4, True) for node in desk.lab.web_nodes]
    client.apply(manifests.endpoint_slice("web", endpoints, namespace="shop"))
    [address] = desk.lab.cluster.wait_ingress("web", namespace="shop")
    desk.lab.frr.kernel.wait_next_hops(scenario.host_prefix(address), desk.lab.next_hops(), scenario.SETTLED_WITHIN_S)
    wanted = {"eip.openelb.kubesphere.io/v1alpha1": address}
    client.apply(manifests.service("late", namespace="shop", annotations=wanted))
    client.wait("Service", "late", lambda each: bool(each["status"].get("conditions")), "it is refused", "shop")
    eventually(lambda: client.list("Event", "shop"), "an Event says so", scenario.SETTLED_WITHIN_S)


def no_shop(desk: Desk) -> None:
    """Without what a doctor would find fault with."""
    desk.lab.client.delete("Namespace", "shop")
    desk.lab.client.wait_gone("Namespace", "shop", timeout_s=NAMESPACE_TIMEOUT_S)


def of_all_kinds(desk: Desk) -> None:
    """An object of the one kind that the quickstart does not have."""
    desk.lab.client.apply(
        {
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "BgpAdvertisement",
            "metadata": {"name": "edge"},
            "spec": {"eips": ["pool"], "peers": ["router"]},
        }
    )


def oncall(desk: Desk) -> None:
    """The account that the page gives a role."""
    client = desk.lab.client
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "oncall"}})
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "oncall"}})


def of_the_journal(desk: Desk) -> dict[str, str]:
    """A journal of a few dozen events, its archive, and an empty server to bring it into."""
    return {
        r"--at '[^']*'": "--at -1s",
        r"\b(41877|41800)\b": "5",
        r"\b(41910|41900)\b": "12",
        r"(porter import .*)URL": rf"\1{desk.lab.redis.url}",
        r"\bURL\b": redis_url(desk),
        r"\bDIR\b": str(archive(desk)),
    }


def archive(desk: Desk) -> Path:
    """The first controller's claim."""
    return desk.lab.run.folder / "claims" / "archive-porter-controller-0"


def an_export(desk: Desk) -> None:
    """The file that other pages have made."""
    desk.type("cp docs/operate/samples/incident.porter-export incident.porter-export")


ABOUT = {
    "docs/concepts/explain.md": Page(
        shop, lambda _: {r"-n t1\b": "-n shop", re.escape("203.0.113.9"): "198.51.100.98"}, no_shop
    ),
    "docs/operate/archive.md": Page(values=of_the_journal),
    "docs/operate/no-answer.md": Page(values=lambda _: {"diff -- -1h": "diff 5"}),
    "docs/operate/console.md": Page(an_export, lambda desk: {r"redis://\S+": redis_url(desk)}),
    "docs/operate/security.md": Page(
        oncall, lambda _: {re.escape("porter-controller.porter-system"): plan.porter(2).v4}
    ),
    "docs/operate/support.md": Page(an_export, lambda desk: {r"redis://\S+": redis_url(desk)}),
    "docs/operate/upgrade.md": Page(values=lambda desk: {r"redis://\S+": redis_url(desk)}),
    "docs/reference/objects.md": Page(of_all_kinds),
}
