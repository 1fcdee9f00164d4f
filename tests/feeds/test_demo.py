from __future__ import annotations

import asyncio
import re
from collections import Counter
from itertools import groupby
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.feeds.base import Delivery, FeedState
from heartbeat.feeds.demo import POSTS_PER_S, DemoFeed, Line, script
from heartbeat.records import Post
from heartbeat.tasks import LANGUAGES, Matcher, load
from heartbeat.testing.clock import FakeClock

CONFIG = Path(__file__).resolve().parent.parent.parent / "config"
PHASES = ["launch", "praise", "outage", "anger", "apology", "recovery"]
UNSCORED = frozenset({"ca", "eu", "hi", "ja", "kk", "ko", "lt", "ms", "uk", "war"})
"""Languages without evidence to train sentiment from."""


def test_the_story_is_long_and_of_many_languages() -> None:
    lines = script()
    assert len({line.content for line in lines}) == len(lines) >= 400
    assert len({line.lang for line in lines}) >= 15
    assert {line.lang for line in lines} <= LANGUAGES
    assert len({line.lang for line in lines} & UNSCORED) >= 3
    assert sum(line.lang != "en" for line in lines) > len(lines) / 2


def test_the_story_has_its_phases_in_order_each_mixed() -> None:
    lines = script()
    assert [phase for phase, _ in groupby(lines, key=lambda line: line.phase)] == PHASES
    for phase in PHASES:
        part = [line for line in lines if line.phase == phase]
        assert len(part) >= 50
        assert len({line.lang for line in part}) >= 20
        assert len({line.source for line in part}) >= 4


def test_the_story_looks_like_the_networks() -> None:
    contents = [line.content for line in script()]
    for sign in ("@", "#", "https://example.", "😡", "❤", "?", "!!"):
        assert any(sign in content for content in contents), sign
    for content in contents:
        assert content == content.strip() and "\n" not in content and 10 < len(content) <= 280
        for host in re.findall(r"https?://([^/\s]+)", content):
            assert host in ("example.com", "example.org"), "only names that are reserved for examples"


def test_an_author_stays_on_one_network() -> None:
    networks = Counter(author for author, _ in {(line.author, line.source) for line in script()})
    assert {author for author, count in networks.items() if count > 1} == set()


def test_the_tasks_that_ship_follow_the_story() -> None:
    tasks = [task for task in load(CONFIG) if DemoFeed.name in task.feeds]
    assert len(tasks) >= 2
    matcher = Matcher(tasks)
    hits = Counter(name for line in script() for name in matcher.match(line.content))
    assert set(hits) == {task.name for task in tasks}
    assert all(count >= 50 for count in hits.values())
    assert sum(1 for line in script() if matcher.match(line.content)) > 0.95 * len(script())
    for phase in PHASES:
        assert all(
            any(task.name in matcher.match(line.content) for line in script() if line.phase == phase) for task in tasks
        )


LINES = [Line("x" if n % 2 else "reddit", f"a{n}", f"text {n}", "en", "launch") for n in range(5)]


async def play(count: int, cursor: bytes | None = None, lines: list[Line] | None = None) -> list[Delivery]:
    clock = FakeClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    deliveries = []
    async for delivery in DemoFeed(clock, lines=lines or LINES, sleep=sleep).open(cursor):
        deliveries.append(delivery)
        if len(deliveries) > count:
            break
    return deliveries


def posts(deliveries: list[Delivery]) -> list[Post]:
    return [post for delivery in deliveries for post in delivery.posts]


async def test_it_plays_for_ever_with_new_ids() -> None:
    played = posts(await play(17))
    assert [post.content for post in played] == [f"text {n % 5}" for n in range(17)]
    assert len({post.id for post in played}) == 17


async def test_a_post_is_made_now_and_comes_a_few_times_a_second() -> None:
    played = posts(await play(50))
    assert all(post.time_ms == post.received_ms for post in played)
    gaps = [b.time_ms - a.time_ms for a, b in zip(played, played[1:], strict=False)]
    slowest, fastest = (1000 / rate for rate in POSTS_PER_S)
    assert all(fastest - 1 <= gap <= slowest + 1 for gap in gaps)
    assert len(set(gaps)) > 20


async def test_only_networks_that_know_it_say_the_language() -> None:
    assert {post.source: post.lang_hint for post in posts(await play(5))} == {"x": "en", "reddit": None}


async def test_it_is_caught_up_from_the_first_moment() -> None:
    first, *rest = await play(3)
    assert not first.posts
    assert {delivery.state for delivery in [first, *rest]} == {FeedState.CAUGHT_UP}


@given(st.integers(0, 15), st.integers(0, 15))
def test_after_a_stop_it_goes_on_with_the_next_post(before: int, after: int) -> None:
    whole = posts(asyncio.run(play(before + after)))
    first = asyncio.run(play(before))
    rest = asyncio.run(play(after, first[-1].cursor))
    assert [post.id for post in [*posts(first), *posts(rest)]] == [post.id for post in whole]


async def test_a_script_that_became_shorter_begins_the_next_round() -> None:
    cursor = (await play(4))[-1].cursor
    assert [post.id for post in posts(await play(3, cursor, LINES[:2]))] == ["demo-1-0", "demo-1-1", "demo-2-0"]
