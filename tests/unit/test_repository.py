"""What the repository promises about itself: layers, sizes, words, locks, links."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70

LONGER_ON_PURPOSE: dict[str, str] = {}
"""Modules and functions over the limits, by path or `path::name`, each with the reason why."""

# A tilde is put into each so that this list does not contain what it forbids.
UNWANTED = [
    pattern.replace("~", "")
    for pattern in (
        # Folders of one machine.
        r"(?<![\w.-])/wo~rk/",
        r"(?<![\w.-])/ro~ot\b",
        r"\bsha~red/(design|style|api|reference)",
        # Hosts of package registries: which mirror serves a package is the machine's to say.
        r"py~pi\.org",
        r"python~hosted\.org",
        r"npm~js\.org",
        r"proxy\.go~lang\.org",
        r"sum\.go~lang\.org",
        r"deb\.deb~ian\.org",
        r"crates~\.io\b",
        # Who wrote it, and how the work was planned.
        r"\bcla~ude\b",
        r"\banth~ropic\b",
        r"\bopen~ai\b",
        r"\bchat~gpt\b",
        r"\blarge lang~uage model",
        r"\bA~I[ -](generated|assisted|assistant|agent)",
        r"\bco-aut~hored-by\b",
        r"\bsub-?age~nt\b",
        r"\bis~sue #?\d+\b",
        r"\bTO~DO\b",
        r"\bFIX~ME\b",
    )
]
# Locks are written by tools: digests may spell anything.
GENERATED = {"requirements.lock", "requirements-runtime.lock", "tests/lab/programs/go.sum"}


def tracked() -> list[Path]:
    """Every file that belongs to the repository, also one that is not committed yet."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip(f"impossible here: this is no git checkout: {listing.stderr.strip()}")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_layers_hold():
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_modules_and_functions_are_short():
    too_long = []
    for path in tracked():
        # A suite's scenarios are read from top to bottom: how long the file is matters only in the program.
        if path.suffix != ".py" or not name_of(path).startswith("porter/"):
            continue
        source = path.read_text(encoding="utf-8")
        lines = len(source.splitlines())
        if lines > MAX_MODULE_LINES and name_of(path) not in LONGER_ON_PURPOSE:
            too_long.append(f"{name_of(path)}: {lines} lines, at most {MAX_MODULE_LINES}; split it by what it is about")
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            function = f"{name_of(path)}::{node.name}"
            if lines > MAX_FUNCTION_LINES and function not in LONGER_ON_PURPOSE:
                too_long.append(f"{function}: {lines} lines, at most {MAX_FUNCTION_LINES}")
    assert not too_long, "\n".join(too_long)


def test_no_file_holds_an_unwanted_word():
    unwanted = re.compile("|".join(UNWANTED), re.IGNORECASE)
    found = []
    for path in tracked():
        if name_of(path) in GENERATED:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # Golden samples are bytes.
        for number, line in enumerate(text.splitlines(), 1):
            if hit := unwanted.search(line):
                found.append(f"{name_of(path)}:{number}: {hit[0]!r} does not belong into the repository")
    assert not found, "\n".join(found)


def pins(lock: str) -> dict[str, Version]:
    """The pinned version of every package in a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)(.*(?:\n +.*)*)", text, re.MULTILINE)
    without_hash = [name for name, _, rest in entries if "--hash=sha256:" not in rest]
    assert not without_hash, f"{lock} pins {without_hash} without a hash; run make lock"
    return {canonicalize_name(name): Version(version) for name, version, _ in entries}


def unmet(requirements: Iterable[str], lock: str) -> list[str]:
    """Requirements that a lock file does not pin, or pins to a version that they exclude."""
    pinned = pins(lock)
    found = []
    for text in requirements:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{lock} has {requirement.name} at {version}, pyproject.toml wants {text!r}; run make lock")
    return found


def test_the_locks_are_in_step_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    everything = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *project["dependency-groups"]["dev"],
    ]
    missing = unmet(everything, "requirements.lock") + unmet(runtime, "requirements-runtime.lock")
    assert not missing, "\n".join(missing)


def test_the_image_is_locked_to_what_the_tests_ran_with():
    tested = pins("requirements.lock")
    differing = {
        name: (version, tested.get(name))
        for name, version in pins("requirements-runtime.lock").items()
        if tested.get(name) != version
    }
    assert not differing, f"other versions than in requirements.lock: {differing}; run make lock"


def test_the_speaker_imports_no_kubernetes_client():
    """A speaker needs no access to the API, and the client's memory is the heaviest of all imports."""
    listed = subprocess.run(
        [sys.executable, "-c", "import sys, porter.app.speaker.speaker; print(*sorted(sys.modules), sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    packages = {module.partition(".")[0] for module in listed.stdout.split()}
    assert not packages & {"kubernetes", "kubernetes_asyncio"}
    assert "porter.kube" not in listed.stdout.split()


def test_scripts_can_be_run_and_parsed():
    scripts = [path for path in tracked() if path.parent in (ROOT / "scripts", ROOT / ".ci")]
    assert scripts
    for path in scripts:
        assert path.stat().st_mode & 0o111, f"{name_of(path)} is not executable; chmod +x it"
        if path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash"):
            parsed = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
            assert parsed.returncode == 0, parsed.stderr


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def without_code(text: str) -> str:
    """A page's prose: what stands in code is no link."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_relative_links_lead_somewhere():
    broken = []
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                broken.append(f"{name_of(page)}: {target} is not there")
            elif anchor and anchor not in anchors(file):
                broken.append(f"{name_of(page)}: {target} has no such heading")
    assert not broken, "\n".join(broken)


def links_of(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))}


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs/index.md"
    linked = links_of(index)
    for page in [page for page in linked if page.name == "README.md" and page.parent.parent == index.parent]:
        # A folder with an index of its own.
        linked |= links_of(page)
    lost = [name_of(page) for page in pages() if page.is_relative_to(ROOT / "docs") and page not in linked | {index}]
    assert not lost, f"docs/index.md does not link {lost}"


def test_commands_of_the_docs_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = {
        f"{name_of(page)}: make {target}"
        for page in pages()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        if target not in targets
    }
    assert not unknown, unknown
