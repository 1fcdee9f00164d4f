"""The timeline: every moment has its place, says when it was, and comes back when its script could not be loaded."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Route

from tests.web.browser import card, eventually, loaded, needs_browser, opened, settled, text
from tests.web.serving import Serving
from tests.web.world import new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

CLOCKS_GO_BACK_MS = 1_761_440_400_000  # 2025-10-26 01:00 UTC: 03:00 is 02:00 again in Berlin
PLOT = "document.querySelector('.card[data-task=\"{}\"] .plot')"


async def test_the_hour_that_comes_twice_has_its_place_twice(browser: Browser) -> None:
    world = new_world(minutes=1)
    for minute in range(-90, 90):
        world.say("autumn", CLOCKS_GO_BACK_MS + minute * 60_000, label="positive")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url, timezone_id="Europe/Berlin") as page:
        await settled(page, "autumn")
        await page.locator(card("autumn", ".plot")).scroll_into_view_if_needed()
        await loaded(page, "autumn")
        plot = PLOT.format("autumn")
        x, y = await page.evaluate(f"[{plot}.data[0].x, {plot}.data[0].y]")
        assert x == [CLOCKS_GO_BACK_MS + 30_000 + minute * 60_000 for minute in range(-90, 90)]
        assert set(y) == {1}
        ticks = await page.locator(card("autumn", ".xtick text")).all_text_contents()
        assert [tick[:5] for tick in ticks].count("02:00") == 2


@pytest.mark.parametrize(
    ("zone", "minutes", "first"),
    [("Asia/Kathmandu", 60, "00:00"), ("UTC", 60, "18:20"), ("America/New_York", 1440 * 4, "")],
)
async def test_ticks_are_round_times_of_the_readers_zone(browser: Browser, zone: str, minutes: int, first: str) -> None:
    async with Serving(new_world(minutes=0)) as served, opened(browser, served.url, timezone_id=zone) as page:
        begin_ms = 1_760_552_100_000  # 2025-10-15 18:15 UTC, midnight in Kathmandu
        values, texts = await page.evaluate(
            """async ([from, minutes]) => {
                const { ticks } = await import(document.querySelector('link[href$="/ticks.js"]').href);
                const { values, texts } = ticks(from, from + 60_000 * minutes, 7);
                return [values, texts];
            }""",
            [begin_ms, minutes],
        )
        assert 3 <= len(values) <= 8 and values == sorted(set(values))
        assert all("<br>" in each for each in texts[:1])
        assert texts[0].startswith(first)
        if minutes > 1440:
            assert all(text_.startswith("Oct") for text_ in texts)
        else:
            assert all(text_[4] in "05" for text_ in texts)


async def test_what_is_pointed_at_says_when_it_was_here_and_in_utc(browser: Browser) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, served.url, timezone_id="Asia/Kolkata") as page:
        await loaded(page)
        box = await page.locator(card("aurora", ".plot")).bounding_box()
        assert box
        tip = page.locator(card("aurora", ".tip"))

        async def told() -> bool:
            for part in (0.5, 0.6):
                await page.mouse.move(box["x"] + box["width"] * part, box["y"] + 100)
            return await tip.is_visible()

        await eventually(told)
        local, in_utc = await tip.evaluate("tip => [...tip.querySelectorAll('p')].map(each => each.textContent)")
        spans = """texts => texts.map(text => text.match(/\\d\\d:\\d\\d:\\d\\d/g).map(time => {
            const [hours, minutes, seconds] = time.split(':').map(Number);
            return 3600 * hours + 60 * minutes + seconds;
        }))"""
        (begin, end), (begin_utc, end_utc) = await page.evaluate(spans, [local, in_utc])
        assert in_utc.endswith("UTC")
        assert (begin - begin_utc) % 86_400 == (end - end_utc) % 86_400 == 19_800
        assert (end - begin) % 86_400 in (10, 60)
        rows = await tip.locator("li").all_text_contents()
        assert len(rows) == 5 and rows[-1].startswith("▲positive")
        await page.mouse.move(5, 5)
        await eventually(tip.is_hidden)
        words = page.locator(card("aurora", ".shares .range-words"))
        assert "UTC" in (await words.get_attribute("title") or "")
        await page.locator("canvas").first.hover()

        async def read() -> bool:
            return "UTC) · " in await text(page, ".reading")

        await eventually(read)


@pytest.mark.parametrize("width", [1360, 390])
async def test_the_days_under_the_axis_are_not_cut_off(browser: Browser, width: int) -> None:
    async with (
        Serving(new_world()) as served,
        opened(browser, served.url, viewport={"width": width, "height": 900}) as page,
    ):
        await loaded(page)
        bottom, ends = await page.evaluate("""() => {
            const plot = document.querySelector('.plot');
            return [plot.getBoundingClientRect().bottom,
                [...plot.querySelectorAll('.xtick text')].map(each => each.getBoundingClientRect().bottom)];
        }""")
        assert ends and max(ends) <= bottom
        assert await page.locator(".plot .xtick tspan.line").count() >= 2


async def test_charts_that_fail_say_so_and_are_tried_again_with_pauses(browser: Browser) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, "about:blank", tolerate=("ERR_FAILED",)) as page:
        asked: list[str] = []

        async def refuse(route: Route) -> None:
            asked.append(route.request.url)
            await route.abort()

        await page.route("**/plotly.min.js", refuse)
        await page.goto(served.url)
        failure = page.locator(card("aurora", ".failure"))
        await eventually(failure.is_visible)
        began = asyncio.get_running_loop().time()
        for _ in range(6):
            world.say("aurora", world.clock.now_ms())
            world.publish()
            await asyncio.sleep(0.6)
        took_s = asyncio.get_running_loop().time() - began
        assert await failure.is_visible() and len(asked) <= 2 + took_s / 8
        await page.unroute("**/plotly.min.js")
        await loaded(page)
        assert await failure.count() == 0


async def test_what_was_not_heard_is_a_gap_and_no_zero(browser: Browser) -> None:
    world = new_world()
    now_ms = world.clock.now_ms()
    from_ms, to_ms = now_ms - 300_000, now_ms - 120_000
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        plot = PLOT.format("aurora")
        assert await page.evaluate(f"{plot}.layout.shapes.length") == 0
        world.miss("demo", from_ms, to_ms)  # while the page is open
        await eventually(lambda: page.evaluate(f"{plot}.layout.shapes.length === 1"))
        x = await page.evaluate(f"[{plot}.layout.shapes[0].x0, {plot}.layout.shapes[0].x1]")
        assert x == [from_ms, to_ms]
