"""Every `porter` command that a page names exists, with every option that it is given there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from porter.cli.main import app

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "deploy/helm/porter/templates/NOTES.txt")
    if "adr" not in path.parts and path.name != "CHANGELOG.md"
)
ENDS = {"|", "||", "&&", ";", ">", "2>", "&", "#"}
PLACEHOLDER = re.compile(r"^(\.\.\.|…|\[.*|<.*|[A-Z]+)$")


def commands(text: str) -> Iterator[list[str]]:
    """The words behind `porter` in code, inline and in blocks, up to the end of that command."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [line for line in text.splitlines() if line.startswith("    ")]
    for line in lines:
        typed = re.match(r"^\s*(?:[$#>] |.*? -- |kubectl )?porter (.*)$", line)
        if typed and not line.strip().startswith("#"):
            yield words_of(typed[1])
    for inline in re.findall(r"`(?:kubectl )?porter ([^`\n]+)`", text):
        yield words_of(inline)


def words_of(typed: str) -> list[str]:
    try:
        words = shlex.split(typed, comments=True)
    except ValueError:
        words = typed.split()
    end = next((number for number, word in enumerate(words) if word in ENDS), len(words))
    return words[:end]


def fault(words: list[str]) -> str:
    """What is wrong with a command's names; "" where nothing is."""
    command = typer.main.get_command(app)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        name = word.partition("=")[0].rstrip(",.:;)")
        if PLACEHOLDER.match(word):
            if isinstance(command, TyperGroup):
                # `drain ... --undo`, `uncordon KIND NAME`: which of its commands is meant stays open.
                return ""
            continue
        if word in ("-", "--"):
            continue
        if word.startswith("-") and not re.fullmatch(r"-\d+[smhd]?", word):
            if name not in options | {"--help"}:
                return f"{command.name} has no option {name}"
        elif isinstance(command, TyperGroup):
            # `drain node|service|speaker` names three.
            for one in word.split("|"):
                if one not in command.commands:
                    return f"there is no command {one!r} in {command.name}"
            command = command.commands[word.split("|")[0]]
            options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_pages_commands_exist(page: Path) -> None:
    found = {" ".join(words): fault(words) for words in commands(page.read_text())}
    assert {command: wrong for command, wrong in found.items() if wrong} == {}


def test_there_are_commands_to_check() -> None:
    assert sum(len(list(commands(page.read_text()))) for page in PAGES) > 80


@pytest.mark.parametrize(
    "words", [["staus"], ["status", "--nope"], ["journal", "tial"], ["drain", "node|sevice", "n1"]]
)
def test_a_mistake_is_seen(words: list[str]) -> None:
    assert fault(words)
