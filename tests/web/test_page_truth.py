"""The page invents nothing: what it does not know it does not show as silence, as zero, or as well."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Page, Route

from heartbeat.feeds.base import FeedState
from heartbeat.health import State
from heartbeat.web import FeedInfo
from heartbeat.web.shapes import rfc3339
from tests.web.browser import (
    LOST,
    TOTAL,
    card,
    counts,
    eventually,
    loaded,
    needs_browser,
    number,
    opened,
    says,
    settled,
    shows,
    text,
)
from tests.web.serving import Serving
from tests.web.world import new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

STEADY = """async () => {
    const canvas = document.querySelector('canvas'), seen = new Set();
    for (let at = 0; at < 6; at += 1) {
        seen.add(canvas.toDataURL());
        await new Promise(resolve => setTimeout(resolve, 150));
    }
    return seen.size === 1;
}"""
# How high the ink stands above the base line at some parts of the width.
INK = """([task, places]) => {
    const canvas = document.querySelector(`.card[data-task="${task}"] canvas`);
    const { width, height } = canvas, context = canvas.getContext('2d');
    const base = height - 10 * height / canvas.clientHeight;
    return places.map(place => {
        const { data } = context.getImageData(Math.round(width * place), 0, 1, height);
        for (let y = 0; y < base; y += 1) if (data[4 * y + 3] > 40) return Math.round(base - y);
        return 0;
    });
}"""


async def _ink(page: Page, task: str, *places: float) -> list[int]:
    found: list[int] = await page.evaluate(INK, [task, list(places)])
    return found


async def test_a_lost_connection_is_no_silence(browser: Browser) -> None:
    world = new_world()
    for second in range(40):
        world.say("aurora", world.clock.now_ms() - 1000 * second)
    world.publish()
    async with Serving(world) as served, opened(browser, served.url, tolerate=LOST) as page:
        await loaded(page)
        await eventually(lambda: says(page, ".feed .state", "caught up"))
        await served.stop()
        await eventually(lambda: counts(page, '#connection[data-state="reconnecting"]', 1))
        assert (await text(page, "#problems li")).startswith("connection: lost at ")
        assert await text(page, ".feed .state") == "unknown"
        assert await page.locator(".feed").get_attribute("data-state") == "unknown"
        assert await text(page, card("aurora", ".until")) != "now"
        await eventually(lambda: page.evaluate(STEADY))
        rate = await number(page, card("aurora", '[data-count="rate"]'))
        before = await _ink(page, "aurora", 0.7, 0.8, 0.9, 0.95)
        await asyncio.sleep(3)
        assert await _ink(page, "aurora", 0.7, 0.8, 0.9, 0.95) == before and max(before) > 10
        assert await number(page, card("aurora", '[data-count="rate"]')) == rate
        await served.start()
        await eventually(lambda: says(page, ".feed .state", "caught up"), timeout_s=60)
        await eventually(lambda: counts(page, "#problems:not([hidden])", 0))
        await eventually(lambda: says(page, card("aurora", ".until"), "now"))


async def test_before_the_first_post_there_is_no_line(browser: Browser) -> None:
    world = new_world(minutes=0)
    for second in range(20):
        world.say("aurora", world.clock.now_ms() - 1000 * second)
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await settled(page, "tram")

        async def drawn() -> bool:
            world.say("aurora", world.clock.now_ms())
            world.publish()
            early, later, late = await _ink(page, "aurora", 0.1, 0.3, 0.96)
            return early == later == 0 and late > 20

        await eventually(drawn)
        assert await _ink(page, "tram", 0.1, 0.5, 0.9, 0.98) == [0, 0, 0, 0]
        assert await text(page, card("tram", ".mood .word")) == "waiting for the first posts"


async def test_what_was_missed_is_unknown_until_it_is_read(browser: Browser) -> None:
    async with Serving(new_world(minutes=0)) as served, opened(browser, served.url) as page:
        await settled(page)
        known = await page.evaluate("""async () => {
            const { TaskStore } = await import(document.querySelector('link[href$="/store.js"]').href);
            const store = Object.assign(new TaskStore('a'), { configured: true });
            const say = second => store.take({ window_start: new Date(1000 * second).toISOString(), window_seconds: 10,
                revision: 0, final: false, late: 0, all: { total: 1, scored: 0 }, lang: {} });
            const seen = () => store.series(10, 0, 60_000).map(({ unknown, all }) => unknown ? '?' : all.total)
                .join('');
            const states = [seen()];
            store.heard(12_000); say(20); states.push(seen());
            store.replace(10, 0, [], [], 5, 1); states.push(seen());
            store.heard(45_000); states.push(seen());
            return states;
        }""")
        assert known == ["??????", "??1000", "001000", "??1??0"]


@pytest.mark.parametrize("rubbish", ["garbage", "null", "[1]", '{"aurora": 7, "tram": false}', None])
async def test_a_spoilt_or_forbidden_memory_spoils_nothing(browser: Browser, rubbish: str | None) -> None:
    async with Serving(new_world("aurora", "tram", "constructor")) as served, opened(browser, "about:blank") as page:
        if rubbish is None:
            await page.add_init_script(
                "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })"
            )
        else:
            await page.add_init_script(f"localStorage.setItem('open', {rubbish!r})")
        await page.goto(served.url)
        await loaded(page)
        assert await page.locator(card("tram", '.fold[aria-expanded="true"]')).count() == (
            rubbish is None or "tram" not in rubbish
        )
        assert await page.locator(card("constructor", ".fold")).get_attribute("aria-expanded") == "true"
        await page.locator(card("aurora", ".fold")).click()
        assert await page.locator(card("aurora", ".details")).is_hidden()


async def test_paused_time_stands_still_but_the_range_can_be_chosen(browser: Browser) -> None:
    world = new_world(minutes=30, rate=0.3)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await page.get_by_role("button", name="Pause").click()
        before = await number(page, TOTAL)
        world.say("aurora", world.clock.now_ms(), content="while paused")
        world.publish()
        await page.locator("input[value='15']").check(force=True)
        await eventually(lambda: says(page, card("aurora", ".shares .range-words"), "last 15 min"))

        async def fewer() -> bool:
            return 0 < await number(page, TOTAL) < before

        await eventually(fewer)
        await page.locator(card("tram", ".fold")).click()
        assert await page.locator(card("tram", ".details")).is_hidden()
        assert await page.get_by_text("while paused").count() == 0
        await page.get_by_role("button", name="Pause").click()
        await eventually(lambda: page.get_by_text("while paused").count())


async def test_history_that_cannot_be_read_is_said_and_figures_are_partial(browser: Browser) -> None:
    world = new_world()
    tolerate = ("status of 503",)
    async with Serving(world) as served, opened(browser, "about:blank", tolerate=tolerate) as page:

        async def refuse(route: Route) -> None:
            await route.fulfill(status=503, body="{}")

        await page.route("**/api/**", refuse)
        await page.goto(served.url)
        await eventually(lambda: counts(page, '#connection[data-state="live"]', 1))

        async def told() -> bool:
            return "history: could not be read: /api/" in await page.locator("#problems").inner_text()

        await eventually(told)
        assert await text(page, TOTAL) == "–"
        world.say("aurora", world.clock.now_ms(), content="the only one that is known")
        world.publish()
        await eventually(lambda: page.get_by_text("the only one that is known").count())

        async def partial() -> bool:
            return (await text(page, card("aurora", ".shares .range-words"))).startswith("partial: since ")

        await eventually(partial)
        await page.unroute("**/api/**")
        await loaded(page)
        await eventually(lambda: counts(page, "#problems:not([hidden])", 0))
        assert await number(page, TOTAL) > 100
        assert "partial" not in await text(page, card("aurora", ".shares .range-words"))


async def test_word_and_colour_say_which_span_they_are_of(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url) as page:
        await loaded(page)
        assert await text(page, card("aurora", ".mood .over")) == "mood, 10 min"
        assert "mood over 60 s" in await text(page, ".reading") or "mood over 1 min" in await text(page, ".reading")


async def test_a_post_says_which_model_gave_its_score(browser: Browser) -> None:
    world = new_world(minutes=0)
    world.say("aurora", world.clock.now_ms(), label="positive")
    world.say("aurora", world.clock.now_ms() - 1000, label="unscored")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await eventually(lambda: counts(page, ".post", 2))
        model = page.locator(".post .model")
        assert await model.all_text_contents() == ["sentiment-fast"]
        assert await model.get_attribute("title") == "scored by sentiment-fast, version 1.0.0"
        world.say("aurora", world.clock.now_ms(), label="negative", content="live")
        await eventually(lambda: counts(page, ".post .model", 2))


async def test_a_feed_says_how_it_stands_to_its_other_side(browser: Browser) -> None:
    world = new_world()
    now_ms = world.clock.now_ms()

    def show(state: FeedState, watermark_ms: int, why: str = "") -> None:
        world.feed_infos["bluesky"] = FeedInfo(
            "bluesky", True, ["aurora"], state, watermark_ms, 1234, 0, why, since_ms=now_ms - 60_000
        )

    async def shown() -> str:
        return " ".join((await page.locator(".feed", has_text="bluesky").locator("span, bdi").all_text_contents())[1:])

    show(FeedState.DISCONNECTED, now_ms - 65_000, "jetstream.example refuses the connection; next try at 12:00:00 UTC")
    async with Serving(world) as served, opened(browser, served.url) as page:
        since = await page.evaluate("ms => new Date(ms).toLocaleTimeString('en-GB')", now_ms - 60_000)

        async def says_since() -> bool:
            return await shown() == f"bluesky disconnected since {since}"

        await eventually(says_since)
        title = await page.locator(".feed", has_text="bluesky").get_attribute("title")
        assert title == "jetstream.example refuses the connection; next try at 12:00:00 UTC"
        (feed,) = [feed for feed in (await served.get("/api/feeds"))["feeds"] if feed["name"] == "bluesky"]
        assert feed["since"] == rfc3339(now_ms - 60_000)
        show(FeedState.BEHIND, now_ms - 7_200_000)

        async def says_behind() -> bool:
            return (await shown()).startswith("bluesky behind 2 h")

        await eventually(says_behind)
        show(FeedState.CAUGHT_UP, now_ms - 5_000)

        async def says_caught_up() -> bool:
            return await shown() == "bluesky caught up 1,234 posts"

        await eventually(says_caught_up)


async def test_what_waits_is_said_with_what_will_be_done(browser: Browser) -> None:
    world = new_world()
    why = "live posts are scored by sentiment-fast: more wait than the other model can score in time"
    world.health.report("models/sentiment", State.WAITING, why, "it goes back by itself once it has caught up")
    async with Serving(world) as served, opened(browser, served.url) as page:
        line = '#problems li[data-state="waiting"]'
        await eventually(lambda: counts(page, line, 1))
        assert await text(page, line) == f"models/sentiment: {why} — it goes back by itself once it has caught up"
        assert await text(page, f"{line} .part") == "models/sentiment"
        await page.locator(line).evaluate("each => { window.mark = each; }")
        world.lags["agent/pulse"] = 7
        await asyncio.sleep(2.5)
        assert await page.evaluate("window.mark.isConnected"), "it is written anew only when it changes"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("😀" * 300, "😀" * 300),
        ("x" * 400, "x" * 400),
        ("x" * 401, "x" * 400 + "…"),
        ("👨‍👩‍👧" * 130, "👨‍👩‍👧" * 130),
        ("e\u0301" * 401, "e\u0301" * 400 + "…"),
    ],
)
async def test_texts_are_cut_between_characters_and_only_if_they_are_long(
    browser: Browser, content: str, shown: str
) -> None:
    world = new_world(minutes=0)
    world.say("aurora", world.clock.now_ms(), content=content)
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        await eventually(lambda: counts(page, ".post", 1))
        assert await text(page, ".post .text") == shown


async def test_a_text_cut_by_the_server_is_not_cut_within_a_character(browser: Browser) -> None:
    world = new_world(minutes=1)
    family = "👨‍👩‍👧"
    async with Serving(world) as served, opened(browser, served.url) as page:
        await settled(page)
        world.say("aurora", world.clock.now_ms(), content="x" + family * 200)
        await eventually(lambda: page.get_by_text(f"x{family}").count())
        assert await text(page, ".post .text") == "x" + family * 119 + "…"
        await eventually(lambda: shows(page, card("aurora", '[data-count="late"]'), 0))
