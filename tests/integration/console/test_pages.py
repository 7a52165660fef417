"""The console's pages in Chromium, over exported files: what they show, by mouse and by keyboard, in light and dark."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.console import histories
from tests.integration.console.browser import Page
from tests.integration.console.conftest import SOURCE, console

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES = SOURCE / "docs/images"
IMAGE_BYTES_MIN, IMAGE_BYTES_MAX = 10_000, 200_000
WRITE = "PORTER_WRITE_IMAGES"
"""Set to write the pictures of the documentation anew."""

PICTURES = {
    "overview": "/",
    "services": "/services?service=shop%2Flate-comer",
    "rib": "/rib?at=59&prefix=203.0.113.0%2F32",
    "timeline": "/timeline?event=62",
    "compare": "/compare?a=59&b=62",
    "journal": "/journal?event=53",
}
READY = "document.querySelector('#region')?.dataset.position > 0 && !document.querySelector('.loading')"
TEXT = "document.querySelector('#main').innerText"

# What an accessibility checker looks at, as far as it can be computed: names, labels, headings, contrast.
# ruff: noqa: E501 (scripts of the page are read as they are)
AUDIT = """
(() => {
  const found = [];
  const visible = (one) => one.getClientRects().length && getComputedStyle(one).visibility !== 'hidden';
  const colour = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const ground = (one) => {
    for (let each = one; each; each = each.parentElement) {
      const { r, g, b, a } = colour(getComputedStyle(each).backgroundColor);
      if (a === 1) return { r, g, b };
    }
    return { r: 255, g: 255, b: 255 };
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !visible(one)) continue;
    if (one.closest('.unseen, .skip, script, noscript, option, :disabled')) continue;
    const style = getComputedStyle(one);
    const is = contrast(colour(one.closest('svg') ? style.fill : style.color), ground(one));
    if (is < 4.5) found.push(`contrast ${is.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  for (const one of document.querySelectorAll('button, a, input, select, summary')) {
    const name = one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.textContent.trim();
    if (visible(one) && !name) found.push(`no name: ${one.outerHTML.slice(0, 120)}`);
    if (one.tabIndex < 0 && visible(one)) found.push(`no keyboard: ${one.outerHTML.slice(0, 120)}`);
    if (one.tabIndex > 0) found.push(`own order: ${one.outerHTML.slice(0, 120)}`);
  }
  for (const one of document.querySelectorAll('svg')) {
    if (one.getAttribute('role') === 'img' && !one.getAttribute('aria-label')) found.push('a drawing without a name');
  }
  for (const one of document.querySelectorAll('table')) {
    if (!one.querySelector('th')) found.push('a table without headings');
  }
  for (const one of document.querySelectorAll('th')) {
    if (!one.textContent.trim()) found.push('an empty heading of a column');
  }
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size !== ids.length) found.push('an id is there twice');
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (!document.documentElement.lang) found.push('no language');
  const levels = [...document.querySelectorAll('h1, h2, h3')].filter(visible).map((one) => Number(one.tagName[1]));
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) found.push(`a heading of level ${level} behind ${levels[at - 1]}`); });
  return found;
})()
"""


async def show(page: Page, base: str, path: str) -> None:
    """Open a page and wait until it shows an answer."""
    await page.open(base + path)
    await page.until(READY)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
async def test_a_page_can_be_read_by_everybody_and_looks_as_documented(
    page: Page, rack: str, name: str, scheme: str
) -> None:
    await page.scheme(scheme)
    await show(page, rack, PICTURES[name])
    assert await page.js("document.documentElement.dataset.theme") == scheme
    assert await page.js(AUDIT) == []
    assert await page.js("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
    picture = await page.picture()
    assert IMAGE_BYTES_MIN < len(picture) < IMAGE_BYTES_MAX
    if os.environ.get(WRITE):
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"console-{name}-{scheme}.webp").write_bytes(picture)
    assert (IMAGES / f"console-{name}-{scheme}.webp").is_file(), f"run this suite with {WRITE}=1"


async def test_the_overview_tells_what_is_wrong(page: Page, rack: str) -> None:
    await show(page, rack, "/")
    text = await page.js(TEXT)
    for told in ("14 of 16", "84 of 84", "4 things are not as they should be", "hold timer expired", "+1 outside"):
        assert told in text, told


async def test_the_slider_goes_through_time_by_the_keyboard_and_its_link_shows_the_same_again(
    page: Page, rack: str
) -> None:
    await show(page, rack, "/rib")
    assert "of 14" in await page.js(TEXT)
    await page.js("document.querySelector('#slider').focus()")
    await page.press("Home")
    await page.until(
        "new URL(location).searchParams.get('at') === '1' && document.querySelector('#region').dataset.position === '1'"
    )
    assert "No address in use" in await page.js(TEXT)
    await page.press("ArrowRight", 13)
    await page.until("document.querySelector('#region').dataset.position === '14'")
    assert await page.js("document.activeElement.id") == "slider"
    assert "#14, 2026-11-25 14:00:00.902" in await page.js(
        "document.querySelector('#slider').ariaValueText ?? document.querySelector('#slider').getAttribute('aria-valuetext')"
    )
    assert "203.0.113.0/32" in await page.js(TEXT)
    link = await page.js("location.href")
    shown = await page.js("document.querySelector('#region').innerText")
    await page.open(link)
    await page.until(READY)
    assert await page.js("document.querySelector('#region').innerText") == shown
    await page.press("l")
    await page.until("document.querySelector('#region').dataset.position === '63' && !location.search")


async def test_everything_is_reached_without_a_mouse(page: Page, rack: str) -> None:
    await show(page, rack, "/")
    await page.press("Tab")
    assert await page.js("document.activeElement.textContent") == "Skip to the content"
    await page.press("Enter")
    await page.until("document.activeElement.id === 'main'")
    await page.press("2")
    await page.until(
        "document.querySelector('h1').textContent === 'Services' && document.querySelector('#region table')"
    )
    await page.press("/")
    assert await page.js("document.activeElement.name") == "q"
    await page.type("late")
    await page.until("document.querySelector('#region').innerText.includes('1 to 1 of 1')")
    # The field that is written in keeps the focus and what stands in it.
    assert await page.js("document.activeElement.value") == "late"
    await page.press("Escape")
    await page.js("document.activeElement.blur()")
    await page.press("j")
    await page.press("Enter")
    await page.until("document.querySelector('aside')?.innerText.includes('PoolExhausted')")
    assert await page.js("[...document.querySelectorAll('.chain li')].length") >= 2
    assert await page.js("document.activeElement.textContent") == "shop/late-comer"
    await page.press("Escape")
    await page.until("!document.querySelector('aside')")
    await page.press("?")
    await page.until("document.querySelector('#keys').open")
    await page.press("Escape")
    await page.until("!document.querySelector('#keys').open")
    order = []
    await page.js("document.activeElement.blur()")
    for _ in range(40):
        await page.press("Tab")
        order.append(await page.js("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert [one for one in dict.fromkeys(order) if one in ("Overview", "Journal", "help", "slider", "moment")] == [
        "Overview",
        "Journal",
        "help",
        "slider",
        "moment",
    ]


async def test_single_keys_can_be_turned_off(page: Page, rack: str) -> None:
    await show(page, rack, "/")
    await page.js(
        "document.querySelector('#help').click(); document.querySelector('#keys-on').click(); document.querySelector('#keys').close()"
    )
    await page.press("3")
    await page.open(rack + "/")
    await page.until(READY)
    await page.press("3")
    assert await page.js("document.querySelector('h1').textContent") == "Overview"


async def test_the_theme_is_chosen_and_kept(page: Page, rack: str) -> None:
    await show(page, rack, "/")
    for wanted in ("light", "dark"):
        await page.js("document.querySelector('#theme').click()")
        assert await page.js("document.documentElement.dataset.theme") == wanted
    await show(page, rack, "/services")
    assert await page.js("document.documentElement.dataset.theme") == "dark"


async def test_a_stretch_of_the_timeline_is_chosen_by_dragging_and_an_event_by_a_click(page: Page, rack: str) -> None:
    await show(page, rack, "/timeline")
    before = await page.js("document.querySelectorAll('.lanes .mark').length")
    assert "Kubernetes API" in await page.js("document.querySelector('.lanes').textContent")
    box = await page.js(
        "(() => { const { x, y, width, height } = document.querySelector('.lanes').getBoundingClientRect(); return [x, y, width, height] })()"
    )
    await page.drag(box[0] + box[2] * 0.6, box[1] + 20, box[0] + box[2] * 0.99)
    await page.until(
        "new URL(location).searchParams.get('since') && document.querySelector('#region').dataset.position > 0"
    )
    await page.until(f"document.querySelectorAll('.lanes .mark').length < {before}")
    at = await page.js(
        "(() => { const { x, y, width, height } = document.querySelector('[data-event=\"62\"]').getBoundingClientRect(); return [x + width / 2, y + height / 2] })()"
    )
    await page.drag(at[0], at[1], at[0])
    await page.until("document.querySelector('aside')?.innerText.includes('AllocationRefused')")
    assert await page.js("[...document.querySelectorAll('.chain li b')].map((one) => one.textContent)") == [
        "AllocationRefused",
        "ServiceObserved",
    ]
    # From the event to the cluster as it was, and to what it changed.
    await page.js(
        "[...document.querySelectorAll('aside a')].find((one) => one.textContent === 'What it changed').click()"
    )
    await page.until("document.querySelector('#region').innerText.includes('PoolExhausted')")
    assert "Refusals (1)" in await page.js(TEXT)


async def test_names_that_are_markup_stay_text(page: Page, tmp_path: Path) -> None:
    file = histories.write(tmp_path / "hostile", histories.hostile())
    with console("--from", str(file)) as base:
        for path in ("/", "/services", "/rib", "/timeline", "/journal", "/compare?a=1"):
            await show(page, base, path)
            assert histories.MARKUP in await page.js("document.querySelector('#region').textContent"), path
            assert await page.js("document.querySelectorAll('main img, main script').length") == 0
            assert await page.js("window.injected") is None
        await page.open(base + "/services")
        await page.until("document.querySelector('[data-row]')")
        await page.js("document.querySelector('[data-row]').click()")
        await page.until("document.querySelector('aside')")
        assert await page.js("window.injected") is None
        # Even a mistake in the page could not make markup out of text.
        assert "TrustedHTML" in await page.js(
            "(() => { try { document.body.innerHTML = 'x' } catch (e) { return String(e) } })()"
        )
        page.expected.append("TrustedHTML")
        # A name with a slash is none that can be asked for.
        page.expected.append("400 (Bad Request)")


async def test_who_waits_for_a_long_answer_sees_that_it_goes_on(page: Page, rack: str) -> None:
    await show(page, rack, "/")
    await page.js(
        "window.held = new Promise((go) => { window.goOn = go; });"
        "const fetched = window.fetch;"
        "window.fetch = async (...all) => { if (String(all[0]).includes('/api/diff')) await window.held; return fetched(...all); };"
    )
    await page.js("document.querySelector('a[href^=\"/compare\"]').click()")
    await page.until("document.querySelector('input[name=a]')")
    await page.js(
        "document.querySelector('input[name=a]').value = '59';document.querySelector('form.toolbar').requestSubmit();"
    )
    await page.until(
        "/Reading… [0-9]+ s; what takes more than a minute/.test(document.querySelector('#region').innerText)"
    )
    await page.js("window.goOn()")
    await page.until(f"{READY} && document.querySelector('#region').innerText.includes('#59')")


async def test_what_goes_wrong_is_said_with_a_way_out(page: Page, rack: str) -> None:
    page.expected.append("400 (Bad Request)")
    page.expected.append("404 (Not Found)")
    await page.open(f"{rack}/rib?at=9999")
    await page.until("document.querySelector('[role=alert]')")
    assert "at=#9999 lies behind the head, #63" in await page.js(TEXT)
    await page.js("[...document.querySelectorAll('[role=alert] button')].at(-1).click()")
    await page.until(READY)
    assert "of 14" in await page.js(TEXT)
    await page.open(f"{rack}/rib?at=2199-01-01T00:00:00Z")
    await page.until("document.querySelector('[role=alert]')")
    assert "at=2199-01-01T00:00:00.000Z is yet to come: it lies behind the head, #63" in await page.js(TEXT)
    await page.open(f"{rack}/services?service=shop%2Fnobody")
    await page.until("document.querySelector('aside')")
    assert "no Service shop/nobody" in await page.js("document.querySelector('aside').innerText")
    await page.js(
        "document.querySelector('#moment').value = 'soon'; document.querySelector('.asof form').requestSubmit()"
    )
    assert "position like" in await page.js("document.querySelector('#moment').validationMessage")


async def test_a_free_address_is_explained_where_no_route_is(page: Page, rack: str) -> None:
    await show(page, rack, "/rib?q=203.0.113.30")
    await page.until("document.querySelector('aside')")
    assert "203.0.113.30 is free" in await page.js("document.querySelector('aside').innerText")


async def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes((SOURCE / "docs/operate/samples/incident.porter-export").read_bytes()[:-9])
    command = [sys.executable, "-m", "porter", "console", "--from", str(damaged), "--listen", "127.0.0.1:0"]
    ended = await asyncio.to_thread(
        subprocess.run, command, cwd=SOURCE, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert f"--from {damaged}" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_twenty_thousand_services_are_turned_page_by_page(page: Page, tmp_path: Path) -> None:
    file = histories.write(tmp_path / "many", histories.many(20_000))
    with console("--from", str(file)) as base:
        await page.open(f"{base}/services")
        await page.until("document.querySelector('#region').innerText.includes('1 to 100 of 20000')", 120)
        assert await page.js("document.querySelectorAll('*').length") < 5000
        await page.js(
            "[...document.querySelectorAll('.pager button')].find((one) => one.textContent === 'Last').click()"
        )
        await page.until("document.querySelector('#region').innerText.includes('19901 to 20000 of 20000')", 60)
        await page.js(
            "(() => { const q = document.querySelector('[name=q]'); q.value = 'web-07531'; q.dispatchEvent(new Event('input')) })()"
        )
        await page.until("document.querySelector('#region').innerText.includes('1 to 1 of 1 (20000 in all)')", 60)
        assert "10.64.29.107" in await page.js(TEXT)
        await page.open(f"{base}/rib?q=10.64.29.107")
        await page.until("document.querySelector('#region').innerText.includes('shop/web-07531')", 60)
