"""The page's layout: nothing sticks out, nothing jumps, nothing lies over what is used, at any size of text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from heartbeat.health import State
from tests.web.browser import card, counts, eventually, loaded, needs_browser, opened, settled, text
from tests.web.serving import Serving
from tests.web.world import World, new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

LANGUAGES = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "sv", "da", "fi", "cs", "tr", "el"]
STICKS_OUT = """() => [...document.querySelectorAll('body *')].filter(each => {
    const { right, width, height } = each.getBoundingClientRect();
    return width > 1 && height > 1 && right > innerWidth + 1 && !each.closest('.scroll, .feeds, .unseen, svg, .skip');
}).map(each => each.outerHTML.slice(0, 120))
    .concat(document.documentElement.scrollWidth > innerWidth ? ['it scrolls'] : [])"""


def world_of_many_tongues() -> World:
    """More languages than are listed one by one, the rest of them together more than the first."""
    world = new_world(minutes=0)
    now_ms = world.clock.now_ms()
    for at in range(120):
        lang = LANGUAGES[at % len(LANGUAGES)] if at % 3 else "en"
        world.say("aurora", now_ms - 1000 * at, lang=lang, content=f"post {at}")
        world.say("tram", now_ms - 1000 * at)
    world.publish()
    return world


async def _fits(page: Page) -> None:
    for _ in range(20):
        found = await page.evaluate(STICKS_OUT)
        if not found:
            return
        await asyncio.sleep(0.25)
    pytest.fail(f"these stick out: {found}")


@pytest.mark.parametrize("width", [320, 390, 680, 820])
async def test_nothing_sticks_out_with_many_languages(browser: Browser, width: int) -> None:
    viewport = {"width": width, "height": 844}
    async with Serving(world_of_many_tongues()) as served, opened(browser, served.url, viewport=viewport) as page:
        await settled(page)
        await eventually(lambda: counts(page, card("aurora", ".language"), 11))
        assert await text(page, card("aurora", ".language:last-child .name")) == "4 more"
        await _fits(page)


async def test_a_narrow_page_tells_of_health_without_scrolling_aside(browser: Browser) -> None:
    world = world_of_many_tongues()
    world.health.report(
        "sink/influx", State.FAILED, "401 unauthorized " * 5, "put a valid token into the settings " * 3
    )
    async with Serving(world) as served, opened(browser, served.url, viewport={"width": 390, "height": 844}) as page:
        await settled(page)
        await page.click("#health summary")
        await eventually(lambda: counts(page, "#health tr[data-state=failed]", 1))
        wide = await page.locator("#health .scroll").evaluate("each => each.scrollWidth - each.clientWidth")
        assert wide <= 0
        remedy = page.get_by_role("row", name="sink/influx").get_by_role("cell").last
        box = await remedy.bounding_box()
        assert box is not None and box["x"] + box["width"] <= 390 and box["height"] > 0


async def test_the_label_of_a_post_is_never_cut(browser: Browser) -> None:
    """Where there is little room, models and sources are."""
    cut = """() => [...document.querySelectorAll('.post .chip')]
        .filter(each => each.scrollWidth > each.clientWidth + 1).length"""
    world = new_world(minutes=0)
    for at in range(8):
        world.say("aurora", world.clock.now_ms() - 1000 * at, source="a_source_with_a_long_name")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url, viewport={"width": 320, "height": 844}) as page:
        await settled(page)
        await eventually(lambda: counts(page, card("aurora", ".post"), 8))
        assert await page.evaluate(cut) == 0
        await _fits(page)


@pytest.mark.parametrize("width", [1360, 390])
async def test_text_of_twice_the_size_has_its_place(browser: Browser, width: int) -> None:
    async with (
        Serving(world_of_many_tongues()) as served,
        opened(browser, served.url, viewport={"width": width, "height": 900}) as page,
    ):
        await settled(page)
        await page.evaluate("document.documentElement.style.fontSize = '30px'")
        await _fits(page)
        wide, high = await page.locator("h2").first.evaluate("each => [each.offsetWidth, each.offsetHeight]")
        assert wide > 200 and high < 120
        overlapping = await page.evaluate("""() => {
            const boxes = [...document.querySelectorAll('.head:first-of-type > *')].slice(0, 4)
                .map(each => each.getBoundingClientRect());
            return boxes.some((one, at) => boxes.slice(at + 1).some(other => one.left < other.right - 1
                && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1));
        }""")
        assert not overlapping


@pytest.mark.parametrize("width", [1360, 820, 390])
async def test_nothing_jumps_while_posts_come(browser: Browser, width: int) -> None:
    world = world_of_many_tongues()
    viewport = {"width": width, "height": 900}
    async with Serving(world) as served, opened(browser, served.url, viewport=viewport) as page:
        await loaded(page)
        await page.evaluate("document.fonts.ready")
        await page.evaluate("""() => {
            window.tops = new Set();
            const look = () => {
                const [first, second] = document.querySelectorAll('.card');
                const [mood, plot] = [first.querySelector('.mood'), first.querySelector('.plot')];
                tops.add([second.offsetTop, plot.clientHeight, mood.offsetLeft].join());
                requestAnimationFrame(look);
            };
            look();
        }""")
        for at in range(12):
            words = "many words that fill a line and more " * (at % 4) + f"newcomer {at}"
            world.say("aurora", world.clock.now_ms(), content=words, lang=LANGUAGES[at % 3])
            world.publish()
            await asyncio.sleep(0.25)
        await eventually(lambda: page.get_by_text("newcomer 11").count())
        await eventually(lambda: page.evaluate("document.querySelector('[data-count=total]').textContent === '132'"))
        assert len(await page.evaluate("[...tops]")) == 1


async def test_a_finger_holds_the_posts_until_it_touches_something_else(browser: Browser) -> None:
    world = world_of_many_tongues()
    context: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    async with Serving(world) as served, opened(browser, served.url, **context) as page:
        await settled(page)
        await eventually(lambda: counts(page, card("aurora", ".post"), 8))
        await page.locator(card("aurora", ".post")).nth(2).tap()
        before = await page.locator(card("aurora", ".post .text")).all_text_contents()
        for at in range(3):
            world.say("aurora", world.clock.now_ms(), content=f"newcomer {at}")

        async def waiting() -> bool:
            return await text(page, card("aurora", ".more")) == "3 more"

        await eventually(waiting)
        assert await page.locator(card("aurora", ".post .text")).all_text_contents() == before
        await page.locator(card("aurora", ".latest h3")).tap()
        await eventually(lambda: page.get_by_text("newcomer 2").count())


@pytest.mark.parametrize("width", [1360, 390])
async def test_a_hundred_per_cent_fits_its_gauge(browser: Browser, width: int) -> None:
    world = new_world(minutes=0)
    for _ in range(9):
        world.say("aurora", world.clock.now_ms(), label="positive")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url, viewport={"width": width, "height": 900}) as page:
        await settled(page)
        gauge = page.locator(card("aurora", '.gauge[data-label="positive"]'))

        async def full() -> bool:
            return await gauge.locator(".percent").text_content() == "100 %"

        await eventually(full)
        reach = await gauge.evaluate("""gauge => {
            const { x, y, width, height } = gauge.querySelector('.percent').getBBox();
            const thick = parseFloat(getComputedStyle(gauge.querySelector('.track')).strokeWidth);
            const ascent = .74 * height; // digits do not fill the box
            return Math.hypot(width / 2, 54 - (y + height - ascent)) + thick / 2;
        }""")
        assert reach < 40, "it overlaps the arc"


async def test_what_has_the_focus_is_not_under_the_bar(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url) as page:
        await loaded(page)
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await page.locator(card("aurora", ".fold")).evaluate("each => each.focus({ focusVisible: true })")
        hidden = "document.activeElement.getBoundingClientRect().top < document.querySelector('.bar').offsetHeight"
        await eventually(lambda: page.evaluate("document.activeElement.className === 'fold'"))
        assert not await page.evaluate(hidden)
        assert await page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")


@pytest.mark.parametrize("width", [1360, 340])
async def test_whatever_is_pressed_is_large_enough(browser: Browser, width: int) -> None:
    async with (
        Serving(new_world()) as served,
        opened(browser, served.url, viewport={"width": width, "height": 900}) as page,
    ):
        await loaded(page)
        small = await page.evaluate("""() => [...document.querySelectorAll('summary, button, input')].filter(each => {
            const { width, height } = each.getBoundingClientRect();
            return width && (width < 24 || height < 24);
        }).map(each => each.outerHTML.slice(0, 80))""")
        assert small == []
        lines = "[...document.querySelectorAll('.range span')].map(each => each.offsetHeight)"
        assert max(await page.evaluate(lines)) < 36, "a range takes two lines"


async def test_a_task_without_posts_takes_little_room_and_opens_with_its_first(browser: Browser) -> None:
    world = new_world(minutes=0)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await eventually(lambda: counts(page, ".card.bare", 2))
        assert await page.locator(card("aurora")).evaluate("each => each.offsetHeight") < 200
        world.say("aurora", world.clock.now_ms(), content="the first")
        world.publish()
        await loaded(page)
        assert await page.locator(card("aurora", ".details")).is_visible()
        assert await page.locator(".card.bare").count() == 1


async def test_the_bar_ends_where_the_cards_end(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url) as page:
        await loaded(page)
        edges = """() => {
            const range = document.createRange();
            range.selectNodeContents(document.getElementById('connection'));
            return [range.getBoundingClientRect().right, document.querySelector('.card').getBoundingClientRect().right,
                document.querySelector('.bar svg').getBoundingClientRect().left,
                document.querySelector('.card').getBoundingClientRect().left];
        }"""
        right, card_right, left, card_left = await page.evaluate(edges)
        assert right == pytest.approx(card_right, abs=2) and left == pytest.approx(card_left, abs=2)


async def test_without_scripts_it_promises_nothing(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url, java_script_enabled=False) as page:
        assert await text(page, "#connection") == "not live"
        assert await page.locator("#pause").is_disabled() and await page.locator(".range input").first.is_disabled()
        assert "This page moves by JavaScript" in await page.content()
