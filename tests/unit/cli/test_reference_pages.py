"""The reference of commands, events and kinds is what Porter runs with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reference_pages import commands_page, events_page, kinds_page

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(
    ("name", "page"), [("commands", commands_page), ("events", events_page), ("kinds", kinds_page)]
)
def test_the_page_is_what_the_code_says(name: str, page: Callable[[], str]) -> None:
    assert (FOLDER / f"{name}.md").read_text() == page(), "run scripts/reference"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (commands_page, ("## porter journal tail", "`--hold-minimum N`", "[env var: PORTER_TOKEN_FILE]")),
        (events_page, ("### AddressAllocated", "### HeadSeen", "| `candidates` | `tuple[Candidate, ...]` |")),
        (kinds_page, ("## BgpPeer", "| `spec.afiSafis[].addPaths.config.sendMax` | integer |", "required")),
    ],
)
def test_the_page_tells_the_whole(page: Callable[[], str], told: tuple[str, ...]) -> None:
    for words in told:
        assert words in page()
