"""A browser for the whole module, and consoles as a person starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.console import browser, histories

SOURCE = Path(__file__).resolve().parents[3]


@contextmanager
def console(*arguments: str) -> Iterator[str]:
    """A running `porter console`, by its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "porter", "console", "--listen", "127.0.0.1:0", *arguments],
        cwd=SOURCE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http" in line, f"the console ended with {process.wait(30)}"
        yield line.split()[-1].rstrip("/")
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="chromium")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[browser.Browser]:
    if browser.program() is None:
        pytest.skip("Chromium is missing; run scripts/setup-lab as root, or install the Debian package chromium")
    async with browser.browsing(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", name="page")
async def tab(chromium: browser.Browser) -> AsyncIterator[browser.Page]:
    """A new tab; at its end nothing went wrong in it, and nothing came from elsewhere."""
    made = await chromium.page()
    yield made
    expected = made.expected
    wrong = [one for one in made.complaints if not any(word in one for word in expected)]
    assert wrong == []
    assert {url.split("/")[2] for url in made.requests if not url.startswith("about:")} <= {made.host}
    await made.close()


@pytest.fixture(scope="module", name="rack")
def rack_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console over the morning at the rack."""
    file = histories.write(tmp_path_factory.mktemp("rack") / "rack-7.porter-export", histories.rack())
    with console("--from", str(file)) as address:
        yield address
