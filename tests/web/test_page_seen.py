"""Who sees no red and green, who forces colours, and who sees nothing: the page says the same to all."""

from __future__ import annotations

import itertools

import pytest
from playwright.async_api import Browser

from tests.web.browser import card, counts, eventually, loaded, needs_browser, opened
from tests.web.serving import Serving
from tests.web.world import new_world

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]

Colour = tuple[float, float, float]
# Machado, Oliveira and Fernandes 2009: what is left of linear RGB without the pigment for green, and for red.
BLIND = {
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
}


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return parts[0], parts[1], parts[2]


def light(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: Colour) -> Colour:
    """Oklab, in which distances are about what people see."""
    red, green, blue = (max(part, 0.0) for part in colour)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.793617785 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.428592205 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.808675766 * short,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_labels_differ_for_everybody(browser: Browser, scheme: str) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url, color_scheme=scheme) as page:
        names = ["positive", "neutral", "negative", "mixed", "unscored", "card"]
        read = """names => {
            const style = getComputedStyle(document.documentElement);
            return names.map(name => style.getPropertyValue(`--${name}`).trim());
        }"""
        colours = dict(zip(names, map(linear, await page.evaluate(read, names)), strict=True))
        for name in names[:-1]:
            assert contrast(colours[name], colours["card"]) >= 3, name
        for name in ("positive", "negative", "mixed"):
            assert contrast(colours[name], colours["neutral"]) >= 2, name
        for kind, matrix in BLIND.items():
            seen = {
                name: lab(tuple(sum(m * part for m, part in zip(row, colours[name], strict=True)) for row in matrix))  # type: ignore[arg-type]
                for name in names[:4]
            }
            for one, other in itertools.combinations(seen, 2):
                apart = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
                assert apart > 0.1, (kind, one, other)


async def test_the_chart_has_a_legend_and_its_parts_have_edges(browser: Browser) -> None:
    world = new_world()
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        legend = page.locator(card("aurora", ".legend li"))
        assert [" ".join(each.split()) for each in await legend.all_text_contents()] == [
            "▲ positive", "● neutral", "▼ negative", "◆ mixed", "○ unscored",
        ]  # fmt: skip
        assert await page.locator(card("aurora", ".legend")).is_visible()
        edges = await page.evaluate(
            "document.querySelector('.plot').data.map(({ y, marker: { line } }) =>"
            " y.every((n, at) => (n > 0) === (line.width[at] > 0)))"
        )
        assert edges == [True] * 5
        assert await page.evaluate("document.querySelector('.plot').data[4].marker.pattern.shape") == "/"


async def test_what_is_chosen_shows_in_forced_colours(browser: Browser) -> None:
    async with Serving(new_world()) as served, opened(browser, served.url, forced_colors="active") as page:
        await loaded(page)
        look = """() => [...document.querySelectorAll('.range span, #pause')]
            .map(each => getComputedStyle(each)).map(({ backgroundColor, color }) => backgroundColor + color)"""
        _, hour, *others = await page.evaluate(look)
        assert hour not in others
        await page.get_by_role("button", name="Pause").click()
        *_, pressed = await page.evaluate(look)
        assert pressed == hour


async def test_a_replayed_tasks_button_has_a_name(browser: Browser) -> None:
    world = new_world(minutes=1)
    async with Serving(world) as served, opened(browser, served.url) as page:
        await loaded(page)
        for minute in range(5):
            world.say("old-file", 1_709_290_800_000 + minute * 60_000)
        world.publish()
        await eventually(lambda: counts(page, card("old-file"), 1))
        await eventually(lambda: page.get_by_role("button", name="Details of old-file", exact=True).count())
