"""Posts are corrected on the page: by mouse and by keys, while the list moves, and by two people at once."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page

from heartbeat.records import Scored
from tests.web.browser import card, counts, eventually, loaded, needs_browser, opened, says, text
from tests.web.serving import Serving
from tests.web.world import World, new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

DIALOG = "#correction[open]"
NOTICE = "#corrected:not([hidden])"


def one_post(**more: Any) -> tuple[World, Scored]:
    """A world whose newest post is known."""
    world = new_world("aurora")
    fields = {"content": "so bad <b>it</b> is good", "label": "negative", "lang": "en", **more}
    return world, world.say("aurora", world.clock.now_ms(), **fields)


def row(page: Page, words: str) -> Locator:
    return page.locator(card("aurora", ".post"), has_text=words)


async def begin(page: Page, words: str = "so bad") -> None:
    await loaded(page)
    await row(page, words).locator(".fix").click()
    await page.wait_for_selector(DIALOG)


async def gone(page: Page, selector: str) -> None:
    await eventually(lambda: counts(page, selector, 0))


async def test_correct_undo_and_correct_for_good(browser: Browser) -> None:
    world, post = one_post()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await begin(page)
        assert await text(page, "#correction .text") == "so bad <b>it</b> is good"
        assert await text(page, "#correction .was") == "The model said negative, English."
        assert await text(page, "#correction .save") == "Confirm as right"
        await page.locator('#correction label[data-label="mixed"]').click()
        await page.locator("#correction select").select_option("de")
        assert await text(page, "#correction .save") == "Save the correction"
        await page.locator("#correction .save").click()
        await gone(page, DIALOG)
        assert await text(page, f"{NOTICE} span") == "Post corrected to mixed, German."
        mine = row(page, "so bad")
        assert (await mine.locator(".said").text_content() or "").startswith("✎◆ mixed")
        assert await mine.locator(".was").all_text_contents() == ["▼ negative", "en"]
        assert await mine.locator(".right").text_content() == "de"
        (kept,) = world.store.page()
        assert (kept.label, kept.lang, kept.post.id) == ("mixed", "de", post.id)
        await page.locator(f"{NOTICE} button").click()
        await eventually(lambda: says(page, f"{NOTICE} span", "Correction taken back."))
        assert (await mine.locator(".said").count(), world.store.page()) == (0, [])

        await mine.locator(".fix").click()
        await page.locator('#correction label[data-label="positive"]').click()
        await page.locator("#correction .save").click()
        await gone(page, DIALOG)
        await page.reload()
        await loaded(page)
        mine = row(page, "so bad")
        assert await mine.locator(".said .glyph").text_content() == "▲"
        told = await mine.locator(".said").get_attribute("title") or ""
        assert told.startswith("corrected to positive; the model said negative, English, ") and told.endswith("label")
        await mine.locator(".fix").click()
        assert await page.locator('#correction input[value="positive"]').is_checked()
        await page.get_by_role("button", name="Take the correction back").click()
        await gone(page, DIALOG)
        assert (await mine.locator(".said").count(), world.store.page()) == (0, [])


async def test_confirm(browser: Browser) -> None:
    world, _ = one_post()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await begin(page)
        await page.get_by_role("button", name="Confirm as right").click()
        await gone(page, DIALOG)
        assert await text(page, f"{NOTICE} span") == "Post confirmed as right."
        await eventually(lambda: says(page, "#announcer", "Post confirmed as right."))
        assert await row(page, "so bad").locator(".pen").text_content() == "✓"
        (kept,) = world.store.page()
        assert kept.confirms and (kept.label, kept.lang) == ("negative", "en")


async def test_by_keys_alone(browser: Browser) -> None:
    world, _ = one_post()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        await row(page, "so bad").locator(".fix").focus()
        name = await page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name == "Correct or confirm: so bad <b>it</b> is good"
        for at in range(12):  # what has the focus stays, whatever comes
            world.say("aurora", world.clock.now_ms(), content=f"newcomer {at}")
        await eventually(lambda: counts(page, card("aurora", ".more:not([hidden])"), 1))
        await page.keyboard.press("Enter")
        await page.wait_for_selector(DIALOG)
        await page.keyboard.press("ArrowRight")  # from negative to mixed
        await page.keyboard.press("Tab")
        await page.keyboard.press("G")  # German, in the list of languages
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Save the correction"
        await page.keyboard.press("Enter")
        await gone(page, DIALOG)
        (kept,) = world.store.page()
        assert (kept.label, kept.lang) == ("mixed", "de")
        assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == name
        assert await row(page, "so bad").locator(".said").count() == 1
        await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")
        await gone(page, DIALOG)
        assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == name
        await page.keyboard.press("Shift+Tab")
        await page.locator("#pause").focus()
        await eventually(lambda: row(page, "newcomer 11").count())


async def test_the_list_moves_on_while_somebody_chooses(browser: Browser) -> None:
    world, post = one_post()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await begin(page)
        await page.locator('#correction label[data-label="mixed"]').click()
        for at in range(20):
            world.say("aurora", world.clock.now_ms(), content=f"newcomer {at}")
        world.publish()
        await eventually(lambda: counts(page, card("aurora", ".more:not([hidden])"), 1))
        assert await page.locator('#correction input[value="mixed"]').is_checked()
        assert await text(page, "#correction .text") == "so bad <b>it</b> is good"
        await page.locator("#correction .save").click()
        await gone(page, DIALOG)
        assert [each.post.id for each in world.store.page()] == [post.id]
        await page.mouse.move(5, 5)
        await page.locator("#pause").focus()
        await eventually(lambda: row(page, "newcomer 19").count())
        await gone(page, card("aurora", ".post .said"))


async def test_a_post_that_is_deleted_meanwhile(browser: Browser) -> None:
    world, post = one_post()
    failed = "the server responded with a status of 404"
    async with Serving(world) as served, opened(browser, served.url, tolerate=(failed,)) as page:
        await begin(page)
        world.take_back(post)
        await page.locator("#correction .save").click()
        await eventually(
            lambda: page.locator("#correction .problem", has_text="Not saved: there is no such post").count()
        )
        assert await page.locator("#correction .problem").get_attribute("role") == "alert"
        await page.get_by_role("button", name="Cancel").click()
        await gone(page, DIALOG)
        assert world.store.page() == []


async def test_two_pages(browser: Browser) -> None:
    world, _ = one_post()
    failed = "the server responded with a status of 409"
    async with (
        Serving(world) as served,
        opened(browser, served.url) as first,
        opened(browser, served.url, tolerate=(failed,)) as second,
    ):
        await begin(second)
        await begin(first)
        await first.locator('#correction label[data-label="mixed"]').click()
        await first.locator("#correction .save").click()
        await gone(first, DIALOG)
        await second.locator('#correction label[data-label="positive"]').click()
        await second.locator("#correction .save").click()
        await eventually(lambda: second.locator("#correction .problem", has_text="corrected elsewhere").count())
        assert await text(second, "#correction .was") == "The model said negative, English; corrected to mixed."
        assert await second.locator('#correction input[value="positive"]').is_checked(), "the choice is not lost"
        await second.locator("#correction .save").click()
        await gone(second, DIALOG)
        assert [each.label for each in world.store.page()] == ["positive"]
        assert [each.label for each in world.store.page(every=True)] == ["mixed", "positive"]


async def test_a_server_that_has_gone(browser: Browser) -> None:
    world, _ = one_post()
    async with Serving(world) as served, opened(browser, served.url, tolerate=("ERR_",)) as page:
        await begin(page)
        await served.stop()
        await page.locator("#correction .save").click()
        await eventually(lambda: page.locator("#correction .problem", has_text="cannot be reached").count())
        await served.start()
        await eventually(lambda: page.locator('#connection[data-state="live"]').count())
        await page.locator("#correction .save").click()
        await gone(page, DIALOG)
        assert len(world.store.page()) == 1


async def test_a_post_without_a_label_gets_one_and_one_without_text_cannot_be_corrected(browser: Browser) -> None:
    world, _ = one_post(content="hm", label="unscored", lang="und")
    bare = world.say("aurora", world.clock.now_ms() - 1_000, content="forgotten", label="positive")
    kept = world.kept["aurora", "x", bare.id]
    kept.row = kept.row._replace(content=None)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await begin(page, "hm")
        assert await page.locator('#correction label[data-label="unscored"] input').is_checked()
        await page.locator('#correction label[data-label="neutral"]').click()
        await page.locator("#correction .save").click()
        await gone(page, DIALOG)
        (correction,) = world.store.page()
        assert (correction.label, correction.post.label, correction.lang) == ("neutral", None, "und")
        assert await row(page, "text no longer kept").locator(".fix").count() == 0


async def test_on_a_phone_it_fits(browser: Browser) -> None:
    world, _ = one_post(content="a long word: " + "x" * 300 + " and more of it " * 60)
    phone: dict[str, Any] = {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True}
    async with Serving(world) as served, opened(browser, served.url, **phone) as page:
        await loaded(page)
        await row(page, "a long word").locator(".fix").tap()
        await page.wait_for_selector(DIALOG)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        box = await page.locator("#correction").bounding_box()
        assert box is not None and box["width"] <= 320 and box["height"] <= 568
        sizes: list[list[float]] = await page.locator(
            "#correction button:visible, #correction fieldset label:visible, .post .fix"
        ).evaluate_all(
            "all => all.map(each => each.getBoundingClientRect()).map(({ width, height }) => [width, height])"
        )
        small = [size for size in sizes if min(size) < 24]
        assert small == []
        await page.locator('#correction label[data-label="mixed"]').tap()
        await page.locator("#correction .save").tap()
        await gone(page, DIALOG)
        seen = await page.locator(NOTICE).bounding_box()
        assert seen is not None and seen["x"] >= 0 and seen["x"] + seen["width"] <= 320
