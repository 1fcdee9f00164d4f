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

TOTAL = '.card[data-task="aurora"] [data-count="total"]'
LOST = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
"""What the browser says when the server goes away."""


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
        if not any(part in text for part in (*tolerate, "willReadFrequently")):  # that is how tests look at the line
            complaints.append(f"{kind}: {text}")

    page.on("console", lambda message: complain(message.type, message.text))
    page.on("pageerror", lambda error: complain("error", str(error)))
    try:
        await page.goto(url)
        yield page
        assert complaints == [], complaints
    finally:
        await window.close()


async def eventually(check: Callable[[], Awaitable[object]], *, timeout_s: float = 60.0) -> None:
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


async def shows(page: Page, selector: str, wanted: float) -> bool:
    """Whether the text of the first element is this number now."""
    return await page.locator(selector).count() > 0 and await number(page, selector) == wanted


async def says(page: Page, selector: str, wanted: str) -> bool:
    """Whether this is the text of the first element now."""
    return await text(page, selector) == wanted


async def counts(page: Page, selector: str, wanted: int) -> bool:
    """Whether there are so many elements now."""
    return await page.locator(selector).count() == wanted


async def holds(page: Page, expression: str) -> None:
    """Wait until it is true in the page."""
    await eventually(lambda: page.evaluate(expression))


def card(task: str, selector: str = "") -> str:
    """A selector within a task's card."""
    return f'.card[data-task="{task}"] {selector}'.strip()


async def settled(page: Page, task: str = "aurora") -> None:
    """Wait until the page is live, and shows of a task what the server has to tell."""
    await eventually(lambda: page.locator('#connection[data-state="live"]').count())
    await eventually(lambda: page.locator(card(task) + '[aria-busy="false"]').count())


async def loaded(page: Page, task: str = "aurora") -> None:
    """Wait until the page is live and shows the task's posts, its figures and its chart as they are."""
    await settled(page, task)
    await eventually(lambda: page.locator(card(task, ".post")).count())
    await eventually(lambda: page.locator(card(task, ".language .share")).count())
    await eventually(lambda: page.locator(card(task, ".plot .bars path")).count())
    drawn = """task => {
        const card = document.querySelector(`.card[data-task="${task}"]`);
        const sum = card.querySelector('.plot').data.reduce((all, { y }) => all + y.reduce((a, b) => a + b, 0), 0);
        return sum === Number(card.querySelector('[data-count="total"]').textContent.replace(/\\D/g, ''));
    }"""
    await eventually(lambda: page.evaluate(drawn, task))


async def table(page: Page, task: str, kind: str) -> list[list[str]]:
    """The body of a chart's table, which is opened if it is not."""
    twin = page.locator(card(task, f'.twin[data-twin="{kind}"]'))
    if await twin.get_attribute("open") is None:
        await twin.locator("summary").click()
    await eventually(lambda: twin.locator("tbody tr").count())
    rows: list[list[str]] = await twin.locator("table").evaluate(
        "table => [...table.tBodies[0]?.rows ?? []].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows
