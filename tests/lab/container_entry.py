"""Become a container's process: `python container_entry.py SPECIFICATION`, in mount and PID namespaces of its own.

What a container runtime does, as far as Porter's containers can notice it: a root that is read-only and holds the
image, the Pod's volumes and nothing else; no capabilities but those that the container adds, which only root has, no
way to gain any, and the Pod's own user. Standard library only.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63
CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13}


def main(specification: Path) -> None:
    """Mount, confine, and execute."""
    told = json.loads(specification.read_text())
    root = Path(told["root"])
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(root))
    for source, target in told["image"]:
        _show(Path(source), root / target.lstrip("/"), read_only=True)
    for path, content in told["files"].items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    (root / "proc").mkdir()
    _mount("-t", "proc", "proc", str(root / "proc"))
    _show(Path("/dev"), root / "dev", read_only=False)
    for mount in told["mounts"]:
        _show(Path(mount["source"]), root / mount["target"].lstrip("/"), read_only=mount["readOnly"])
    if told["readOnly"]:
        _mount("-o", "remount,ro", str(root))
    os.chroot(root)
    os.chdir("/")
    _confine(told)
    os.execve(told["command"][0], told["command"], told["environment"])


def _confine(told: dict[str, object]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    added = {CAPABILITIES[name] for name in told["capabilities"]}  # type: ignore[attr-defined]
    for capability in set(range(LAST_CAPABILITY + 1)) - added:
        # The kernel says EINVAL for those that it does not know.
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([int(told["group"])])  # type: ignore[call-overload]
    os.setgid(int(told["group"]))  # type: ignore[call-overload]
    # Leaving root takes the capabilities with it.
    os.setuid(int(told["user"]))  # type: ignore[call-overload]
    # A change of user clears it: what entered this container would leave it behind when killed itself.
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


def _show(source: Path, target: Path, *, read_only: bool) -> None:
    """Show a folder or file of the machine inside; a symbolic link stays one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _mount("--rbind", str(source), str(target))
    if read_only:
        _mount("-o", "remount,bind,ro", str(target))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
