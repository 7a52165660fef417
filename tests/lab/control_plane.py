"""etcd, kube-apiserver and kube-controller-manager, in a namespace on the fabric."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab import plan, programs
from tests.lab.client import ApiError, Client
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process
from tests.lab.run import Run
from tests.lab.waiting import eventually

ETCD_PORT = 2379
READY_TIMEOUT_S = 60.0
OPENSSL_TIMEOUT_S = 30.0

ADMIN = "admin"
KUBE_PROXY = "system:kube-proxy"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SERVICE_ACCOUNTS = "system:serviceaccounts:porter-system"
# Users and their groups. All but the first are bound by nothing unless the server's own roles or a test do it;
# the controller-manager is an administrator, because it keeps one account for all its controllers here.
USERS = {
    ADMIN: "system:masters",
    CONTROLLER_MANAGER: "system:masters",
    KUBE_PROXY: "",
    "porter": "",
    "porter-controller": "",
    "porter-speaker": "",
    "alice": "",
    "bob": "",
}
CONTROLLERS = (
    "endpointslice-controller",
    "endpoints-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "garbage-collector-controller",
    "root-ca-certificate-publisher-controller",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Files of the control plane: the serving certificate is its own authority."""

    certificate: Path
    key: Path
    service_account_key: Path
    tokens: Path


class ControlPlane:
    """The API server with what it needs. ``start`` returns at once, ``wait_ready`` when it serves."""

    def __init__(self, run: Run, namespace: Namespace) -> None:
        self._run = run
        self._folder = run.folder
        self._programs = programs.kubernetes_programs()
        self.namespace = namespace
        self.address = plan.CONTROL_PLANE.v4
        self.audit_log = self._folder / "audit.log"
        self.keys = _make_keys(self._folder)
        self.client = Client(namespace, self.address, plan.API_PORT, token(ADMIN), self.keys.certificate)
        self.etcd: Process | None = None
        self.apiserver: Process | None = None
        self.controller_manager: Process | None = None

    def start(self) -> None:
        """Start all three; the controller-manager waits for the API server by itself."""
        self.etcd = self._run.process("etcd", self._etcd(), self.namespace)
        self.apiserver = self._run.process("kube-apiserver", self._apiserver(), self.namespace)

    def restart(self) -> None:
        """Start the API server again, and wait until it serves; whoever watched it comes back by itself."""
        assert self.apiserver is not None
        self.apiserver.start()
        self.apiserver.wait_ready(self._is_ready, "/readyz", READY_TIMEOUT_S)

    def wait_ready(self) -> None:
        """Wait until the API server serves and the default ServiceAccount is there, as Pods need it."""
        assert self.apiserver is not None
        self.apiserver.wait_ready(self._is_ready, "/readyz", READY_TIMEOUT_S)
        self.controller_manager = self._run.process(
            "kube-controller-manager", self._controller_manager(), self.namespace
        )
        self.client.wait(
            "ServiceAccount", "default", lambda _: True, "made by the controller-manager", timeout_s=READY_TIMEOUT_S
        )

    def kubeconfig(self, user: str = ADMIN, user_token: str | None = None) -> Path:
        """Write the kubeconfig of a user and return its path; ``user_token`` is a ServiceAccount's, say."""
        path = self._folder / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {
            "server": f"https://{self.address}:{plan.API_PORT}",
            "certificate-authority": str(self.keys.certificate),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": user_token or token(user)}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
            "current-context": "lab",
        }
        # Another program may be reading the same file at this moment.
        whole = path.with_suffix(".new")
        whole.write_text(json.dumps(content, indent=1))
        whole.replace(path)
        return path

    def client_of(self, user: str) -> Client:
        """A client that speaks as another user."""
        return Client(self.namespace, self.address, plan.API_PORT, token(user), self.keys.certificate)

    def kubectl(self, *arguments: str, user: str = ADMIN, stdin: str | None = None) -> str:
        """Run kubectl inside and return its output. Raises CommandFailed."""
        kubeconfig = self.kubeconfig(user)
        return self.namespace.run(
            self._programs["kubectl"], "--kubeconfig", kubeconfig, "--cache-dir", self._folder / "kubectl", *arguments,
            stdin=stdin,
        )  # fmt: skip

    def install_crds(self, folder: Path) -> list[str]:
        """Apply every CustomResourceDefinition in a folder and wait until each is established; their names."""
        manifests = [
            manifest
            for path in sorted(folder.glob("*.yaml"))
            for manifest in yaml.safe_load_all(path.read_text())
            if manifest and manifest["kind"] == "CustomResourceDefinition"
        ]
        names = [str(self.client.apply(manifest)["metadata"]["name"]) for manifest in manifests]
        for name in names:
            self.client.wait("CustomResourceDefinition", name, _is_established, "established")
        for manifest in manifests:
            # Established comes a moment before the paths are served.
            kind = manifest["spec"]["names"]["kind"]
            eventually(lambda kind=kind: self.client.serves(kind), f"{kind} is served", READY_TIMEOUT_S)  # type: ignore[misc]
        return names

    def _is_ready(self) -> bool:
        try:
            return self.client.request_text("GET", "/readyz") == "ok"
        except ApiError:
            return False

    def _etcd(self) -> list[str | Path]:
        url = f"http://127.0.0.1:{ETCD_PORT}"
        return [
            programs.find("etcd"),
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            # The lab never outlives the machine.
            "--unsafe-no-fsync",
        ]

    def _apiserver(self) -> list[str | Path]:
        return [
            self._programs["kube-apiserver"],
            f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
            "--bind-address=::",
            f"--advertise-address={self.address}",
            f"--secure-port={plan.API_PORT}",
            f"--tls-cert-file={self.keys.certificate}",
            f"--tls-private-key-file={self.keys.key}",
            f"--token-auth-file={self.keys.tokens}",
            "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={plan.SERVICE_NETWORKS}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.keys.service_account_key}",
            f"--service-account-signing-key-file={self.keys.service_account_key}",
            # The Service "kubernetes" needs no endpoints here, and its controller delays the end by 10 s.
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={self._audit_policy()}",
            f"--audit-log-path={self.audit_log}",
        ]

    def _audit_policy(self) -> Path:
        """Log who changed what, but not for an administrator, whose speed benches measure."""
        users = [user for user in USERS if user not in (ADMIN, KUBE_PROXY, CONTROLLER_MANAGER)]
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "Metadata", "users": users, "verbs": ["create", "update", "patch", "delete"]},
                # What a ServiceAccount reads is looked at as well: its rights are to be the fewest possible.
                {"level": "Metadata", "userGroups": [SERVICE_ACCOUNTS]},
                {"level": "None"},
            ],
        }
        path = self._folder / "audit-policy.json"
        path.write_text(json.dumps(policy))
        return path

    def _controller_manager(self) -> list[str | Path]:
        return [
            self._programs["kube-controller-manager"],
            f"--kubeconfig={self.kubeconfig(CONTROLLER_MANAGER)}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--service-account-private-key-file={self.keys.service_account_key}",
            f"--root-ca-file={self.keys.certificate}",
            # The defaults (20 a second) would make a thousand Services wait for this program, not for Porter.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]


def token(user: str) -> str:
    """The static token of one of ``USERS``."""
    assert user in USERS, f"{user} is no user of the lab: {sorted(USERS)}"
    return f"token-of-{user.replace(':', '-')}"


def _is_established(definition: dict[str, object]) -> bool:
    status = definition.get("status")
    # The server gives null before its controller has looked at the definition.
    conditions = (status.get("conditions") or []) if isinstance(status, dict) else []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _make_keys(folder: Path) -> Keys:
    keys = Keys(folder / "apiserver.crt", folder / "apiserver.key", folder / "sa.key", folder / "tokens.csv")
    names = ",".join(
        [
            f"IP:{plan.CONTROL_PLANE.v4}",
            f"IP:{plan.CONTROL_PLANE.v6}",
            "IP:127.0.0.1",
            "DNS:localhost",
            "DNS:kubernetes.default.svc",
        ]
    )
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    extensions = [
        f"subjectAltName={names}",
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,digitalSignature,keyCertSign",
    ]
    added = [word for extension in extensions for word in ("-addext", extension)]
    _openssl(
        "req", "-x509", *curve, "-keyout", keys.key, "-out", keys.certificate, "-days", "2", "-subj", "/CN=lab", *added
    )
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", keys.service_account_key)
    lines = [
        f'{token(user)},{user},{number},"{groups}"' if groups else f"{token(user)},{user},{number}"
        for number, (user, groups) in enumerate(USERS.items(), start=1)
    ]
    keys.tokens.write_text("\n".join(lines) + "\n")
    keys.tokens.chmod(0o600)
    return keys


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([programs.find("openssl"), *arguments], check=True, capture_output=True, timeout=OPENSSL_TIMEOUT_S)
