"""The chart's upgrade from the release before, with real programs: the journal, addresses and routes go on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import NAMESPACE, RELEASE, chart
from tests.chart.test_previous import as_chart
from tests.lab import scenario
from tests.lab.installation import READY_TIMEOUT_S, Installation, helm
from tests.lab.lab import Lab
from tests.lab.pods import Pod
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

LED_WITHIN_S = 60.0


def asked(pod: Pod, path: str) -> dict[str, Any]:
    """A controller's answer on its own loopback."""
    status, body = pod.namespace.http_get("127.0.0.1", 9179, path)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_an_upgrade_keeps_the_journal_the_addresses_and_every_route(lab: Lab, tmp_path: Path) -> None:
    helm(lab, "install", RELEASE, str(as_chart(tmp_path)))
    installed = Installation(lab)
    try:
        scenario.configure(lab)
        installed.wait_ready()
        for router in lab.routers:
            router.wait_sessions({pod.address for pod in installed.speakers}, READY_TIMEOUT_S)
        installed.wait_speakers()
        addresses = scenario.serve(lab, "kept", families=scenario.DUAL_STACK)
        before = asked(installed.controllers[0], "/v1/status")
        secret = lab.client.get("Secret", "porter-redis", NAMESPACE)["data"]

        helm(lab, "upgrade", RELEASE, str(chart()), "--set", "crds.install=false")
        with lab.watch(scenario.expected_hops(lab, addresses)):
            installed.replace()
            for router in lab.routers:
                router.wait_sessions({pod.address for pod in installed.speakers}, READY_TIMEOUT_S)

        now = lab.client.get("Secret", "porter-redis", NAMESPACE)["data"]
        passwords = {key: value for key, value in secret.items() if key.endswith("-password")}
        assert passwords.items() <= now.items()
        # Somebody leads again, once the Lease of the last one that was replaced has run out.
        controller = installed.controllers[0]
        eventually(
            lambda: asked(controller, "/v1/status")["position"] > before["position"], "it is led on", LED_WITHIN_S
        )
        assert asked(controller, "/v1/status")["genesis"] == before["genesis"]
        # Nothing of it was lost: what was decided before the upgrade is told from the journal.
        then = asked(controller, f"/v1/services?at={before['position']}")
        assert [each["service"]["name"] for each in then["services"]] == ["kept"]
        assert lab.cluster.wait_ingress("kept", 2) == addresses
        scenario.check_reaches_all(lab, addresses)
        assert not set(addresses) & set(scenario.serve(lab, "later"))
    finally:
        installed.end()
        helm(lab, "uninstall", RELEASE)
        lab.reset()
