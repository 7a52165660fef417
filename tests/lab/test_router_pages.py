"""The configurations of docs/routers at work: each is taken from its page, and only its numbers are the lab's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import manifests, plan, programs, scenario
from tests.lab.lab import Lab
from tests.lab.namespaces import CommandFailed
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

PAGES = Path(__file__).parents[2] / "docs" / "routers"
NODES4 = "192.0.2.0/24"
SPEAKER = "192.0.2.11"
ROUTER = "192.0.2.1"
OUTSIDE_THE_POOLS = "203.0.113.7"
GOBGP_AS = 64512
GOBGP_PLACE = 7
WITHIN_S = 20.0


@pytest.fixture(scope="module")
def porter(lab: Lab) -> Iterator[Porter]:
    """Porter, with a second pool that no router is to believe."""
    scenario.configure(lab)
    lab.client.create(manifests.eip("foreign", address=f"{OUTSIDE_THE_POOLS}/32", default=False))
    started = lab.porter().start()
    scenario.wait_sessions(lab, started)
    yield started
    lab.reset()


def block(page: str, address: str, own_as: int) -> str:
    """The configuration of a page, with the lab's addresses and AS numbers."""
    found = re.search(r"```(?:frr|bird|toml)\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    assert found is not None
    text = (
        found[1]
        .replace(NODES4, plan.FABRIC4)
        .replace(SPEAKER, plan.porter(1).v4)
        .replace("64512", str(own_as))
        .replace("64500", str(plan.SPEAKER_AS))
    )
    return re.sub(rf"{re.escape(ROUTER)}(?![\d/])", address, text)


def check(lab: Lab, number: int, name: str) -> list[str]:
    """A Service of both families becomes routed over all nodes; one outside of the pools does not."""
    addresses = scenario.serve(lab, name, families=scenario.DUAL_STACK)
    scenario.check_reaches_all(lab, addresses)
    scenario.create_web(lab, f"{name}-foreign", annotations={"eip.openelb.kubesphere.io/v1alpha2": "foreign"})
    assert lab.cluster.wait_ingress(f"{name}-foreign", 1) == [OUTSIDE_THE_POOLS]
    # What is served later has its turn later.
    scenario.serve(lab, f"{name}-later")
    assert f"{OUTSIDE_THE_POOLS}/32" not in lab.kernels[number].prefixes()
    return addresses


def checks(page: str, kind: str, address: str) -> list[str]:
    """The commands of a page's last section, without their prompts, about a Service's address."""
    text = (PAGES / f"{page}.md").read_text().partition("\n## Check\n")[2]
    found = re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    typed = [re.sub(r"^\S+ ", "", line) for line in found[1].replace("198.51.100.10", address).splitlines()]
    assert len(typed) >= 2
    return typed


def check_shown(lab: Lab, porter: Porter, number: int, address: str) -> None:
    """What the page says of its commands' output is what the router shows."""
    hops = lab.next_hops()
    if number == 0:
        summary, paths, routes = (lab.frr.vtysh(typed) for typed in checks("frr", "vtysh", address))
        assert re.search(rf"^\*?{re.escape(porter.address)} .* [1-9]\d* +\d+ ", summary, re.MULTILINE), summary
        assert "State/PfxRcd" in summary
        assert len(re.findall(r"\bmultipath\b", paths)) == len(hops), paths
        assert all(f"* {hop}, via" in routes for hop in hops), routes
    else:
        protocols, routes = (lab.bird.birdc(typed) for typed in checks("bird", "birdc", address))
        assert re.search(r"^porter_1 .* Established", protocols, re.MULTILINE), protocols
        assert all(f"via {hop} " in routes for hop in hops), routes


@pytest.mark.parametrize(
    ("number", "page", "first_line"), [(0, "frr", "hostname frr"), (1, "bird", "log stderr all;")], ids=["frr", "bird"]
)
def test_a_router_as_its_page_says(lab: Lab, porter: Porter, number: int, page: str, first_line: str) -> None:
    router, before = lab.routers[number], lab.routers[number]._configured  # type: ignore[attr-defined]
    text = block(page, router.addresses.v4, router.as_number)
    router._configured = lambda: f"{first_line}\n{text}"  # type: ignore[attr-defined]
    try:
        router.restart()
        scenario.wait_sessions(lab, porter)
        [address, _] = check(lab, number, f"by-{page}")
        check_shown(lab, porter, number, address)
        for name in (f"by-{page}", f"by-{page}-foreign", f"by-{page}-later"):
            scenario.delete_service(lab, name)
    finally:
        router._configured = before  # type: ignore[attr-defined]
        router.restart()


def test_gobgp_as_its_page_says(lab: Lab, porter: Porter) -> None:
    namespace, address = lab.porter_namespace(GOBGP_PLACE), plan.porter(GOBGP_PLACE).v4
    path = lab.run.folder / "gobgpd.toml"
    path.write_text(block("gobgp", address, GOBGP_AS))
    command = [programs.find("gobgpd"), "-f", path, "--api-hosts", "127.0.0.1:50051", "--pprof-disable"]
    process = lab.run.process("gobgpd", command, namespace)
    try:
        lab.client.create(manifests.bgp_peer("gobgp", address, GOBGP_AS))
        addresses = scenario.serve(lab, "by-gobgp", families=scenario.DUAL_STACK)
        scenario.create_web(lab, "by-gobgp-foreign", annotations={"eip.openelb.kubesphere.io/v1alpha2": "foreign"})
        lab.cluster.wait_ingress("by-gobgp-foreign", 1)
        expected = {prefix: set(hops) for prefix, hops in scenario.expected_hops(lab, addresses).items()}

        def table() -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for family in ("ipv4", "ipv6"):
                text = namespace.run(programs.find("gobgp"), "-j", "global", "rib", "-a", family)
                for prefix, paths in (json.loads(text) if text.strip().startswith("{") else {}).items():
                    found[prefix] = {hop["nexthop"] for path in paths for hop in path["attrs"] if "nexthop" in hop}
            return found

        eventually(lambda: table() == expected, f"GoBGP has {expected}", WITHIN_S, ignore=(CommandFailed,))
        neighbours, routes = (
            namespace.run(programs.find("gobgp"), *typed.split()[1:]) for typed in checks("gobgp", "console", "")
        )
        assert "Establ" in neighbours
        assert all(hop in routes for hop in lab.next_hops()), routes
    finally:
        lab.run.forget(process)
