"""Where the lab's programs come from.

Kubernetes's own: ``KUBEBUILDER_ASSETS``, else PATH, if they are there in the right version; else built once with the
Go toolchain from the module in ``programs/`` and kept in ``${PORTER_LAB_CACHE:-~/.cache/porter-lab}/k8s-<version>``.
Helm: from PATH if there, else built once, into ``helm-<version>`` beside them. Routers, etcd and Redis are Debian's.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kubectl")
MODULE = Path(__file__).parent / "programs"
VERSION_TIMEOUT_S = 20.0
BUILD_TIMEOUT_S = 1800.0
HELM_VERSION = "3.21.4"
HELM_MODULE = "helm.sh/helm/v3"

# Program, and Debian's package that has it.
DEBIAN_PACKAGES = {
    "etcd": "etcd-server",
    "bird": "bird2",
    "birdc": "bird2",
    "zebra": "frr",
    "bgpd": "frr",
    "bfdd": "frr",
    "vtysh": "frr",
    "redis-server": "redis-server",
    "nft": "nftables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "gobgpd": "gobgpd",
    "gobgp": "gobgpd",
}
# FRR's daemons are not in PATH, and root's PATH may lack the folders of /sbin.
EXTRA_FOLDERS = ("/usr/lib/frr", "/usr/sbin", "/sbin")


class ProgramMissing(Exception):
    """A program of the lab is not on this machine; the message names the package that has it."""


def find(program: str) -> Path:
    """The path of one of Debian's programs. Raises ProgramMissing."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *EXTRA_FOLDERS))
    found = shutil.which(program, path=path)
    if found is None:
        package = DEBIAN_PACKAGES[program]
        raise ProgramMissing(f"{program} is not installed; apt-get install {package}")
    return Path(found)


def check_all() -> None:
    """Raise ProgramMissing with everything that is not there."""
    missing = []
    for program in DEBIAN_PACKAGES:
        try:
            find(program)
        except ProgramMissing as error:
            missing.append(str(error))
    if missing:
        raise ProgramMissing("\n".join(missing))


def kubernetes_version() -> str:
    """The version that the lab pins, such as "1.34.4", read from the module."""
    requirement = re.search(r"^require k8s\.io/kubernetes v(\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert requirement is not None, f"{MODULE / 'go.mod'} requires no k8s.io/kubernetes"
    return requirement[1]


def kubernetes_programs() -> dict[str, Path]:
    """The Kubernetes programs by name, built if need be. Raises ProgramMissing."""
    version = kubernetes_version()
    for folder in _candidate_folders():
        if all(_is_version(folder / program, version) for program in KUBERNETES_PROGRAMS):
            return {program: folder / program for program in KUBERNETES_PROGRAMS}
    folder = cache_folder() / f"k8s-{version}"
    if not folder.is_dir():
        _build_once(folder, lambda building: _build(building, version))
    return {program: folder / program for program in KUBERNETES_PROGRAMS}


def helm_program() -> Path:
    """Helm, built if need be: about three minutes on two cores, the first time only. Raises ProgramMissing."""
    in_path = shutil.which("helm")
    if in_path and _is_helm(Path(in_path)):
        return Path(in_path)
    folder = cache_folder() / f"helm-{HELM_VERSION}"
    if not folder.is_dir():
        _build_once(folder, _build_helm)
    return folder / "helm"


def cache_folder() -> Path:
    """Where built programs are kept."""
    return Path(os.environ.get("PORTER_LAB_CACHE") or Path.home() / ".cache" / "porter-lab")


def _candidate_folders() -> list[Path]:
    folders = []
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        folders.append(Path(assets))
    if in_path := shutil.which(KUBERNETES_PROGRAMS[0]):
        folders.append(Path(in_path).parent)
    return folders


def _is_version(program: Path, version: str) -> bool:
    """Whether a program is there in the pinned minor version: patches of one minor behave alike here."""
    if not os.access(program, os.X_OK):
        return False
    question = ("version", "--client") if program.name == "kubectl" else ("--version",)
    answer = subprocess.run(
        [program, *question], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
    )
    minor = version.rpartition(".")[0]
    return f"v{minor}." in answer.stdout


def _is_helm(program: Path) -> bool:
    """Whether a program is Helm in the pinned major version."""
    question = [program, "version", "--short"]
    answer = subprocess.run(question, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False)
    return answer.stdout.startswith(f"v{HELM_VERSION.partition('.')[0]}.")


def _build_once(folder: Path, build: Callable[[Path], None]) -> None:
    """Build into a folder of its own and rename it, so that half a build is never taken for a whole one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as building:
            build(Path(building))
            Path(building).chmod(0o755)
            Path(building).rename(folder)
            Path(building).mkdir()


def _build(folder: Path, version: str) -> None:
    major, minor, _ = version.split(".")
    package = "k8s.io/component-base/version"
    flags = _stamps(package, {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor})
    commands = [f"k8s.io/kubernetes/cmd/{program}" for program in KUBERNETES_PROGRAMS]
    _go(f"Kubernetes {version}", ["build", "-trimpath", "-ldflags", flags, "-o", f"{folder}/", *commands], {})


def _build_helm(folder: Path) -> None:
    # Without these Helm takes an ancient Kubernetes for granted when it renders without a cluster.
    major, minor, _ = kubernetes_version().split(".")
    kubernetes = {"k8sVersionMajor": major, "k8sVersionMinor": minor}
    flags = " ".join(
        (
            _stamps(f"{HELM_MODULE}/internal/version", {"version": f"v{HELM_VERSION}"}),
            _stamps(f"{HELM_MODULE}/pkg/chartutil", kubernetes),
            _stamps(f"{HELM_MODULE}/pkg/lint/rules", kubernetes),
        )
    )
    command = ["install", "-trimpath", "-ldflags", flags, f"{HELM_MODULE}/cmd/helm@v{HELM_VERSION}"]
    _go(f"Helm {HELM_VERSION}", command, {"GOBIN": str(folder)})


def _stamps(package: str, values: Mapping[str, str]) -> str:
    """Linker flags that set variables of a package, and leave symbols out."""
    return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in values.items())])


def _go(what: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    if shutil.which("go") is None:
        raise ProgramMissing(f"{what} has to be built; install Go 1.24 or later, or put the programs into PATH")
    built = subprocess.run(
        ["go", *arguments],
        cwd=MODULE,
        env={**os.environ, "CGO_ENABLED": "0", **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if built.returncode != 0:
        raise ProgramMissing(f"{what} could not be built:\n{built.stderr}")
