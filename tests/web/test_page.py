"""The Pulse page in a browser: it moves, comes back, escapes, and can be used by everybody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Route

from heartbeat.health import State
from tests.web.browser import (
    LOST,
    TOTAL,
    counts,
    eventually,
    loaded,
    needs_browser,
    number,
    opened,
    says,
    settled,
    shows,
    table,
    text,
)
from tests.web.serving import Serving
from tests.web.world import new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

KOLKATA = "Asia/Kolkata"  # half an hour off every whole one


async def test_values_move_without_reload_or_rebuilding(browser: Browser) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        before = await number(page, TOTAL)
        assert before > 100
        await page.evaluate("""() => {
            window.mark = document.querySelector('.plot .main-svg');
            window.removed = 0;
            new MutationObserver(changes => {
                for (const change of changes) window.removed += change.removedNodes.length;
            }).observe(document.querySelector('main'), { childList: true });
        }""")
        for _ in range(7):
            world.say("aurora", world.clock.now_ms(), content="something new", label="positive")
        world.publish()

        async def moved() -> bool:
            return await number(page, TOTAL) == before + 7

        await eventually(moved)
        assert await text(page, '.card[data-task="aurora"] .post .text') == "something new"
        assert await page.evaluate(
            "window.mark === document.querySelector('.plot .main-svg') && window.mark.isConnected"
        )
        assert await page.evaluate("window.removed") == 0
        plotted = (
            "document.querySelector('.plot').data.reduce((sum, trace) => sum + trace.y.reduce((a, b) => a + b), 0)"
        )

        async def drawn() -> bool:
            return bool(await page.evaluate(plotted) == before + 7)

        await eventually(drawn)


async def test_the_line_moves_by_itself_and_stands_still_for_who_wants_calm(browser: Browser) -> None:
    world = new_world()
    looks = """async () => {
        const canvas = document.querySelector('canvas'), seen = new Set();
        for (let at = 0; at < 8; at += 1) {
            seen.add(canvas.toDataURL());
            await new Promise(resolve => setTimeout(resolve, 80));
        }
        return seen.size;
    }"""
    timed = f"async () => {{ const begin = performance.now(); return [await ({looks})(), performance.now() - begin]; }}"
    async with Serving(world) as served:
        async with opened(browser, served.url) as page:
            await loaded(page)

            async def moves() -> bool:
                return bool(await page.evaluate(looks) >= 3)

            await eventually(moves)
            await page.get_by_role("button", name="Pause").click()
            assert await page.evaluate(looks) == 1
            world.say("aurora", world.clock.now_ms(), content="while paused")
            await asyncio.sleep(1.5)
            assert "while paused" not in await text(page, '.card[data-task="aurora"] .posts')
            await page.get_by_role("button", name="Pause").click()
            await eventually(lambda: page.get_by_text("while paused").count())
        async with opened(browser, served.url, reduced_motion="reduce") as page:
            await loaded(page)
            seen, took_ms = await page.evaluate(timed)
            assert seen <= 2 + took_ms / 1000, "more than a step a second"
            assert (
                await page.evaluate("getComputedStyle(document.querySelector('.gauge .value')).transitionDuration")
                == "0s"
            )


async def test_it_comes_back_after_a_restart_with_what_was_said_meanwhile(browser: Browser) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, served.url, tolerate=LOST) as page:
        await loaded(page)
        before = await number(page, TOTAL)
        await page.evaluate("window.mark = 1")
        await served.stop()
        await eventually(lambda: page.locator('#connection[data-state="reconnecting"]').count())
        assert await text(page, "#announcer") == "Connection lost, reconnecting."
        for _ in range(5):
            world.say("aurora", world.clock.now_ms(), content="said while away")
        world.publish()
        await asyncio.sleep(4)
        await served.start()

        async def back() -> bool:
            return await number(page, TOTAL) == before + 5

        await eventually(back, timeout_s=60)
        assert await page.locator('#connection[data-state="live"]').count()
        assert await text(page, '.card[data-task="aurora"] .post .text') == "said while away"
        world.say("aurora", world.clock.now_ms())
        world.publish()
        await eventually(lambda: shows(page, TOTAL, before + 6))
        assert await page.evaluate("window.mark") == 1


async def test_a_wiped_server_leaves_nothing_of_the_old_figures(browser: Browser) -> None:
    """What the server does not know any more goes from the page too."""
    old, new = new_world(), new_world(minutes=0)
    new.say("aurora", new.clock.now_ms(), content="the only one")
    new.publish()
    first = Serving(old)
    await first.start()
    try:
        async with opened(browser, first.url, tolerate=LOST) as page:
            await loaded(page)
            await first.stop()
            async with Serving(new, first.port):
                await eventually(lambda: shows(page, TOTAL, 1), timeout_s=60)
                assert await page.locator('.card[data-task="aurora"] .post').count() == 1
    finally:
        await first.stop()


HOSTILE = {
    "markup": '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>',
    "right to left": "\u202e\u202egnihtemos\u2066\u2067 esle \u202d\u202a",
    "zalgo": "Z" + "\u0321\u0322\u0327\u0328\u0300\u0301\u0302\u0303" * 60 + "algo",
    "long word": "w" * 10_000,
    "long text": "many words " * 1_000,
    "entities": "&lt;b&gt; &amp;amp; \"'`${7*7}{{7*7}}",
    "controls": "a\x00b\x07c\x1b[31m\ufeff\u2028\u2029d",
    "lone surrogates would not travel": "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
}


async def test_whatever_is_posted_stays_text_and_in_its_place(browser: Browser) -> None:
    world = new_world(minutes=0)
    for at, content in enumerate(HOSTILE.values()):
        now_ms = world.clock.now_ms() - 1000 * at
        world.say(
            "aurora", now_ms, content=content, source="<b onclick=alert(1)>x</b>", lang="x<i>y", post_id=f"<{at}>"
        )
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await eventually(lambda: counts(page, ".card[data-task=aurora] .post", len(HOSTILE)))
        for at, content in enumerate(HOSTILE.values()):
            world.say("aurora", world.clock.now_ms() - 10 * at, content=content, post_id=f"live-{at}")
        await eventually(lambda: counts(page, ".card[data-task=aurora] .post", 8))
        for kind in ("languages", "timeline"):
            await table(page, "aurora", kind)
        assert await page.evaluate("window.pwned") is None
        assert await page.locator("main :is(img, script, b, i, iframe)").count() == 0
        shown = await page.locator('.card[data-task="aurora"] .post .text').all_text_contents()
        assert any(HOSTILE["markup"] in each for each in shown)
        assert max(len(each) for each in shown) < 3_000
        for width in (1360, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            heights = await page.locator(".post").evaluate_all(
                "rows => rows.map(row => row.getBoundingClientRect().height)"
            )
            assert max(heights) < 130


async def test_tables_say_what_the_charts_show(browser: Browser) -> None:
    world = new_world(minutes=14, rate=0.8)
    world.say("aurora", world.clock.now_ms() - 60_000, label="unscored")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url, timezone_id=KOLKATA) as page:
        await loaded(page)
        await page.locator("input[value='15']").check(force=True)
        await loaded(page)
        await page.get_by_role("button", name="Pause").click()
        timeline, languages, shares, pulse = [
            await table(page, "aurora", kind) for kind in ("timeline", "languages", "shares", "pulse")
        ]
        rows = [[float(cell) for cell in row[1:6]] for row in reversed(timeline)]

        async def chart_agrees() -> bool:
            chart = await page.evaluate("document.querySelector('.plot').data.map(trace => trace.y)")
            return [list(column) for column in zip(*chart, strict=True)] == rows

        await eventually(chart_agrees)
        moments = await page.locator('.card[data-task="aurora"] .twin[data-twin="timeline"] tbody th').evaluate_all(
            "cells => cells.map(cell => Date.parse(cell.title.replace(' UTC', 'Z')))"
        )
        drawn_at = await page.evaluate("document.querySelector('.plot').data[0].x")
        assert drawn_at == [moment + 5_000 for moment in reversed(moments)]
        told = (await served.get("/api/windows?task=aurora&size=10"))["windows"]
        by_label = {
            label: sum(row[label] for row in told)
            for label in ("positive", "neutral", "negative", "mixed", "scored", "unscored")
        }
        assert by_label == {row[0]: int(row[1]) for row in shares}
        assert sum(int(row[6]) for row in timeline) == sum(row["total"] for row in told)
        assert sum(int(row[2]) for row in languages) == sum(row["total"] for row in told)
        spoken = (await served.get("/api/windows?task=aurora&size=10&by=lang"))["windows"]
        assert {row[1]: int(row[2]) for row in languages} == {
            key: sum(row["total"] for row in spoken if row["key"] == key) for key in {row["key"] for row in spoken}
        }
        for label in ("positive", "neutral", "negative", "mixed"):
            gauge = page.locator(f'.card[data-task="aurora"] .gauge[data-label="{label}"]')
            share = round(100 * by_label[label] / by_label["scored"])
            assert await gauge.get_attribute("aria-valuenow") == str(share)
            assert await gauge.get_attribute("aria-valuetext") == (
                f"{share} %, {by_label[label]:,} of {by_label['scored']:,} scored posts"
            )
            assert [row[2] for row in shares if row[0] == label] == [f"{share} %"]
        totals = {row["window_start"][:19].replace("T", " ") + " UTC": row["total"] for row in told}
        starts = await page.locator('.card[data-task="aurora"] .twin[data-twin="pulse"] tbody th').evaluate_all(
            "cells => cells.map(cell => cell.title)"
        )
        assert len(starts) >= 60
        assert [int(row[1]) for row in pulse] == [totals.get(start, 0) for start in starts]


async def test_everything_can_be_reached_and_used_by_keyboard(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url) as page:
        await loaded(page)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        assert await page.evaluate("document.activeElement.getBoundingClientRect().top >= 0")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "tasks"
        await page.evaluate("document.activeElement.blur(); document.body.focus()")
        await page.locator(".skip").focus()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.value") == "60"
        await page.keyboard.press("ArrowRight")
        assert await page.evaluate("document.activeElement.value") == "360"
        await eventually(lambda: page.locator("input[value='360']:checked").count())
        assert await page.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle") != "none"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "pause"
        await page.keyboard.press("Space")
        assert await page.locator("#pause[aria-pressed=true]").count()
        await page.keyboard.press("Space")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "over time"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "fold"
        await page.keyboard.press("Enter")
        assert not await page.locator('.card[data-task="aurora"] .details').is_visible()
        await page.keyboard.press("Enter")
        assert await page.locator('.card[data-task="aurora"] .details').is_visible()
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        await page.keyboard.press("Enter")
        await eventually(lambda: page.locator('.twin[data-twin="pulse"] tbody tr').count())
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "scroll"


async def test_a_screen_reader_is_told_what_is_there(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url) as page:
        await loaded(page)
        assert await page.get_by_role("heading", level=1).count() == 1
        headings = [" ".join(each.split()) for each in await page.get_by_role("heading", level=2).all_text_contents()]
        assert headings[0].startswith("Share of voice") and headings[1:] == ["Aurora One", "City trams"]
        assert await page.get_by_role("article", name="Aurora One").count() == 1
        assert await page.get_by_role("meter", name="positive").count() == 2
        labels = [await each.get_attribute("aria-label") or "" for each in await page.get_by_role("img").all()]
        assert labels[0].startswith("Share of voice") and "posts a minute" in labels[1]
        assert await page.get_by_role("button", name="Details of City trams").count() == 1
        unnamed = await page.evaluate("""() => [
                ...document.querySelectorAll('button, a, input, [role]:not([role=rowgroup]), summary, canvas')
            ].filter(each => !(each.hidden || each.getAttribute('aria-label') || each.textContent.trim()
                || each.labels?.length || each.getAttribute('role') === 'status')
            ).map(each => each.outerHTML.slice(0, 100))""")
        assert unnamed == []
        chatter = await page.locator("[aria-live], [role=status], [role=log], [role=alert]").count()
        assert chatter == 1


LABELS = ("positive", "neutral", "negative", "mixed", "unscored")
COLOURS = """selector => {
    const wanted = getComputedStyle(document.querySelector(selector)), shown = [];
    const parse = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    let ground = document.querySelector(selector), back;
    do { back = getComputedStyle(ground).backgroundColor; ground = ground.parentElement; }
    while (/rgba\\(.*, 0\\)|transparent/.test(back) && ground);
    const light = colour => parse(colour).map(c => c / 255).map(
        c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4
    ).reduce((sum, c, at) => sum + c * [.2126, .7152, .0722][at], 0);
    const [one, two] = [light(wanted.color), light(back)].sort((a, b) => b - a);
    return (one + .05) / (two + .05);
}"""


@pytest.mark.parametrize(
    ("width", "scheme"), [(1360, "light"), (1360, "dark"), (820, "light"), (390, "dark"), (320, "light")]
)
async def test_it_is_legible_in_light_and_dark_on_any_screen(browser: Browser, scheme: str, width: int) -> None:
    world = new_world()
    for label in LABELS:
        world.say("aurora", world.clock.now_ms(), label=label)
    world.publish()
    context: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with Serving(world) as served, opened(browser, served.url, **context) as page:
        await loaded(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for selector in (
            "h2", ".query", ".mood .word", "dd", "dt", ".pulse .reading", ".gauge .name", ".language .share",
            *(f'.post[data-label="{label}"] .chip' for label in LABELS),
            ".post .text", ".facts .source", ".twin summary", ".feeds .detail", "#connection", ".range span", "footer",
        ):  # fmt: skip
            await page.wait_for_selector(selector, state="attached")
            assert await page.evaluate(COLOURS, selector) >= 4.5, selector
        inked = """selector => {
            const canvas = document.querySelector(selector);
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            let inked = 0;
            for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 40) {
                inked += 1;
                colours.add(data[at] >> 4 << 8 | data[at + 1] >> 4 << 4 | data[at + 2] >> 4);
            }
            return [inked, colours.size];
        }"""

        async def drawn() -> bool:
            pixels, colours = await page.evaluate(inked, "canvas")
            return bool(pixels > 500 and colours > 3 and await page.locator(".plot .bars path").count() > 10)

        await eventually(drawn)
        boxes = await page.locator(".details > section").evaluate_all(
            "all => all.slice(0, 4).map(each => each.getBoundingClientRect())"
            ".map(({x, y, width, height}) => [x, y, width, height])"
        )
        for at, (x, y, wide, high) in enumerate(boxes):
            assert wide > 150 and high > 60
            for other_x, other_y, other_wide, other_high in boxes[at + 1 :]:
                apart = (
                    x + wide <= other_x or other_x + other_wide <= x or y + high <= other_y or other_y + other_high <= y
                )
                assert apart
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(int(part) for part in ground[4:-1].split(",")) < 200) is (scheme == "dark")


async def test_the_line_goes_up_with_volume_and_its_colour_with_mood(browser: Browser) -> None:
    world = new_world("good", "bad", minutes=0)
    now_ms = world.clock.now_ms()
    for second in range(600):
        world.say("good", now_ms - 1000 * second, label="positive")
        for _ in range(1 if second > 300 else 6):
            world.say("bad", now_ms - 1000 * second, label="negative")
    world.publish()
    ink = """canvas => {
        const { width, height } = canvas, data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
        const place = (x, y) => 4 * (y * width + x);
        const top = x => {
            for (let y = 0; y < height; y += 1) if (data[place(x, y) + 3] > 200) return height - y;
            return 0;
        };
        const at = x => [...data.slice(place(x, height - top(x)), place(x, height - top(x)) + 3)];
        const early = Math.round(width * .3), late = Math.round(width * .85);
        return [top(early), top(late), at(late)];
    }"""
    async with Serving(world) as served, opened(browser, served.url, reduced_motion="reduce") as page:
        await loaded(page, "good")
        await settled(page, "bad")

        async def drawn() -> bool:
            _, _, (good_red, good_green, good_blue) = await page.locator("canvas").nth(0).evaluate(ink)
            early, late, (bad_red, bad_green, _) = await page.locator("canvas").nth(1).evaluate(ink)
            loud = bool(late > 3 * early)
            return loud and bool(min(good_green, good_blue) > good_red + 40 and bad_red > bad_green + 40)

        await eventually(drawn)


async def test_the_first_paint_does_not_wait_for_the_charts(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, "about:blank", tolerate=("ERR_FAILED",)) as page:
        blocked: list[Route] = []
        await page.route("**/plotly.min.js", lambda route: blocked.append(route))
        await page.goto(served.url)
        await eventually(lambda: page.locator('.card[data-task="aurora"] .post').count())

        async def there() -> bool:
            return await number(page, TOTAL) > 100

        await eventually(there)
        assert await page.locator(".plot .main-svg").count() == 0
        await eventually(lambda: counts(page, "script[src*=plotly]", 1))
        for route in blocked:
            await route.abort()
        await eventually(lambda: says(page, ".plot", "the charts' script could not be loaded; it is tried again"))


async def test_it_says_what_it_waits_for(browser: Browser) -> None:
    world = new_world(minutes=0)
    world.is_ready = False
    world.health.report("feed/demo", State.FAILED, "connection refused", "it is tried again every 30 s")
    async with Serving(world) as served, opened(browser, served.url) as page:
        await eventually(lambda: says(page, ".mood .word", "recovering"))
        expected = [
            "recovering: what was known is being read back",
            "feed/demo: connection refused — it is tried again every 30 s",
        ]

        async def listed() -> bool:
            return await page.locator("#problems li").all_text_contents() == expected

        await eventually(listed)
        world.is_ready = True
        await eventually(lambda: says(page, ".mood .word", "waiting for the first posts"))
        world.health.report("feed/demo", State.OK)
        await eventually(lambda: counts(page, "#problems:not([hidden])", 0))
        assert await text(page, ".plot .empty") == "no posts yet"
        world.say("aurora", world.clock.now_ms(), content="the first", label="positive")
        world.publish()
        await eventually(lambda: shows(page, TOTAL, 1))
        await eventually(lambda: page.get_by_text("the first", exact=True).count())
        assert not await page.locator('.card[data-task="aurora"] .latest .empty').is_visible()


async def test_a_replayed_task_shows_up_at_the_time_of_its_posts(browser: Browser) -> None:
    world = new_world(minutes=1)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        begin_ms = 1_709_290_800_000
        for minute in range(120):
            world.say("old-file", begin_ms + minute * 60_000, label="positive")
        world.publish()
        await eventually(lambda: shows(page, '.card[data-task="old-file"] [data-count="total"]', 120))
        assert "2024" in await text(page, '.card[data-task="old-file"] .pulse .from')
        assert "replayed" in await text(page, '.card[data-task="old-file"] .query')
        await page.locator('.card[data-task="old-file"] .plot').scroll_into_view_if_needed()
        await eventually(lambda: page.locator('.card[data-task="old-file"] .plot .main-svg').count())
        await loaded(page, "old-file")
        shown = await page.evaluate("document.querySelector('.card[data-task=\"old-file\"] .plot').data[0].y")
        assert (len(shown), sum(shown)) == (120, 120)
        await page.reload()
        await eventually(lambda: shows(page, '.card[data-task="old-file"] [data-count="total"]', 120))


async def test_a_deleted_post_goes_and_a_corrected_window_is_shown(browser: Browser) -> None:
    world = new_world(minutes=0)
    said = world.say("aurora", world.clock.now_ms(), content="to be deleted", label="negative")
    world.say("aurora", world.clock.now_ms(), content="to be kept", label="positive")
    world.publish()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await eventually(lambda: shows(page, TOTAL, 2))
        world.take_back(said)
        world.publish()
        await eventually(lambda: shows(page, TOTAL, 1))
        await eventually(lambda: counts(page, '.card[data-task="aurora"] .post', 1))
        assert await page.locator('.card[data-task="aurora"] .post .text').all_text_contents() == ["to be kept"]
        gauge = page.locator('.card[data-task="aurora"] .gauge[data-label="positive"]')
        assert await gauge.get_attribute("aria-valuenow") == "100"


async def test_twenty_tasks_are_one_heartbeat_each(browser: Browser) -> None:
    names = [f"task-{number}" for number in range(20)]
    async with Serving(new_world(*names, minutes=3)) as served, opened(browser, served.url) as page:
        await loaded(page, "task-0")
        assert await page.locator(".card").count() == 20
        assert await page.locator(".card:not(.folded)").count() == 3
        await page.get_by_role("button", name="Details of task-19").click()
        await loaded(page, "task-19")
        await page.reload()
        await loaded(page, "task-19")


async def test_a_young_task_fills_its_charts(browser: Browser) -> None:
    """Nobody wants to look at an hour of nothing after the first minute."""
    world = new_world(minutes=3, rate=1)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        spoken = await text(page, ".shares .range-words")
        assert spoken.startswith("since ")
        shown = await page.evaluate("document.querySelector('.plot').data[0].x.length")
        assert shown in (24, 30)
        rate = await number(page, '.card[data-task="aurora"] [data-count="rate"]')
        total = await number(page, TOTAL)
        assert total / 4 < rate < total / 2.8
        for hours in (1, 20):
            world.say("tram", world.clock.now_ms() - hours * 3_600_000)
        world.publish()
        await page.reload()
        await loaded(page)
        assert await text(page, '.card[data-task="tram"] .shares .range-words') == "last 60 min"
        await page.locator("input[value='1440']").check(force=True)
        await eventually(lambda: says(page, '.card[data-task="tram"] .shares .range-words', "last 24 h"))
        posts = (await served.get("/api/posts?task=tram&limit=1000"))["posts"]
        await eventually(lambda: shows(page, '.card[data-task="tram"] [data-count="total"]', len(posts)))


async def test_posts_that_are_being_read_stay_in_place(browser: Browser) -> None:
    world = new_world(minutes=2)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await page.locator('.card[data-task="aurora"] .post').nth(2).hover()
        before = await page.locator('.card[data-task="aurora"] .post .text').all_text_contents()
        for at in range(3):
            world.say("aurora", world.clock.now_ms(), content=f"newcomer {at}")
        await eventually(lambda: says(page, '.card[data-task="aurora"] .more', "3 more"))
        assert await page.locator('.card[data-task="aurora"] .post .text').all_text_contents() == before
        await page.mouse.move(5, 5)
        await eventually(lambda: page.get_by_text("newcomer 2").count())


async def test_an_open_page_is_told_of_a_newer_one(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, served.url, tolerate=LOST) as page:
        await loaded(page)
        await served.stop()
        monkeypatch.setattr("heartbeat.web.events.Events._hello", _newer)
        await served.start()
        await eventually(lambda: page.get_by_text("Heartbeat was updated").count(), timeout_s=60)


def _newer(self: Any, resumed: bool) -> bytes:
    return b'{"resumed":false,"ready":true,"now":"2025-01-01T00:00:00.000Z","version":"another"}'
