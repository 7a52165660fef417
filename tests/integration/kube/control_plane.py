"""etcd and kube-apiserver on loopback, shared by every suite of a session; no controllers and no nodes."""

import json
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab import programs
from tests.lab.waiting import eventually

READY_TIMEOUT_S = 60.0
NOT_EPHEMERAL = (20_000, 32_768)
"""Linux takes ports for outgoing connections from behind it (`net.ipv4.ip_local_port_range`)."""
STOP_TIMEOUT_S = 10.0
HOST = "127.0.0.1"
TOKEN = "admin-token"
# etcd's default of 1.5 MiB would refuse objects whose watch events exceed the buffer of aiohttp.
MAX_REQUEST_BYTES = 8 * 1024 * 1024

CRDS = Path(__file__).parents[3] / "deploy" / "crds"

_shared: pytest.StashKey["ControlPlane"] = pytest.StashKey()


def shared(config: pytest.Config) -> "ControlPlane":
    """Start the session's control plane at the first call; it ends with the session."""
    if _shared not in config.stash:
        plane = ControlPlane()
        config.add_cleanup(plane.stop)
        config.stash[_shared] = plane
        plane.start()
        plane.apply_crds()
    return config.stash[_shared]


class ControlPlane:
    """One etcd and one API server, each of which can be stopped and started again on the same state and port."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="porter-kube-"))
        self._kubernetes = programs.kubernetes_programs()
        self._etcd_port, self._peer_port, self.port = (free_port() for _ in range(3))
        self._etcd: subprocess.Popen[bytes] | None = None
        self.apiserver: subprocess.Popen[bytes] | None = None
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        key = self.folder / "sa.key"
        command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key]
        subprocess.run(command, check=True, capture_output=True, timeout=STOP_TIMEOUT_S)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; it is there once the server has made its certificate."""
        return self.folder / "kubeconfig"

    def start(self) -> None:
        """Start both and wait until the API server is ready."""
        self._etcd = self._run(
            "etcd",
            programs.find("etcd"),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://{HOST}:{self._etcd_port}",
            f"--advertise-client-urls=http://{HOST}:{self._etcd_port}",
            f"--listen-peer-urls=http://{HOST}:{self._peer_port}",
            f"--max-request-bytes={MAX_REQUEST_BYTES}",
            "--unsafe-no-fsync",
        )
        self.start_apiserver()

    def start_apiserver(self) -> None:
        """Start the API server (again) and wait until it is ready."""
        self.apiserver = self._run(
            "kube-apiserver",
            self._kubernetes["kube-apiserver"],
            f"--etcd-servers=http://{HOST}:{self._etcd_port}",
            f"--bind-address={HOST}",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'certificates'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16,fd96::/112",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'sa.key'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--endpoint-reconciler-type=none",
            # The tests say when history is compacted.
            "--etcd-compaction-interval=0",
        )
        certificate = self.folder / "certificates" / "apiserver.crt"
        eventually(certificate.exists, "the serving certificate", READY_TIMEOUT_S)
        self._write_kubeconfig(certificate)
        eventually(self._is_ready, "the API server is ready", READY_TIMEOUT_S, ignore=(OSError,))

    def stop_apiserver(self, number: int = signal.SIGKILL) -> None:
        """End the API server; what it stored stays."""
        _end(self.apiserver, number)

    def stop(self) -> None:
        """End both and drop their state."""
        _end(self.apiserver, signal.SIGTERM)
        _end(self._etcd, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def apply_crds(self) -> None:
        """Apply Porter's CRDs and wait until each is established."""
        self.kubectl("apply", "--server-side", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return its output."""
        command = [self._kubernetes["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments]
        answer = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}"
        return answer.stdout

    def compact(self) -> None:
        """Make etcd forget every version before its present one, by its own HTTP gateway."""
        present = self._etcd_call("kv/range", {"key": "AA=="})["header"]["revision"]
        self._etcd_call("kv/compaction", {"revision": present, "physical": True})

    def _etcd_call(self, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        import urllib.request

        url = f"http://{HOST}:{self._etcd_port}/v3/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _is_ready(self) -> bool:
        assert self.apiserver is not None
        log = self.folder / "kube-apiserver.log"
        assert self.apiserver.poll() is None, f"the API server ended: {log.read_text()[-4000:]}"
        with suppress(AssertionError):
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        return False

    def _run(self, name: str, *argv: str | Path) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log, start_new_session=True)

    def _write_kubeconfig(self, certificate: Path) -> None:
        cluster = {"server": f"https://{HOST}:{self.port}", "certificate-authority": str(certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
            "current-context": "lab",
        }
        self.kubeconfig.write_text(json.dumps(content))


def _end(process: "subprocess.Popen[bytes] | None", number: int) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    """A TCP port of loopback that nobody uses now, and that no connection is given meanwhile as its own end."""
    while True:
        port = random.randrange(*NOT_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
