"""Runs Pods as a kubelet would, from the manifests that the chart renders: their commands, environment and mounts.

The machine's own Python and this checkout stand for the image, read-only; or the root that ``PORTER_IMAGE_ROOT`` names,
which is the real image's file system (``make image-check``).
"""

import base64
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from porter.app.proc import children_of
from porter.journal.embedded import bundled_server_program
from tests.lab import container_entry, plan
from tests.lab.control_plane import ControlPlane
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process, end_pids
from tests.lab.run import Run

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
IMAGE_ROOT = os.environ.get("PORTER_IMAGE_ROOT", "")
ENTRYPOINT = ("/opt/porter/bin/porter",) if IMAGE_ROOT else (sys.executable, "-m", "porter")
"""The image's, or what stands for it."""
IMAGE_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache")
IMAGE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/var/lib/porter", "PYTHONDONTWRITEBYTECODE": "1"}
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


class Pod:
    """One Pod of a StatefulSet or DaemonSet, with a process for each of its containers."""

    def __init__(
        self,
        run: Run,
        plane: ControlPlane,
        workload: Object,
        number: int,
        namespace: Namespace,
        address: str,
        hosts: Mapping[str, str],
        node: str = "",
    ) -> None:
        self._node = node
        self.name = f"{workload['metadata']['name']}-{number}"
        self.namespace = namespace
        self.address = address
        self._run = run
        self._plane = plane
        self._space = workload["metadata"]["namespace"]
        self._spec: Object = workload["spec"]["template"]["spec"]
        self._hosts = hosts
        self._folder = run.folder / "pods" / self.name
        self._folder.mkdir(parents=True)
        self._claims: list[Path] = []
        self._volumes = {
            **{each["name"]: self._volume(each) for each in self._spec.get("volumes", [])},
            **{
                each["metadata"]["name"]: self._claim(each["metadata"]["name"])
                for each in workload["spec"].get("volumeClaimTemplates", [])
            },
        }
        self.containers = {each["name"]: self._container(each) for each in self._spec["containers"]}

    def start(self) -> "Pod":
        """Start every container."""
        for process in self.containers.values():
            process.start()
            self._run.processes.append(process)
        return self

    def end(self, *, keep_claims: bool = False) -> None:
        """Kill every container, and drop the volumes; a kept claim is found again by a Pod of the same name."""
        for name, process in self.containers.items():
            self.kill(name)
            if process in self._run.processes:
                self._run.processes.remove(process)
        shutil.rmtree(self._folder)
        if not keep_claims:
            for claim in self._claims:
                shutil.rmtree(claim)

    def told(self, name: str) -> Object:
        """What a container was told: its command, environment, user and mounts."""
        told: Object = json.loads((self._folder / f"{name}.json").read_text())
        return told

    def kill(self, name: str) -> None:
        """Kill a container with all that runs in it; its volumes stay, and it can be started again."""
        process = self.containers[name]
        if process.alive:
            # With its first process a PID namespace ends, and only then does what entered it.
            end_pids(children_of(process.pid))
        process.kill()

    def volume(self, name: str) -> Path:
        """Where a volume is on this machine."""
        return self._volumes[name]

    # ----------------------------------------------------------------------------------------------- containers

    def _container(self, container: Object) -> Process:
        environment = self._environment(container.get("env", []))
        command = [_expand(word, environment) for word in container.get("command", [])] or list(ENTRYPOINT)
        command = [_program(command[0]), *command[1:]]
        command += [_expand(word, environment) for word in container.get("args", [])]
        security = self._spec["securityContext"] | container["securityContext"]
        root = self._folder / f"root-{container['name']}"
        root.mkdir()
        mounts = [
            {
                "source": str(self._volumes[mount["name"]]),
                "target": mount["mountPath"],
                "readOnly": mount.get("readOnly", False),
            }
            for mount in container.get("volumeMounts", [])
        ]
        if self._spec.get("automountServiceAccountToken", True):
            mounts.append({"source": str(self._token()), "target": TOKEN_FOLDER, "readOnly": True})
            environment |= {
                "KUBERNETES_SERVICE_HOST": self._plane.address,
                "KUBERNETES_SERVICE_PORT": str(plan.API_PORT),
            }
        told = {
            "root": str(root),
            "image": _image(ours=not container.get("command")),
            "files": self._files(security),
            "mounts": mounts,
            "readOnly": security["readOnlyRootFilesystem"],
            "user": security["runAsUser"],
            "group": security["runAsGroup"],
            "capabilities": security["capabilities"].get("add", []),
            "environment": IMAGE_ENVIRONMENT | environment,
            "command": command,
        }
        specification = self._folder / f"{container['name']}.json"
        specification.write_text(json.dumps(told))
        specification.chmod(0o600)
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", sys.executable, "-I"]
        words += [container_entry.__file__, str(specification)]
        name = f"{self.name}-{container['name']}"
        log = self._run.folder / f"{name}.log"
        # A new container's log begins anew.
        log.unlink(missing_ok=True)
        return Process(name, words, self.namespace, log)

    def _environment(self, declared: Sequence[Object]) -> dict[str, str]:
        """The variables in their order; one may stand in those behind it."""
        fields = {
            "metadata.name": self.name,
            "metadata.namespace": self._space,
            "spec.nodeName": self._node,
            "status.hostIP": self.address,
            "status.podIP": self.address,
        }
        known: dict[str, str] = {}
        for each in declared:
            source = each.get("valueFrom")
            if source is None:
                known[each["name"]] = _expand(each.get("value", ""), known)
            elif "fieldRef" in source:
                known[each["name"]] = fields[source["fieldRef"]["fieldPath"]]
            else:
                reference = source["secretKeyRef"]
                known[each["name"]] = self._secret(reference["name"])[reference["key"]]
        return known

    def _files(self, security: Object) -> dict[str, str]:
        lines = [f"{address} {name}" for name, address in {"localhost": "127.0.0.1", **self._hosts}.items()]
        user, group = security["runAsUser"], security["runAsGroup"]
        return {
            "/etc/hosts": "\n".join(lines) + "\n",
            "/etc/nsswitch.conf": "hosts: files\n",
            "/etc/passwd": f"porter:x:{user}:{group}::/var/lib/porter:/usr/sbin/nologin\n",
        }

    # -------------------------------------------------------------------------------------------------- volumes

    def _volume(self, volume: Object) -> Path:
        if "emptyDir" in volume:
            return self._empty(volume["name"])
        if "projected" in volume:
            return self._projected(volume)
        if "secret" in volume:
            wanted = volume["secret"]
            return self._written(volume["name"], self._secret(wanted["secretName"], wanted.get("optional")), wanted)
        wanted = volume["configMap"]
        content = self._plane.client.get("ConfigMap", wanted["name"], self._space)["data"]
        return self._written(volume["name"], content, wanted)

    def _empty(self, name: str) -> Path:
        return self._writable(self._folder / f"volume-{name}")

    def _claim(self, name: str) -> Path:
        """A claim by the name that a StatefulSet gives it; it is there already if it was kept."""
        folder = self._run.folder / "claims" / f"{name}-{self.name}"
        self._claims.append(folder)
        return folder if folder.exists() else self._writable(folder)

    def _writable(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        os.chown(folder, 0, self._spec["securityContext"]["fsGroup"])
        folder.chmod(0o2777)
        return folder

    def _projected(self, volume: Object) -> Path:
        """A token for an audience of its own, which is all that the chart projects."""
        [source] = volume["projected"]["sources"]
        wanted = source["serviceAccountToken"]
        account = self._spec["serviceAccountName"]
        content = {wanted["path"]: token_of(self._plane, self._space, account, wanted["audience"])}
        return self._written(volume["name"], content, {})

    def _written(self, name: str, content: Mapping[str, str], wanted: Object) -> Path:
        folder = self._folder / f"volume-{name}"
        folder.mkdir(mode=0o755)
        items = wanted.get("items") or [{"key": key, "path": key} for key in content]
        for item in items:
            if item["key"] not in content and wanted.get("optional"):
                continue
            path = folder / item["path"]
            path.write_text(content[item["key"]])
            os.chown(path, 0, self._spec["securityContext"]["fsGroup"])
            path.chmod(0o440)
        return folder

    def _secret(self, name: str, optional: bool | None = None) -> dict[str, str]:
        found = self._plane.client.find("Secret", name, self._space)
        if found is None:
            assert optional, f"{self.name} needs the Secret {name}"
            return {}
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    def _token(self) -> Path:
        """The folder that a kubelet projects: a token of the Pod's ServiceAccount, the authority, the namespace."""
        folder = self._folder / "token"
        if not folder.exists():
            folder.mkdir(mode=0o755)
            content = {
                "token": token_of(self._plane, self._space, self._spec["serviceAccountName"]),
                "ca.crt": self._plane.keys.certificate.read_text(),
                "namespace": self._space,
            }
            for name, text in content.items():
                (folder / name).write_text(text)
                os.chown(folder / name, 0, self._spec["securityContext"]["fsGroup"])
                (folder / name).chmod(0o640)
        return folder


def token_of(plane: ControlPlane, namespace: str, account: str, audience: str = "") -> str:
    """A token of a ServiceAccount, as a kubelet asks for one: for the API server, unless an audience is named."""
    path = plane.client.path("ServiceAccount", account, namespace)
    audiences = {"audiences": [audience]} if audience else {}
    spec = {"expirationSeconds": 3600, **audiences}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = plane.client.request("POST", f"{path}/token", body)
    return str(answer["status"]["token"])


def _expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` as the kubelet expands it: what is unknown stays as it is."""
    return VARIABLE.sub(lambda match: known.get(match[1], match[0]), text)


def _program(name: str) -> str:
    """A program of the server's image, found on this machine."""
    if "/" in name:
        return name
    bundled = bundled_server_program()
    assert name == "valkey-server", f"the lab has no {name}"
    assert bundled is not None, "the lab needs the extra porter[embedded]"
    return str(bundled)


def _image(*, ours: bool) -> list[tuple[str, str]]:
    """What stands for the image, as source and target: folders of the machine, or of Porter's real image."""
    if ours and IMAGE_ROOT:
        return [
            (f"{IMAGE_ROOT}{each}", each) for each in (*IMAGE_FOLDERS, "/opt") if Path(f"{IMAGE_ROOT}{each}").exists()
        ]
    folders = [Path(each) for each in IMAGE_FOLDERS if Path(each).exists()]
    for own in (Path(sys.base_prefix), ROOT, Path(sys.prefix)):
        if not any(own.is_relative_to(each) for each in folders):
            folders.append(own)
    return [(str(each), str(each)) for each in folders]
