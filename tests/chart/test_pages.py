"""What the pages have people type and apply is right."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import ROOT, chart, helm
from tests.integration.kube.control_plane import ControlPlane

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTES = ROOT / "deploy/helm/porter/templates/NOTES.txt"


def manifests(text: str) -> Iterator[dict[str, object]]:
    """The objects in a page's YAML blocks, or between NOTES' EOF lines."""
    for found in re.findall(r"```yaml[^\n]*\n(.*?)```", text, re.DOTALL):
        yield from yaml.safe_load_all(found)
    for found in re.findall(r"<<EOF\n(.*?)^\s*EOF$", text, re.DOTALL | re.MULTILINE):
        yield from yaml.safe_load_all("\n".join(line[5:] for line in found.splitlines()))


def commands(text: str, program: str) -> list[list[str]]:
    """The commands of a page that begin with a program's name."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip().startswith(f"{program} ")]


@pytest.mark.parametrize("page", [*PAGES, NOTES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_an_api_server_takes_what_a_page_has_applied(page: Path, control_plane: ControlPlane) -> None:
    for manifest in manifests(page.read_text()):
        control_plane.kubectl(
            "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(manifest)
        )


def test_the_pages_have_manifests() -> None:
    counts = {page.name: len(list(manifests(page.read_text()))) for page in (*PAGES, NOTES)}
    assert counts["bare-metal.md"] == 4
    assert counts["NOTES.txt"] == 3
    assert len(list(manifests((ROOT / "docs/routers/README.md").read_text()))) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_has_installed_can_be_rendered(page: Path) -> None:
    for words in commands(page.read_text(), "helm"):
        if words[2] == "porter-valkey" or words[1] == "repo":
            # Upstream's own chart is elsewhere.
            continue
        if words[1] == "install":
            assert words[3] == "deploy/helm/porter"
            assert "kind: StatefulSet" in helm("template", words[2], str(chart()), *words[4:])
        else:
            assert words[1:3] in (["dependency", "update"], ["test", "porter"], ["upgrade", "porter"]), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_has_typed_can_be_pasted(page: Path) -> None:
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        # A shell would read the file `digest`.
        assert not re.search(r"<[a-z-]+>", block), block


def test_a_checkout_that_was_installed_from_is_upgraded_from_with_its_own_sub_chart(tmp_path: Path) -> None:
    checkout = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", checkout, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    here = str(checkout / "helm/porter")
    [installing] = re.findall(r"^helm dependency (\w+) deploy/helm/porter$", PAGES[0].read_text(), re.MULTILINE)
    helm("dependency", installing, here)
    # What a pull brings: another version of the server's chart.
    for chart_file in ("redis/Chart.yaml", "porter/Chart.yaml"):
        path = checkout / "helm" / chart_file
        path.write_text(path.read_text().replace("version: 0.1.0", "version: 0.1.1"))
    users = checkout / "helm/redis/templates/_helpers.tpl"
    users.write_text(users.read_text().replace("+smembers", "+smembers +scard"))
    steps = (ROOT / "docs/operate/upgrade.md").read_text().partition("## The upgrade")[2]
    [before] = re.findall(r"`helm dependency (\w+) deploy/helm/porter`.*`helm upgrade`", steps)
    helm("dependency", before, here)
    assert "+scard" in helm("template", "porter", here)


def test_the_readme_installs_by_five_commands() -> None:
    section = (ROOT / "README.md").read_text().partition("## Install it in a cluster")[2].partition("\n## ")[0]
    [block] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    typed = block.splitlines()
    assert len(typed) == 5
    assert sum(line.startswith("helm install ") for line in typed) == 1


def test_the_chart_tells_its_values_itself() -> None:
    readme = helm("show", "readme", str(chart()))
    page = (ROOT / "docs/reference/values.md").read_text()
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line in readme
