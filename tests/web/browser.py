"""Drives the page in headless Chromium, and listens to everything that the browser complains about."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

PATH = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(
    PATH is None and not os.environ.get("CI"), reason="there is no chromium; install it, or name one by CHROMIUM"
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser. Without a sandbox: tests may run as root, and the pages are ours."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=PATH, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(browser: Browser, url: str, *, tolerate: tuple[str, ...] = (), **context: Any) -> AsyncIterator[Page]:
    """A page, which may not say anything on the console. `tolerate` are texts that it may say all the same."""
    complaints: list[str] = []
    window = await browser.new_context(**{"viewport": {"width": 1360, "height": 900}, "locale": "en-US", **context})
    page = await window.new_page()

    def complain(kind: str, text: str) -> None:
        if not any(part in text for part in tolerate):
            complaints.append(f"{kind}: {text}")

    page.on("console", lambda message: complain(message.type, message.text))
    page.on("pageerror", lambda error: complain("error", str(error)))
    try:
        await page.goto(url)
        yield page
        assert complaints == []
    finally:
        await window.close()


async def eventually(check: Callable[[], Awaitable[object]], *, timeout_s: float = 30.0) -> None:
    """Ask again until it holds."""
    last: object = None
    try:
        async with asyncio.timeout(timeout_s):
            while not (last := await check()):
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"it did not happen within {timeout_s:g} s; last: {last!r}")


async def text(page: Page, selector: str) -> str:
    """The text of the first element."""
    return (await page.locator(selector).first.text_content() or "").strip()


async def number(page: Page, selector: str) -> float:
    """The text of the first element as a number."""
    shown = (await text(page, selector)).replace(",", "").removesuffix("%").strip()
    return float(shown) if shown not in ("", "–") else float("nan")


async def table(page: Page, task: str, kind: str) -> list[list[str]]:
    """The body of a chart's table, which is opened if it is not."""
    twin = page.locator(f'.card[data-task="{task}"] .twin[data-twin="{kind}"]')
    if await twin.get_attribute("open") is None:
        await twin.locator("summary").click()
    rows: list[list[str]] = await twin.locator("table").evaluate(
        "table => [...table.tBodies[0]?.rows ?? []].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows
