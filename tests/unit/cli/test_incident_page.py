"""The pages about an incident show what the commands print; run this file (`python -m`) to renew page and sample."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from porter.app.answers.verify import verify
from porter.journal.export import ExportJournals
from tests.unit.app.scripted_incident import exported, incident
from tests.unit.cli.test_migration_pages import printed

SOURCE = Path(__file__).resolve().parents[3]
PAGES = (SOURCE / "docs/operate/incident.md", SOURCE / "docs/concepts/explain.md")
SAMPLE = SOURCE / "docs/operate/samples/incident.porter-export"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ porter ([^\n]+)\n", re.MULTILINE)
FROM_SAMPLE = "--from docs/operate/samples/"
"""Other blocks show runs of a cluster."""
TWO_PM_MS = 1_795_615_200_000
"""2026-11-25T14:00:00Z, when the incident begins."""


def examples() -> list[tuple[str, str]]:
    found = []
    for block in BLOCK.finditer("".join(page.read_text() for page in PAGES)):
        if FROM_SAMPLE not in block[1]:
            continue
        parts = COMMAND.split(block[1])[1:]
        found += [(command, output.rstrip()) for command, output in zip(parts[::2], parts[1::2], strict=True)]
    return found


@pytest.mark.parametrize(("command", "output"), examples(), ids=lambda value: value[:40])
def test_the_page_shows_what_the_command_prints(command, output):
    assert output == printed(command).rstrip()


async def test_the_sample_is_the_incident_that_the_tests_are_about():
    shown, made = ExportJournals(SAMPLE), ExportJournals.from_bytes(await exported(await incident(TWO_PM_MS)))
    # The compressed bytes differ between the versions of zlib.
    assert {one.name: list(shown.entries(one.name)) for one in shown.sums} == {
        one.name: list(made.entries(one.name)) for one in made.sums
    }
    assert (await verify(shown))["problems"] == []


def renew() -> None:
    async def made() -> bytes:
        return await exported(await incident(TWO_PM_MS))

    SAMPLE.write_bytes(asyncio.run(made()))

    def block(found: re.Match[str]) -> str:
        if FROM_SAMPLE not in found[1]:
            return found[0]
        commands = COMMAND.findall(found[1])
        return "```console\n" + "\n".join(f"$ porter {one}\n{printed(one)}" for one in commands) + "```"

    for page in PAGES:
        page.write_text(BLOCK.sub(block, page.read_text()))


if __name__ == "__main__":
    renew()
