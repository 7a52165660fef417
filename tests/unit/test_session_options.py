"""The table of options and routers is what the tests say."""

from pathlib import Path

from tests.session_options import OPTIONS, page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "session-options.md"


def test_the_page_is_what_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "run scripts/reference"


def test_each_option_stands_there_once() -> None:
    names = [option.name for option in OPTIONS]
    assert len(names) == len(set(names))
