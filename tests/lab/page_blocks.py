"""The blocks of the documentation: of which kind each is, what a reader types there, and what it says comes out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/kustomize/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
)
COMMANDS = "sh"
"""What is typed."""
SESSION = "console"
"""What is typed, behind a `$`, with what comes out."""
DRAWINGS = frozenset({"text", "mermaid"})
"""Nothing to run."""
MANIFESTS = "yaml"
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>.*)$")
HEADER = re.compile(r"[A-Z][A-Z -]*( {2,}[A-Z][A-Z -]*)+")
SHELL_PROMPT = re.compile(r"^\$ ", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block; `line` counts from 1 and is that of its first fence."""

    page: str
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        """`docs/index.md:12`."""
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """What is typed, and what the page shows of its output; "" where it shows nothing."""

    typed: str
    shown: str


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page in their order.

    Raises ValueError for one without a kind, and for one that is told by its indentation alone.
    """
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        begun = FENCE.match(lines[number])
        if begun is None:
            if lines[number].startswith("    ") and not lines[number - 1].strip():
                raise ValueError(f"{page}:{number + 1}: write a fence, and of which kind the block is")
            number += 1
            continue
        if not begun["kind"]:
            raise ValueError(f"{page}:{number + 1}: say of which kind the block is")
        end = lines.index(f"{begun['indent']}```", number + 1)
        inside = (line.removeprefix(begun["indent"]) for line in lines[number + 1 : end])
        yield Block(page, number + 1, begun["kind"], "\n".join(inside) + "\n")
        number = end + 1


def all_blocks() -> list[Block]:
    """The blocks of every page."""
    return [block for page in PAGES for block in blocks(page, (ROOT / page).read_text())]


def commands(block: Block) -> list[Command]:
    """What is typed in a block; lines without an output are one script, because they build on one another."""
    if block.kind == COMMANDS:
        return [Command(block.text, "")]
    if block.kind != SESSION:
        return []
    parts = SHELL_PROMPT.split(block.text)[1:]
    return [Command(*(part.partition("\n")[::2])) for part in parts]


def missing_in(shown: str, printed: str) -> list[str]:
    """What a page shows and a command did not print.

    Values differ from run to run. What must be there are the tables, with the columns of their names; of an output
    without a table, lines that begin with the same word.
    """
    tables = [line.strip() for line in shown.splitlines() if HEADER.fullmatch(line.strip())]
    if tables:
        there = [re.split(" {2,}", line.strip()) for line in printed.splitlines()]
        return [table for table in tables if re.split(" {2,}", table) not in there]
    begun = {line.split()[0] for line in printed.splitlines() if line.split()}
    return [line for line in shown.splitlines() if line.split() and line.split()[0] not in begun]
