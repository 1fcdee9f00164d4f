"""Health at the foot of the page: every part with its state, since when, why, and what to do."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page

from heartbeat.health import State
from tests.web.browser import eventually, needs_browser, opened, says, settled
from tests.web.serving import Serving
from tests.web.world import new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]


async def rows(page: Page) -> dict[str, list[str]]:
    """The cells of each part, by its name."""
    found: list[list[str]] = await page.locator("#health table").evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    )
    return {part: cells for part, *cells in found}


async def test_every_part_is_there_as_it_is_and_stays_so(browser: Browser) -> None:
    world = new_world(minutes=1)
    world.lags["pulse"] = 12
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await eventually(lambda: says(page, "#health .sum", "all 5 parts are well"))
        assert await rows(page) == {}  # nothing is written that nobody looks at
        await page.click("#health summary")

        async def listed() -> bool:
            return list(await rows(page)) == [status.part for status in world.health]

        await eventually(listed)
        shown = await rows(page)
        assert shown["agent/pulse"][0] == "● ok" and shown["agent/pulse"][2:] == ["12 unread", ""]
        world.health.report("disk", State.WAITING, "<b>17 MB</b> are left", "make room")
        world.health.report("sink/history", State.FAILED, "it is damaged", "move it away")
        await eventually(lambda: says(page, "#health .sum", "2 of 6 parts held up"))
        shown = await rows(page)
        assert shown["disk"][0] == "◐ waiting" and shown["disk"][2:] == ["<b>17 MB</b> are left", "make room"]
        assert shown["sink/history"][0] == "✕ failed" and shown["sink/history"][1]
        assert await page.locator('#problems li[title^="since "]').count() == 2
