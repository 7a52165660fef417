"""A headless Chromium, driven over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
STARTED_S = 60.0
"""A cold start, on a machine that runs other tests beside."""
ANSWER_S = 60.0
LIMIT_S = 40.0
KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "Home": (36, ""),
    "End": (35, ""),
}
LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")


def program() -> str | None:
    """Where Chromium is, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Failed(Exception):
    """The page's script threw, or a condition did not come true."""


class Page:
    """One tab. `requests` are all that it fetched, `complaints` all that its console said of errors."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str, target: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.expected: list[str] = []
        """Words of complaints that a test provokes."""
        self.host = ""
        self._socket, self._session, self.target = socket, session, target

    _numbers = itertools.count(1)
    _answers: dict[int, asyncio.Future[dict[str, Any]]]

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol."""
        return await call(self._socket, self._answers, self._numbers, method, parameters, self._session)

    async def open(self, url: str) -> None:
        """Go to an address; what is fetched later is for `until` to wait for."""
        self.host = url.split("/")[2]
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def close(self) -> None:
        """Close the tab."""
        await self.call("Target.closeTarget", targetId=self.target)

    async def js(self, expression: str) -> Any:
        """The value of an expression."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def until(self, condition: str, timeout_s: float = LIMIT_S) -> Any:
        """Wait until an expression is true."""
        end = asyncio.get_running_loop().time() + timeout_s
        while True:
            # Where a page is being left there is nothing to ask.
            value = await self.js(f"(() => {{ try {{ return Boolean({condition}) }} catch (e) {{ return false }} }})()")
            if value:
                return value
            if asyncio.get_running_loop().time() > end:
                shown = await self.js("document.body?.innerText?.slice(0, 2000) ?? ''")
                raise Failed(f"{condition} did not come true; {self.complaints}; the page says:\n{shown}")
            await asyncio.sleep(0.05)

    async def press(self, key: str, times: int = 1) -> None:
        """Press a key, as a keyboard does."""
        code, text = KEYS[key] if key in KEYS else (ord(key.upper()), key)
        event: dict[str, object] = {"key": key, "windowsVirtualKeyCode": code}
        if text:
            event["text"] = text
        for _ in range(times):
            await self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **event)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def type(self, text: str) -> None:
        """Write into what is in focus."""
        await self.call("Input.insertText", text=text)

    async def drag(self, x: float, y: float, to_x: float) -> None:
        """Press the mouse at a point, and let it go at another."""
        for kind, at in (
            ("mousePressed", x),
            ("mouseMoved", (x + to_x) / 2),
            ("mouseMoved", to_x),
            ("mouseReleased", to_x),
        ):
            await self.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)

    async def size(self, width: int, height: int) -> None:
        """The window's size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def scheme(self, name: str) -> None:
        """Whether the system prefers light or dark."""
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """What is seen, as WebP."""
        answer = await self.call("Page.captureScreenshot", format="webp", quality=82)
        return base64.b64decode(answer["data"])


async def call(
    socket: aiohttp.ClientWebSocketResponse,
    answers: dict[int, asyncio.Future[dict[str, Any]]],
    numbers: Any,
    method: str,
    parameters: dict[str, object],
    session: str = "",
) -> dict[str, Any]:
    number = next(numbers)
    answers[number] = asyncio.get_running_loop().create_future()
    await socket.send_json(
        {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
    )
    async with asyncio.timeout(ANSWER_S):
        return await answers[number]


async def _receive(
    socket: aiohttp.ClientWebSocketResponse, answers: dict[int, asyncio.Future[dict[str, Any]]], pages: dict[str, Page]
) -> None:
    async for message in socket:
        told = json.loads(message.data)
        if "id" in told:
            waiting = answers.pop(told["id"])
            if waiting.done():
                continue
            if "error" in told:
                waiting.set_exception(Failed(str(told["error"])))
            else:
                waiting.set_result(told["result"])
            continue
        page, parameters = pages.get(told.get("sessionId", "")), told.get("params", {})
        if page is None:
            continue
        if told["method"] == "Network.requestWillBeSent":
            page.requests.append(parameters["request"]["url"])
        elif told["method"] == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            page.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif told["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            page.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")


class Browser:
    """A running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._pages: dict[str, Page] = {}
        self.receiving = asyncio.ensure_future(_receive(socket, self._answers, self._pages))

    async def page(self) -> Page:
        """A new tab, with storage of its own."""
        made = await call(self._socket, self._answers, self._numbers, "Target.createBrowserContext", {})
        target = await call(
            self._socket,
            self._answers,
            self._numbers,
            "Target.createTarget",
            {"url": "about:blank", "browserContextId": made["browserContextId"]},
        )
        attached = await call(
            self._socket,
            self._answers,
            self._numbers,
            "Target.attachToTarget",
            {"targetId": target["targetId"], "flatten": True},
        )
        page = Page(self._socket, attached["sessionId"], target["targetId"])
        page._answers, page._numbers = self._answers, self._numbers
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable")
        await page.call("Emulation.setTimezoneOverride", timezoneId="UTC")
        await page.size(1280, 860)
        await page.scheme("light")
        return page


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    found = program()
    assert found is not None, "Chromium is missing"
    process = await asyncio.create_subprocess_exec(
        found,
        "--headless=new",
        # Its sandbox refuses to run as root.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--font-render-hinting=none",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    draining: asyncio.Future[bytes] | None = None
    try:
        said = b""
        async with asyncio.timeout(STARTED_S):
            while not (listening := LISTENING.search(said)):
                line = await process.stderr.readline()
                assert line, f"Chromium ended: {said.decode(errors='replace')}"
                said += line
        # A pipe that nobody reads would fill, and Chromium would wait for it.
        draining = asyncio.ensure_future(process.stderr.read())
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(listening[1].decode(), max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            try:
                yield browser
            finally:
                browser.receiving.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if draining is not None:
            draining.cancel()
