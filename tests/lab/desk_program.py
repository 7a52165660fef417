#!/usr/bin/env python3
"""`kubectl`, `helm` and `porter` at a desk of the lab: run under one of these names, beside a `desk.json`.

They are the real programs, with what a desk of the lab has another way: no kubelet serves `kubectl exec`, so that its
part is done here; the CRDs are there already, as where an OpenELB was; and a console ends once it said where it is.
Standard library only.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

FINDING = 1
CONSOLE_TIMEOUT_S = 60


def main() -> int:
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    desk = json.loads(Path(os.environ["LAB_DESK"]).read_text())
    if name == "kubectl" and "exec" in words:
        return execute(desk, words[words.index("exec") + 1 :])
    if name == "kubectl":
        return run([desk["kubectl"], "--kubeconfig", desk["kubeconfig"], *dry(words)])
    if name == "helm":
        os.environ["KUBECONFIG"] = desk["kubeconfig"]
        taken = ["--take-ownership"] if words[0] in {"install", "upgrade"} else []
        return run([desk["helm"], *dry(words), *taken])
    return porter([*desk["porter"], *words])


def dry(words: list[str]) -> list[str]:
    """The same command with the API server's word on it, and nothing done, where LAB_DRY says so."""
    if "LAB_DRY" not in os.environ:
        return words
    if words[:2] == ["create", "namespace"]:
        return [*words, "--dry-run=client"]
    if words[0] in {"install", "upgrade", "label"}:
        return [*words, "--dry-run=server"]
    if words[0] == "apply":
        forced = ["--force-conflicts"] if "--server-side" in words else []
        return [*words, "--dry-run=server", *forced]
    return words


def execute(desk: dict[str, object], words: list[str]) -> int:
    """`kubectl exec POD -- porter ...`, as the Pod's user, in its namespaces and its root."""
    pod, typed = words[0], words[words.index("--") + 1 :]
    told = json.loads(Path(desk["pods"], f"{pod}.json").read_text())  # type: ignore[arg-type]
    assert typed[0] == "porter", typed
    enter = ["nsenter", f"--target={told['pid']}", "--mount", "--pid", "--net", "--root", "--wd"]
    enter += [f"--setgid={told['group']}", f"--setuid={told['user']}"]
    variables = [f"{name}={value}" for name, value in told["environment"].items()]
    return porter([*enter, "env", "--ignore-environment", *variables, *told["entrypoint"], *typed[1:]])


def porter(command: list[str]) -> int:
    """Run Porter; a finding is an answer, and no failure."""
    if "console" in command:
        return console([*command, "--listen", "127.0.0.1:0"])
    code = run(command)
    return 0 if code == FINDING else code


def console(command: list[str]) -> int:
    """Run a console until it says where it is."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="")
                if "http://" in line:
                    return 0
        finally:
            process.terminate()
            process.wait(CONSOLE_TIMEOUT_S)
    return 2


def run(command: list[str]) -> int:
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
