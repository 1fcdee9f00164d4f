"""Logging in, as a person does it in a browser; and a session that ends while the page is open."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from heartbeat.clock import SystemClock
from heartbeat.settings import Settings
from heartbeat.testing.clock import FakeClock
from heartbeat.web.access import SESSION_S
from tests.web.browser import eventually, needs_browser, opened, text
from tests.web.serving import Serving
from tests.web.world import World, some_tasks

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]
TOKEN = "correct-horse-battery-staple"
REFUSED = ("401 (Unauthorized)",)


@pytest_asyncio.fixture(loop_scope="module")
async def served() -> AsyncIterator[tuple[Serving, World]]:
    settings = Settings.model_validate({"web_token": TOKEN})
    world = World(FakeClock(SystemClock().now_ms()), some_tasks("aurora"), settings)
    world.report()
    async with Serving(world) as serving:
        yield serving, world


async def test_a_person_logs_in_is_sent_back_when_the_session_ends_and_logs_out(
    browser: Browser, served: tuple[Serving, World]
) -> None:
    serving, world = served
    async with opened(browser, serving.url, tolerate=REFUSED) as page:
        assert page.url.endswith("/login") and "Token" in await text(page, "label")
        await page.fill("#token", "wrong")
        await page.press("#token", "Enter")
        await eventually(lambda: page.locator("#problem").count())
        assert await text(page, "#problem") == "That is not the token."
        for again in range(2):
            await page.fill("#token", TOKEN)
            await page.click("button")
            await eventually(lambda: page.locator('#connection[data-state="live"]').count())
            assert page.url == serving.url + "/" and TOKEN not in await page.content()
            if not again:
                assert isinstance(world.clock, FakeClock)
                world.clock.advance(SESSION_S)
                await eventually(lambda: page.locator("#token").count())
        await page.click("footer button")
        await eventually(lambda: page.locator("#token").count())
        await page.goto(serving.url)
        assert page.url.endswith("/login")
