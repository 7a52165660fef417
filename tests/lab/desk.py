"""A desk at the lab's cluster: a shell with kubectl, helm and porter, in a copy of the repository; and a kubelet."""

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from porter.app.proc import children_of
from tests.chart.helm import NAMESPACE
from tests.lab import desk_program, programs
from tests.lab.client import ApiError
from tests.lab.control_plane import ADMIN
from tests.lab.installation import Installation
from tests.lab.lab import Lab
from tests.lab.pods import ENTRYPOINT, Pod

ROOT = Path(__file__).parents[2]
COPIED = ("docs", "deploy", "scripts", "Makefile", "README.md")
COMMAND_TIMEOUT_S = 120.0
POLL_S = 0.1
TEST_PLACE = 7
API_ACCESS = "kube-api-access-"
WORKLOADS = ("porter-redis", "porter-controller", "porter-speaker")


class Kubelet(threading.Thread):
    """Starts the release's Pods when its StatefulSets are there, runs the Pod of `helm test`, and writes their status.

    ``error`` is what went wrong, if anything did: nothing comes up then, and whoever waits for it has to look here.
    """

    def __init__(self, lab: Lab, pods: Path) -> None:
        super().__init__(name="kubelet", daemon=True)
        self._lab = lab
        self._pods = pods
        self._done = threading.Event()
        self.installation: Installation | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Look at what is wanted, until it is stopped."""
        try:
            while not self._done.wait(POLL_S):
                self._start_release()
                self._run_test()
        except BaseException as error:  # noqa: BLE001 (shown by whoever waits)
            self.error = error

    def stop(self) -> None:
        """End what runs."""
        self._done.set()
        self.join()
        if self.installation is not None:
            self.installation.end()

    def _start_release(self) -> None:
        client = self._lab.client
        there = client.list("StatefulSet", NAMESPACE)
        if not {each["metadata"]["name"] for each in there} >= set(WORKLOADS):
            return
        if self.installation is None:
            self.installation = Installation(self._lab)
            self.installation.wait_ready()
            self.installation.wait_speakers()
            for pod in self.installation.controllers:
                self._publish(pod)
        for workload in there:
            generation, wanted = workload["metadata"]["generation"], workload["spec"]["replicas"]
            if workload["status"].get("observedGeneration") != generation:
                counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), wanted)
                status = {"observedGeneration": generation, **counts}
                # It may have been deleted since.
                with suppress(ApiError):
                    client.patch("StatefulSet", workload["metadata"]["name"], {"status": status}, NAMESPACE, "status")

    def _publish(self, pod: Pod) -> None:
        """Tell `kubectl exec` how to get into a Pod."""
        told = pod.told("controller")
        [first] = children_of(pod.containers["controller"].pid)
        entered = {
            "pid": first,
            "user": told["user"],
            "group": told["group"],
            "environment": told["environment"],
            "entrypoint": list(ENTRYPOINT),
        }
        (self._pods / f"{pod.name}.json").write_text(json.dumps(entered))

    def _run_test(self) -> None:
        client = self._lab.client
        wanted = client.find("Pod", "porter-test", NAMESPACE)
        if wanted is None or wanted["status"]["phase"] != "Pending" or self.installation is None:
            return
        # The API server adds what a Pod of the chart's workloads is given by the lab.
        spec = wanted["spec"]
        spec["volumes"] = [each for each in spec["volumes"] if not each["name"].startswith(API_ACCESS)]
        for container in spec["containers"]:
            mounts = container["volumeMounts"]
            container["volumeMounts"] = [each for each in mounts if not each["name"].startswith(API_ACCESS)]
        workload = {"metadata": wanted["metadata"], "spec": {"template": {"spec": spec}}}
        # Of a name with two addresses it takes the one that answers; here the one that does not lead, if there is one.
        hosts = {"porter-controller": self.installation.standing_by().address}
        namespace = self._lab.porter_namespace(TEST_PLACE)
        pod = Pod(self._lab.run, self._lab.control_plane, workload, 0, namespace, "", hosts).start()
        code = pod.containers["doctor"].popen.wait(COMMAND_TIMEOUT_S)
        phase = "Succeeded" if code == 0 else "Failed"
        client.patch("Pod", "porter-test", {"status": {"phase": phase}}, NAMESPACE, "status")
        print(f"porter-test {phase}: {pod.containers['doctor'].tail()}")
        pod.end()


class Desk:
    """A shell where the pages' commands are typed. It stands behind a port that is forwarded to a controller."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder / "porter"
        self.home = folder / "home"
        self.pods = folder / "pods"
        self._bin = folder / "bin"
        for made in (self.folder, self.home / ".kube", self.pods, self._bin):
            made.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, self.folder / name)  # type: ignore[operator]
        shutil.copy2(lab.control_plane.kubeconfig(ADMIN), self.home / ".kube" / "config")
        for name in ("kubectl", "helm", "porter"):
            (self._bin / name).write_text(Path(desk_program.__file__).read_text())
            (self._bin / name).chmod(0o755)
        told = {
            "kubectl": str(programs.kubernetes_programs()["kubectl"]),
            "helm": str(programs.helm_program()),
            "kubeconfig": str(self.home / ".kube" / "config"),
            "porter": list(ENTRYPOINT),
            "pods": str(self.pods),
        }
        (folder / "desk.json").write_text(json.dumps(told))
        self._variables = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LAB_DESK": str(folder / "desk.json"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def type(self, text: str, *, dry: bool = False, **variables: str) -> str:
        """Run a script in bash, and return what it printed. With ``dry`` the API server checks, and nothing is changed.

        Raises CommandFailed where a command fails; a finding of Porter (exit code 1) is an answer.
        """
        told = {**self._variables, **variables, **({"LAB_DRY": "1"} if dry else {})}
        words = ["env", "-C", str(self.folder), *(f"{name}={value}" for name, value in told.items())]
        namespace = self.lab.porter_namespace(2)
        return namespace.run(*words, "bash", "-euo", "pipefail", "-c", text, timeout_s=COMMAND_TIMEOUT_S)

    def secret(self, name: str, key: str) -> str:
        """A value of one of Porter's Secrets."""
        import base64

        data: dict[str, Any] = self.lab.client.get("Secret", name, NAMESPACE)["data"]
        return base64.b64decode(data[key]).decode()
