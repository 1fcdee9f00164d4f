"""What the page says of each task's newest closed window, and of who is talked about."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from heartbeat import topics
from heartbeat.records import Figures, Pulse
from tests.web.browser import card, eventually, needs_browser, opened, settled, text
from tests.web.serving import Serving
from tests.web.test_page_seen import contrast, linear
from tests.web.world import World, new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

QUARTER_MS = 900_000
DAY_MS = 86_400_000


def world_with_a_week(*names: str) -> tuple[World, int]:
    """A world that has heard 100 posts in each quarter of an hour for each task; and the start of the newest."""
    world = new_world(*(names or ("aurora", "tram")), minutes=0)
    newest_ms = world.clock.now_ms() // QUARTER_MS * QUARTER_MS - QUARTER_MS
    for task in world.tasks_given:
        for start_ms in range(newest_ms - 8 * DAY_MS, newest_ms + QUARTER_MS, QUARTER_MS):
            store(world, task.name, start_ms, 75, 25)
        small = newest_ms - DAY_MS
        world.stored[task.name, 10, small] = Pulse(task.name, 10, small, 1, True, 0, Figures(1, 0, 1), {}, {})
        world.watermarks[task.name] = world.clock.now_ms() - 5_000
    return world, newest_ms


def store(world: World, task: str, start_ms: int, positive: int, negative: int, revision: int = 1) -> Pulse:
    total = positive + negative
    figures = Figures(total, 0, positive, 0, negative, 0, 800_000 * positive, 200_000 * total, 800_000 * negative)
    window = Pulse(task, 900, start_ms, revision, True, 0, figures, {"en": figures}, {"x": figures})
    world.stored[task, 900, start_ms] = window
    return window


async def says(page: Page, task: str, *wanted: str) -> None:
    place = page.locator(card(task, ".insight"))
    await eventually(lambda: _has(place, wanted))


async def _has(place: Any, wanted: tuple[str, ...]) -> bool:
    told = " ".join((await place.inner_text()).split())
    return all(each in told for each in wanted)


async def strengths(page: Page, task: str) -> list[str | None]:
    badges = page.locator(card(task, ".badge"))
    return [await badges.nth(at).get_attribute("data-strength") for at in range(await badges.count())]


async def test_a_window_out_of_the_ordinary_is_told_in_words(browser: Browser) -> None:
    world, newest_ms = world_with_a_week()
    store(world, "aurora", newest_ms, 100, 300)
    store(world, "aurora", newest_ms - DAY_MS, 450, 50)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await says(page, "aurora", "15 min to", "400 posts", "+300 % on the 15 min before", "−20 % on yesterday")
        await says(page, "aurora", "+300 % on last week", "much busier than usual", "much more negative than usual")
        assert await strengths(page, "aurora") == ["very high", "very high"]
        title = await page.locator(card("aurora", '[data-badge="shift"]')).get_attribute("title") or ""
        assert "75 % of 400 scored posts are negative, 24 % before (+51 points" in title and "95 % interval" in title
        assert title in await text(page, card("aurora", '[data-badge="shift"] .unseen'))
        await page.locator(card("tram")).scroll_into_view_if_needed()
        await says(page, "tram", "100 posts", "±0 % on the 15 min before", "as busy as usual", "mood as usual")
        assert await strengths(page, "tram") == ["usual", "usual"]


async def test_a_window_that_closes_is_told_while_the_page_is_open(browser: Browser) -> None:
    world, newest_ms = world_with_a_week()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await says(page, "aurora", "100 posts", "as busy as usual")
        corrected = store(world, "aurora", newest_ms, 20, 480, revision=2)
        world.append(topics.PULSE, corrected)
        await says(page, "aurora", "500 posts", "+400 %", "much busier than usual")
        await page.locator("#pause").click()
        world.append(topics.PULSE, store(world, "aurora", newest_ms, 20, 30, revision=3))
        await asyncio.sleep(2)
        await says(page, "aurora", "500 posts")
        await page.locator("#pause").click()
        await says(page, "aurora", "50 posts", "−50 % on the 15 min before")


async def test_where_nothing_is_known_nothing_is_made_up(browser: Browser) -> None:
    world = new_world("aurora", "tram", minutes=3)
    world.say("replay", 1_709_290_800_000)
    world.close("replay", 2**62)
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await says(page, "aurora", "1 min to")
        assert await strengths(page, "aurora") == ["none", "none"]
        assert not await page.locator(card("aurora", ".badge")).first.is_visible()
        await settled(page, "replay")
        assert not await page.locator(card("replay", ".insight")).is_visible()


@pytest.mark.parametrize("width", [1360, 1000, 390])
async def test_nothing_moves_when_it_comes(browser: Browser, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    world, newest_ms = world_with_a_week("aurora", "tram", "coffee")
    store(world, "aurora", newest_ms, 100, 3_000)
    viewport = {"width": width, "height": 900}
    places = """() => [...document.querySelectorAll('.voice, .insight')]
        .map(each => each.getBoundingClientRect()).map(({ top, height }, at) => [height, at ? 0 : top + scrollY])"""
    told = asyncio.Event()
    past, said = world.history.past, world.history.said

    async def late_past(*asked: Any) -> Any:
        await told.wait()
        return await past(*asked)

    async def late_said(*asked: Any) -> Any:
        await told.wait()
        return await said(*asked)

    monkeypatch.setattr(world.history, "past", late_past)
    monkeypatch.setattr(world.history, "said", late_said)
    async with Serving(world) as served, opened(browser, served.url, viewport=viewport) as page:
        await settled(page)
        before = await page.evaluate(places)
        told.set()
        await says(page, "aurora", "3,100 posts", "much more negative than usual")
        await page.locator('input[name="range"][value="1440"]').check(force=True)
        await eventually(lambda: _shares(page, ["40 %", "30 %", "30 %"]))
        assert await page.evaluate(places) == before


async def test_shares_of_voice_in_a_bar_over_time_and_as_a_table(browser: Browser) -> None:
    world, _ = world_with_a_week()
    minute_ms = world.clock.now_ms() // 60_000 * 60_000 - 60_000
    for at in range(30):
        world.say("aurora", minute_ms + at)
    for at in range(10):
        world.say("tram", minute_ms + at)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await eventually(lambda: _shares(page, ["75 %", "25 %"]))
        label = await page.locator(".voices").get_attribute("aria-label") or ""
        assert "Aurora One 75 %, City trams 25 %" in label
        widths = await page.locator(".voice-part").evaluate_all("all => all.map(each => each.clientWidth)")
        assert widths[0] / widths[1] == pytest.approx(3, rel=0.02)
        await page.locator(".over-time > summary").click()
        await eventually(lambda: page.locator(".voice-plot .bars path").count())
        await page.locator(".voice .twin summary").click()
        await eventually(lambda: _told(page, ["75 %", "25 %", "40"]))


async def _told(page: Page, wanted: list[str]) -> bool:
    rows = await page.locator(".voice .twin tbody tr").all()
    return wanted in [await row.locator("td").all_text_contents() for row in rows]


async def _shares(page: Page, wanted: list[str]) -> bool:
    return await page.locator(".who .share").all_text_contents() == wanted


async def test_many_tasks_are_told_apart_and_the_rest_is_one(browser: Browser) -> None:
    names = [f"task-{at:02}" for at in range(12)]
    world = new_world(*names, minutes=0)
    now_ms = world.clock.now_ms()
    for at, name in enumerate(names):
        for each in range(at + 1):
            world.say(name, now_ms - 60_000 - each)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page, "task-00")
        await eventually(lambda: _shares(page, ["8 %", "9 %", "10 %", "12 %", "13 %", "14 %", "15 %", "19 %"]))
        told = await page.locator(".who .name").all_text_contents()
        assert told == [*names[5:], "5 more"]


async def test_one_task_alone_has_no_share(browser: Browser) -> None:
    async with Serving(new_world("aurora")) as served, opened(browser, served.url) as page:
        await settled(page)
        assert await page.locator(".voice").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_its_colours_can_be_seen(browser: Browser, scheme: str) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url, color_scheme=scheme) as page:
        read = """names => {
            const style = getComputedStyle(document.documentElement);
            return names.map(name => style.getPropertyValue(`--${name}`).trim());
        }"""
        names = ["card", *(f"voice-{at}" for at in range(1, 8))]
        card_colour, *voices = map(linear, await page.evaluate(read, names))
        assert all(contrast(voice, card_colour) >= 3 for voice in voices)
        assert len(set(voices)) == 7
