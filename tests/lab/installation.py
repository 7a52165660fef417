"""A release of the chart that was installed by Helm, and its Pods, started as a kubelet would."""

import json
from pathlib import Path
from typing import Any

from tests.chart.helm import NAMESPACE, RELEASE, chart
from tests.lab import plan, programs
from tests.lab.control_plane import ADMIN
from tests.lab.lab import Lab
from tests.lab.pods import Pod

READY_TIMEOUT_S = 30.0
CONSOLE_PLACE = 6


class Installation:
    """The release's StatefulSets as the API server holds them, each with its Pods.

    The chart must be there: install it with ``install``, or by whatever else makes the same objects.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.plane = lab.control_plane
        self.agents: list[Pod] = []
        log = self.plane.audit_log
        self._audited = log.stat().st_size if log.exists() else 0
        self.hosts = {"porter-redis": plan.porter(1).v4}
        self.redis = self._pod("porter-redis", 0, 1, {}).start()
        self.redis.containers["redis"].wait_ready(self._redis_listens, "the server listens", READY_TIMEOUT_S)
        self.controllers = [self._pod("porter-controller", number, 2 + number, self.hosts).start() for number in (0, 1)]
        self.speakers = [self._pod("porter-speaker", number, 4 + number, self.hosts).start() for number in (0, 1)]

    @property
    def pods(self) -> list[Pod]:
        """All of them, but for the agents, which share their namespaces with the nodes' own programs."""
        return [self.redis, *self.controllers, *self.speakers]

    def helm(self, *arguments: str) -> str:
        """Run Helm against the lab's API server, in the release's namespace."""
        return helm(self.lab, *arguments)

    def wait_ready(self) -> None:
        """Wait until both controllers are ready by the path of the chart's probe."""
        for pod in self.controllers:
            pod.containers["controller"].wait_ready(
                lambda pod=pod: pod.namespace.http_get(pod.address, 9179, "/readyz")[0] == 200,  # type: ignore[misc]
                "/readyz",
                READY_TIMEOUT_S,
            )

    def wait_speakers(self) -> None:
        """Wait until both speakers are ready by what the chart's probe looks for."""
        container = self.workload("porter-speaker")["spec"]["template"]["spec"]["containers"][0]
        looked_for = container["readinessProbe"]["exec"]["command"]
        assert looked_for == ["test", "-e", "/var/lib/porter/ready"]
        assert {"name": "state", "mountPath": "/var/lib/porter"} in container["volumeMounts"]
        for pod in self.speakers:
            path = pod.volume("state") / "ready"
            pod.containers["speaker"].wait_ready(path.exists, str(path), READY_TIMEOUT_S)

    def audited(self) -> list[str]:
        """The lines of the API server's audit log since these Pods were started; others may have been here before."""
        with self.plane.audit_log.open("rb") as log:
            log.seek(self._audited)
            return log.read().decode().splitlines()

    def standing_by(self) -> Pod:
        """A controller that does not lead."""

        def leads(pod: Pod) -> bool:
            return "porter_leader 1.0" in pod.namespace.http_get(pod.address, 9179, "/metrics")[1]

        return next(pod for pod in self.controllers if not leads(pod))

    def workload(self, name: str, plural: str = "statefulsets") -> dict[str, Any]:
        """A workload as the API server holds it."""
        return self.plane.client.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/{plural}/{name}")

    def start_agents(self) -> None:
        """Start the DaemonSet's Pod on each node that is there from the start."""
        agents = self.workload("porter-agent", "daemonsets")
        for number, name in enumerate(self.lab.web_nodes):
            node = self.lab.cluster.nodes[name]
            assert node.namespace is not None
            pod = Pod(self.lab.run, self.plane, agents, number, node.namespace, node.addresses.v4, self.hosts, name)
            self.agents.append(pod.start())

    def start_console(self) -> Pod:
        """Start the Deployment's Pod, until the kubelet would find that it lives."""
        workload = self.workload("porter-console", "deployments")
        namespace, address = self.lab.porter_namespace(CONSOLE_PLACE), plan.porter(CONSOLE_PLACE).v4
        pod = Pod(self.lab.run, self.plane, workload, 0, namespace, address, self.hosts)
        self.agents.append(pod.start())
        pod.containers["console"].wait_ready(
            lambda: pod.namespace.http_get(pod.address, 9181, "/livez")[0] == 200, "/livez", READY_TIMEOUT_S
        )
        return pod

    def replace(self) -> None:
        """Replace one Pod after another by one of the present workload, which finds its claims again.

        The next one has its turn when the one before is ready, as in a rolling update.
        """
        self.redis.end(keep_claims=True)
        self.redis = self._pod("porter-redis", 0, 1, {}).start()
        self.redis.containers["redis"].wait_ready(self._redis_listens, "the server listens", READY_TIMEOUT_S)
        self.wait_ready()
        for number, controller in enumerate(self.controllers):
            controller.end(keep_claims=True)
            self.controllers[number] = self._pod("porter-controller", number, 2 + number, self.hosts).start()
            self.wait_ready()
        for number, speaker in enumerate(self.speakers):
            speaker.end(keep_claims=True)
            self.speakers[number] = self._pod("porter-speaker", number, 4 + number, self.hosts).start()
            self.wait_speakers()

    def end(self) -> None:
        """Kill the Pods, and drop their claims."""
        for pod in (*self.pods, *self.agents):
            pod.end()

    def _pod(self, workload: str, number: int, place: int, hosts: dict[str, str]) -> Pod:
        lab = self.lab
        namespace, address = lab.porter_namespace(place), plan.porter(place).v4
        return Pod(lab.run, self.plane, self.workload(workload), number, namespace, address, hosts)

    def _redis_listens(self) -> bool:
        return "Ready to accept connections" in self.redis.containers["redis"].tail(50)


def install(lab: Lab, folder: Path, values: object) -> None:
    """Install the chart with these values over its own; ``folder`` is for the file that holds them."""
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    helm(lab, "install", RELEASE, str(chart()), "--values", str(path))


def helm(lab: Lab, *arguments: str) -> str:
    """Run Helm against the lab's API server, in the release's namespace."""
    kubeconfig = str(lab.control_plane.kubeconfig(ADMIN))
    return lab.control_plane.namespace.run(
        programs.helm_program(), *arguments, "--kubeconfig", kubeconfig, "--namespace", NAMESPACE
    )
