"""Helm on the repository's chart, as a user runs it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tests.lab import programs

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "deploy" / "helm"
RELEASE = "porter"
NAMESPACE = "porter-system"
HELM_TIMEOUT_S = 60.0

Object = dict[str, Any]


class Refused(Exception):
    """Helm refused; the message is what it said."""


@lru_cache(maxsize=1)
def chart() -> Path:
    """The chart with its sub-chart, in a folder of its own: nothing is written into the repository."""
    folder = Path(tempfile.mkdtemp(prefix="porter-chart-"))
    shutil.copytree(CHARTS, folder / "helm", ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    helm("dependency", "build", str(folder / "helm" / "porter"))
    return folder / "helm" / "porter"


def helm(*arguments: str, stdin: str | None = None) -> str:
    """Run Helm and return its output. Raises Refused."""
    answer = subprocess.run(
        [programs.helm_program(), *arguments],
        input=stdin,
        # The caller's own cluster and repositories are none of a test's business.
        env={**os.environ, "KUBECONFIG": os.devnull, "HELM_REPOSITORY_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=HELM_TIMEOUT_S,
        check=False,
    )
    if answer.returncode != 0:
        raise Refused(answer.stderr)
    return answer.stdout


def render(
    values: Mapping[str, object] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
    options: Sequence[str] = (),
    source: Path | None = None,
) -> list[Object]:
    """The objects of one release with these values over the defaults. Raises Refused."""
    command = ["template", release, str(source or chart()), "--namespace", namespace, "--values", "-", *options]
    text = helm(*command, stdin=json.dumps(values or {}))
    return [each for each in yaml.safe_load_all(text) if each]


def find(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The object of a kind and name; it must be there."""
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)


def pod_templates(objects: Sequence[Object]) -> dict[str, Object]:
    """The Pods that would run, by the name of their object."""
    found = {}
    for each in objects:
        if each["kind"] == "Pod":
            found[each["metadata"]["name"]] = {"metadata": each["metadata"], "spec": each["spec"]}
        elif "template" in each.get("spec", {}):
            found[each["metadata"]["name"]] = each["spec"]["template"]
    return found
