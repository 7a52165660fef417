"""The console beside a running `porter up`: what comes is shown by itself, and what goes away is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from tests.integration.console.browser import Page
from tests.integration.console.conftest import console
from tests.integration.programs.test_up import Up

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOWN_WITHIN_S = 20.0
"""Two seconds on an idle machine."""


class Place:
    """A folder of manifests, and a `porter up` over it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder / "manifests")
        self.up: Up
        self.folder = folder


@pytest.fixture(scope="module", name="place")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("live")
    made, router, port = Place(folder), choose_router(""), free_port(ROUTER_ADDRESS)
    made.world.build(port)
    made.world.serve("web", list(NODES))
    (folder / "router").mkdir()
    with asyncio.Runner() as runner:
        runner.run(router.start(folder / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
        made.up = Up(made.world, folder / "state", *options)
        try:
            made.up.wait_ready()
            yield made
        finally:
            made.up.process.terminate()
            made.up.process.wait(30)
            runner.run(router.stop())


async def test_what_happens_is_shown_by_itself_and_a_journal_that_goes_away_is_said(page: Page, place: Place) -> None:
    # Without a URL it finds the journal of the state directory.
    with console("--state-dir", str(place.up.directory)) as base:
        await page.open(f"{base}/services")
        await page.until("document.querySelector('#region').innerText.includes('/web')")
        assert "Live" in await page.js("document.querySelector('.live').textContent")
        begun = time.monotonic()
        place.world.serve("late-comer", list(NODES))
        await page.until("document.querySelector('#region').innerText.includes('/late-comer')", SHOWN_WITHIN_S)
        print(f"a change is shown after {time.monotonic() - begun:.2f} s")
        await page.js("[...document.querySelectorAll('nav a')].find((one) => one.textContent === 'Overview').click()")
        await page.until("document.querySelector('#region').innerText.includes('6 of 6')", SHOWN_WITHIN_S)
        await page.until("document.querySelector('#region').innerText.includes('Established')", SHOWN_WITHIN_S)
        await page.js("[...document.querySelectorAll('nav a')].find((one) => one.textContent === 'Timeline').click()")
        await page.until("document.querySelector('#region').innerText.includes('RoutesAnnounced')", SHOWN_WITHIN_S)
        place.world.remove("late-comer")
        await page.until("document.querySelector('#region').innerText.includes('ServiceGone')", SHOWN_WITHIN_S)
        await page.until("document.querySelector('#region').innerText.includes('RoutesWithdrawn')", SHOWN_WITHIN_S)
        # A moment that is looked at stays as it is, whatever comes.
        await page.press("[")
        await page.until("location.search.includes('at=')")
        await page.open(f"{base}/services")
        await page.until("document.querySelector('#region').innerText.includes('/web')")
        place.up.process.terminate()
        await asyncio.to_thread(place.up.process.wait, 30)
        # Its page is left when the console is gone already.
        page.expected += ["503 (Service Unavailable)", "ERR_CONNECTION_REFUSED", "/api/live"]
        await page.until("document.querySelector('#banner').innerText.includes('does not answer')", SHOWN_WITHIN_S)
        assert "/web" in await page.js("document.querySelector('#region').innerText")
