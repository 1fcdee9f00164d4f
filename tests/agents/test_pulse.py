"""The life of windows, step by step: interims, closing, corrections, sealing, late posts, feeds that come and go."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from heartbeat import topics
from heartbeat.agents.pulse_part import SLICE, PulsePart
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Late, Pulse
from heartbeat.windows.ids import WindowId, WindowKey
from tests.agents.world import LATENESS_MS, LONGEST_MS, START_MS, World, post

TEN = ("a", 10, START_MS)


async def world(**how: object) -> World:
    made = await World(**{"partitions": 1, **how}).start()  # type: ignore[arg-type]
    await made.beat("demo", BEFORE_TIME_MS, tasks=("a", "b"))
    await made.driver.run_until_idle()
    return made


async def told(it: World, window: tuple[str, int, int] = TEN) -> list[tuple[int, bool, int]]:
    """What was published of a window: revision, final, posts."""
    pulses = [value for value in await it.pulses() if isinstance(value, Pulse)]
    assert all(pulse.overall.scored + pulse.overall.unscored >= 0 for pulse in pulses)
    return [
        (pulse.revision, pulse.final, pulse.overall.scored + pulse.overall.unscored)
        for pulse in pulses
        if pulse[:3] == window
    ]


def live(it: World, partition: int = 0) -> list[WindowId]:
    """The windows that have a row."""
    return [WindowId._make(window) for window, _ in it.tables.windows.part(partition).items()]


async def deliver(it: World, *numbers: int, at_s: float = 3) -> None:
    for number in numbers:
        await it.post(post(number, at_s))
    await it.driver.run_until_idle()


async def reach(it: World, seconds: float, *, feed: str = "demo", connected: bool = True) -> None:
    """The feed has got so far."""
    await it.beat(feed, START_MS + round(seconds * 1000), connected=connected)
    await it.driver.run_until_idle()


async def test_open_closed_corrected_sealed() -> None:
    it = await world()
    await deliver(it, 1)
    assert await told(it) == [(0, False, 1)]
    await reach(it, 9.999)
    assert await told(it) == [(0, False, 1)]
    await reach(it, 10)
    assert await told(it) == [(0, False, 1), (1, True, 1)]
    await it.driver.advance(2)
    await deliver(it, 2)
    assert await told(it) == [(0, False, 1), (1, True, 1), (2, True, 2)]
    await reach(it, 60 + LATENESS_MS / 1000 - 0.001)
    assert WindowId(*TEN) in live(it)
    await it.driver.advance(2)
    await deliver(it, 3)
    await reach(it, 60 + LATENESS_MS / 1000)
    assert live(it) == []
    assert await told(it) == [(0, False, 1), (1, True, 1), (2, True, 2), (3, True, 3)]
    await deliver(it, 4)
    assert [type(value).__name__ for value in (await it.pulses())[-1:]] == ["Late"]
    assert it.view.progress("a").late == 1
    await it.driver.restart()
    await deliver(it, 5)
    assert it.view.progress("a").late == 2
    assert len(await told(it)) == 4


async def test_a_closing_window_tells_all_its_parts_at_once() -> None:
    it = await world()
    await it.post(post(1, 1, text="hello"))
    await it.post(post(2, 2, text="fourth", source="reddit"))
    await it.post(post(3, 3, text="third"))
    await reach(it, 10)
    [closed] = [value for value in await it.pulses() if isinstance(value, Pulse) and value[:3] == TEN and value.final]
    assert (closed.overall.scored, closed.overall.unscored) == (2, 1)
    assert {lang: (row.scored, row.unscored) for lang, row in closed.by_lang.items()} == {
        "de": (1, 0),
        "en": (1, 0),
        "tr": (0, 1),
    }
    assert set(closed.by_source) == {"x", "reddit"}
    for index in range(len(closed.overall)):
        assert sum(row[index] for row in closed.by_lang.values()) == closed.overall[index]
        assert sum(row[index] for row in closed.by_source.values()) == closed.overall[index]


async def test_its_key_is_its_whole_name_and_its_partition_its_tasks() -> None:
    it = await world(partitions=12)
    await it.post(post(1, 3))
    await reach(it, 10)
    messages = await it.driver.read(topics.PULSE)
    assert {message.partition for message in messages} == {topics.partition_of("a", 12)}
    for message in messages:
        assert isinstance(message.value, Pulse)
        assert message.key == str(WindowId(*message.value[:3]))


async def test_interims_come_at_most_once_a_second() -> None:
    it = await world()
    for number in range(30):
        await deliver(it, number)
        it.driver.clock.advance(0.1)
        await it.driver.tick("pulse")
    await it.driver.advance(5)
    assert [posts for _, _, posts in await told(it)] == [1, 10, 20, 30]
    times = [message.timestamp_ms for message in await it.driver.read(topics.PULSE) if message.value[:3] == TEN]
    assert min(after - before for before, after in pairwise(times)) >= 1000
    await it.driver.advance(5)
    assert len(await told(it)) == 4


async def test_a_clock_that_jumps_back_holds_nothing_up() -> None:
    it = await world()
    await deliver(it, 1)
    it.driver.clock.advance(-3600)
    await deliver(it, 2)
    await it.driver.advance(1)
    assert (await told(it))[-1] == (0, False, 2)
    await reach(it, 10)
    it.driver.clock.advance(-3600)
    await deliver(it, 3)
    await it.driver.advance(1)
    assert (await told(it))[-1] == (2, True, 3)


async def test_a_post_that_came_and_went_between_two_publications_leaves_no_trace() -> None:
    it = await world()
    await it.post(post(1, 3))
    await it.post(post(1, 3, op="delete"))
    await reach(it, 10)
    assert await it.pulses() == []
    assert live(it) == []


async def test_a_deletion_after_the_last_word_is_told_to_history() -> None:
    it = await world()
    await deliver(it, 1, 2)
    await reach(it, 1000)
    await it.post(post(1, 3, op="delete"))
    await it.driver.run_until_idle()
    last = (await it.pulses())[-1]
    assert isinstance(last, Late)
    assert (last.op, last.id, last.task, last.time_ms) == ("retract", "1", "a", START_MS + 3000)
    assert it.view.progress("a").late == 0
    [held] = [held for window, held in (await it.reader()).windows().items() if window == TEN]
    assert held.overall.scored + held.overall.unscored == 1


@pytest.mark.parametrize("windows_a_unit", [1, 4000])
async def test_a_late_deletion_comes_after_the_last_word_in_the_same_batch_too(windows_a_unit: int) -> None:
    it = await world(windows_a_unit=windows_a_unit)
    await it.post(post(2, 3))
    await it.post(post(1, 3))
    await it.beat("demo", START_MS + 1_000_000)
    await it.post(post(1, 3, op="delete"))
    for agent in ("language", "sentiment", "pulse"):
        while it.driver.lag(agent, 0):
            await it.driver.step(agent, 0)
    kinds = [(type(value).__name__, value[:3] == TEN) for value in await it.pulses()]
    assert kinds.index(("Pulse", True)) < kinds.index(("Late", False))
    await it.settle()
    assert {held.overall.scored + held.overall.unscored for held in (await it.reader()).windows().values()} == {1}


async def test_an_edit_moves_a_post_from_one_window_to_another() -> None:
    it = await world()
    await deliver(it, 1)
    await it.post(post(1, 13, rev=1))
    await it.driver.run_until_idle()
    await it.driver.advance(2)
    assert (await told(it))[-1] == (0, False, 0)
    assert (await told(it, ("a", 10, START_MS + 10_000)))[-1] == (0, False, 1)
    assert (await told(it, ("a", 60, START_MS)))[-1] == (0, False, 1)


async def two_feeds() -> World:
    it = await world()
    await it.beat("wire", BEFORE_TIME_MS, tasks=("a",))
    await reach(it, 0)
    await reach(it, 0, feed="wire")
    return it


async def test_a_feed_that_stops_for_an_hour_and_comes_back_corrects_its_windows() -> None:
    it = await two_feeds()
    await deliver(it, 1)
    await reach(it, 20)
    assert (await told(it))[-1] == (0, False, 1)  # the other one is still waited for
    await reach(it, 0, feed="wire", connected=False)
    assert (await told(it))[-1] == (1, True, 1)  # no more
    await it.driver.advance(3600)
    await reach(it, 3600)
    assert WindowId(*TEN) in live(it)
    for number in range(10, 20):
        await it.post(post(number, 3, feed="wire"))
    await it.post(post(20, 1800, feed="wire"))
    await reach(it, 1000, feed="wire")
    await it.settle()
    assert (await told(it))[-1] == (2, True, 11)
    assert await told(it, ("a", 10, START_MS + 1_800_000)) == [(0, False, 1)]
    await reach(it, 3600, feed="wire")
    assert (await told(it, ("a", 10, START_MS + 1_800_000)))[-1] == (1, True, 1)
    assert not [value for value in await it.pulses() if isinstance(value, Late)]
    assert live(it) == []


async def test_nothing_closes_while_no_feed_is_connected() -> None:
    it = await world()
    await deliver(it, 1)
    await reach(it, 5)
    await it.beat("demo", START_MS + 60_000, connected=False)
    await it.settle()
    assert (await told(it))[-1] == (0, False, 1)
    assert it.view.watermark_ms("a") == BEFORE_TIME_MS


async def test_a_feed_that_joins_late_never_opens_a_sealed_window_again() -> None:
    it = await world()
    await deliver(it, 1)
    await reach(it, 1000)
    await it.beat("wire", START_MS - 3_600_000, tasks=("a",))
    await it.post(post(2, 3, feed="wire"))
    await it.post(post(3, 1001, feed="wire"))
    await it.driver.run_until_idle()
    assert it.view.progress("a").late == 1
    assert len(await told(it)) == 2
    assert await told(it, ("a", 10, START_MS + 1_000_000)) == [(0, False, 1)]
    await reach(it, 2000)
    assert await told(it, ("a", 10, START_MS + 1_000_000)) == [(0, False, 1)]


async def test_the_longest_wait_counts_from_the_last_change_by_the_clock() -> None:
    it = await world()
    it.driver.clock.advance(10 * LONGEST_MS / 1000)  # an old file, seen from now
    await deliver(it, 1)
    await it.driver.advance(LONGEST_MS / 1000 - 10)
    assert WindowId(*TEN) in live(it)
    await deliver(it, 2)
    await it.driver.advance(20)
    assert WindowId(*TEN) in live(it)
    await it.driver.restart()
    await it.driver.advance(LONGEST_MS / 1000 - 19)
    await it.settle()
    assert live(it) == []
    assert (await told(it))[-1] == (1, True, 2)
    await deliver(it, 3)
    assert it.view.progress("a").late == 1


async def test_a_task_that_no_feed_serves_any_more_is_closed_and_then_sealed() -> None:
    it = await world(partitions=4)
    await it.post(post(1, 3))
    await it.driver.run_until_idle()
    await it.beat("demo", START_MS, tasks=("b",))
    await it.driver.run_until_idle()
    assert await told(it) == [(0, False, 1), (1, True, 1)]
    await it.driver.advance(LATENESS_MS / 1000 + 59)
    place = topics.partition_of("a", 4)
    assert len(live(it, place)) == 2
    await it.driver.restart()
    await it.driver.advance(2)
    assert live(it, place) == []
    await it.beat("demo", START_MS, tasks=("a", "b"))
    await it.post(post(2, 3))
    await it.post(post(3, 63))
    await it.driver.run_until_idle()
    assert it.view.progress("a").late == 1
    assert await told(it, ("a", 10, START_MS + 60_000)) == [(0, False, 1)]


async def test_another_feed_may_take_a_task_over() -> None:
    it = await world()
    await deliver(it, 1)
    await reach(it, 5)
    await it.beat("demo", START_MS + 5000, tasks=(), connected=False)
    await it.driver.run_until_idle()
    assert await told(it) == [(0, False, 1), (1, True, 1)]
    await it.driver.advance(30)
    await it.beat("wire", START_MS, tasks=("a",))
    await it.post(post(2, 7, feed="wire"))
    await it.post(post(3, 13, feed="wire"))
    await it.settle()
    assert (await told(it))[-1] == (2, True, 2)
    assert (await told(it, ("a", 10, START_MS + 10_000)))[-1] == (0, False, 1)
    assert it.view.progress("a").late == 0


async def test_windows_of_a_task_that_nobody_has_named_yet_wait() -> None:
    it = await world()
    await it.post(post(1, 3, tasks=("new",)))
    await reach(it, 1000)
    await it.settle()
    assert await told(it, ("new", 10, START_MS)) == [(0, False, 1)]
    await it.beat("demo", START_MS + 1_000_000, tasks=("a", "b", "new"))
    await it.settle()
    assert await told(it, ("new", 10, START_MS)) == [(0, False, 1), (1, True, 1)]


async def test_a_feed_that_leaves_a_task_is_not_waited_for() -> None:
    it = await two_feeds()
    await deliver(it, 1)
    await reach(it, 1000)
    assert (await told(it))[-1] == (0, False, 1)
    await it.beat("wire", START_MS, tasks=())
    await it.driver.run_until_idle()
    assert (await told(it))[-1] == (1, True, 1)
    assert live(it) == []


@pytest.mark.parametrize("windows_a_unit", [1, 4000])
async def test_of_a_replay_that_is_through_only_its_tasks_end_is_kept(windows_a_unit: int) -> None:
    it = await world(partitions=4, windows_a_unit=windows_a_unit)
    await it.beat("replay:1", BEFORE_TIME_MS, tasks=("again",))
    for number in range(20):
        await it.post(post(number, 100 * number, feed="replay:1", tasks=("again",)))
    await it.driver.run_until_idle()
    assert not it.view.is_through("again")
    assert [feed.feed for feed in it.view.feeds()] == ["demo", "replay:1"]
    await it.beat("replay:1", END_OF_TIME_MS, connected=False)
    await it.settle()
    assert it.view.is_through("again")
    assert [feed.feed for feed in it.view.feeds()] == ["demo"]
    for partition in range(4):
        assert live(it, partition) == []
    await it.driver.restart()
    assert it.view.is_through("again")
    assert not it.view.is_through("a")
    await it.post(post(99, 3, feed="replay:1", tasks=("again",)))
    await it.driver.run_until_idle()
    assert it.view.progress("again").late == 1


async def test_the_view_shows_what_stands_now() -> None:
    it = await world(partitions=4)
    for number in range(5):
        await it.post(post(number, 7 * number, tasks=("a", "b")))
    await reach(it, 12)
    [first, *others] = it.view.open_windows("a", 10)
    assert first[:6] == ("a", 10, START_MS, 1, True, 0)
    assert [pulse.start_ms - START_MS for pulse in others] == [10_000, 20_000]
    assert first.overall.scored + first.overall.unscored == 2
    assert len(list(it.view.windows("a"))) == 4
    assert it.view.open_windows("nobody", 10) == []
    assert it.view.watermark_ms("a") == START_MS + 12_000
    [demo] = it.view.feeds()
    assert (demo.watermark_ms, demo.connected, demo.caught_up) == (START_MS + 12_000, True, True)
    assert set(demo.tasks) == {"a", "b"}
    before = it.view.open_windows("a", 10)
    await it.driver.restart()
    assert it.view.open_windows("a", 10) == before


async def test_other_sizes_after_a_restart_leave_what_was_sealed_alone() -> None:
    it = await world()
    await deliver(it, 1)
    await reach(it, 60 + LATENESS_MS / 1000)
    it.sizes = (10, 3600)
    await it.driver.restart()
    await deliver(it, 2)
    await deliver(it, 3, at_s=63)
    assert it.view.progress("a").late == 1
    assert len(await told(it)) == 2
    await reach(it, 8000)
    assert (await told(it, ("a", 10, START_MS + 60_000)))[-1] == (1, True, 1)


async def test_a_size_that_is_new_takes_nothing_back_that_it_never_counted() -> None:
    it = await world()
    await deliver(it, 1, at_s=23)
    it.sizes = (10, 30, 60)
    await it.driver.restart()
    await deliver(it, 2, at_s=24)
    await deliver(it, 3, at_s=31)
    await it.post(post(1, 23, op="delete"))
    await deliver(it, 4, at_s=70)
    await it.post(post(4, 70, op="delete"))
    await deliver(it, 5, at_s=70)
    await reach(it, 1000)
    assert await told(it, ("a", 30, START_MS)) == []
    assert [posts for *_, posts in await told(it, ("a", 30, START_MS + 30_000))] == [1, 1]
    assert (await told(it, ("a", 30, START_MS + 60_000)))[-1][2] == 1
    assert (await told(it, ("a", 60, START_MS)))[-1][2] == 2


async def test_a_size_that_is_gone_goes_on_to_the_end_of_its_windows() -> None:
    it = await world()
    await deliver(it, 1, 2, at_s=23)
    it.sizes = (10,)
    await it.driver.restart()
    await it.post(post(1, 23, op="delete"))
    await deliver(it, 3, at_s=59)
    await deliver(it, 4, at_s=61)
    await it.driver.restart()
    await it.post(post(3, 59, op="delete"))
    await reach(it, 60)
    assert (await told(it, ("a", 60, START_MS)))[-1] == (1, True, 1)
    assert await told(it, ("a", 60, START_MS + 60_000)) == []
    await reach(it, 1000)
    await it.driver.restart()
    await deliver(it, 5, at_s=1001)
    assert it.pulse.part(0).layout.block_ms == 10_000
    assert not it.pulse.part(0).spans


async def test_no_post_is_lost_between_the_last_window_of_the_old_sizes_and_the_first_of_the_new_ones() -> None:
    it = await world(sizes=(10,))
    await deliver(it, 1, at_s=23)
    it.sizes = (60,)
    await it.driver.restart()
    await deliver(it, 2, at_s=31)
    await deliver(it, 3, at_s=61)
    await it.post(post(4, 41))
    await it.post(post(4, 41, op="delete"))
    await reach(it, 1000)
    held = (await it.reader()).windows()
    assert {
        (window.size_s, window.start_ms - START_MS): each.overall.scored + each.overall.unscored
        for window, each in held.items()
        if window.task == "a"
    } == {(10, 20_000): 1, (10, 30_000): 1, (60, 60_000): 1}


async def test_a_late_deletion_finds_windows_of_a_gone_size_that_wait_to_be_sealed() -> None:
    it = await world(windows_a_unit=1)
    await deliver(it, 1, at_s=3)
    it.sizes = (10,)
    await it.driver.restart()
    await it.post(post(2, 13))
    await it.beat("demo", START_MS + 1_000_000)
    await it.driver.run_until_idle(limit=1)
    await it.driver.restart()
    await it.post(post(1, 3, op="delete"))
    await it.settle()
    held = (await it.reader()).windows()
    assert {(window.size_s, each.overall.scored + each.overall.unscored) for window, each in held.items()} == {
        (10, 1),
        (60, 1),
    }
    assert live(it) == []


async def test_very_many_windows_close_without_holding_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing them all takes many units; in between and within them the event loop turns."""
    it = await world(sizes=(10,))
    it.driver._checked = False
    await it.driver.restart()
    part, count = it.pulse.part(0), 20_000
    for first in range(0, count, 500):
        for number in range(first, first + 500):
            await it.post(post(number, 10 * number))
        await it.driver.run_until_idle()
    assert len(live(it)) == count
    await it.beat("demo", START_MS + 10_000 * count)
    dealt_with = longest = before = 0
    honest = PulsePart.drop

    def drop(part: PulsePart, window: WindowKey) -> None:
        nonlocal dealt_with
        dealt_with += 1
        honest(part, window)

    async def watch() -> None:
        nonlocal longest, before
        while True:
            longest, before = max(longest, dealt_with - before), dealt_with
            await asyncio.sleep(0)

    monkeypatch.setattr(PulsePart, "drop", drop)
    watching = asyncio.ensure_future(watch())
    await it.driver.run_until_idle()
    units = 1
    while part.pending:
        await it.driver.tick("pulse")
        units += 1
    watching.cancel()
    assert min(window.end_ms for window in live(it)) > START_MS + 10_000 * count - LATENESS_MS
    assert dealt_with > 0.99 * count
    assert units > dealt_with // 4000
    assert 0 < longest <= SLICE


async def test_a_replay_may_rest_for_longer_than_windows_wait() -> None:
    it = await world()
    await it.beat("replay:1", BEFORE_TIME_MS, tasks=("old",))
    await it.post(post(1, 5, feed="replay:1", tasks=("old",)))
    await it.driver.run_until_idle()
    await it.driver.advance(25 * 3600)
    await it.post(post(2, 6, feed="replay:1", tasks=("old",)))
    await it.beat("replay:1", END_OF_TIME_MS)
    await it.settle()
    assert not [value for value in await it.pulses() if isinstance(value, Late)]
    assert (await told(it, ("old", 10, START_MS)))[-1] == (1, True, 2)
    assert live(it) == []


async def test_a_late_post_of_a_replay_counts_as_late_once_and_not_at_all_when_it_is_gone() -> None:
    it = await world()
    await it.beat("replay:1", BEFORE_TIME_MS, tasks=("old",))
    for number in (1, 2):
        await it.post(post(number, 5, feed="replay:1", tasks=("old",))._replace(late=True))
    await it.post(post(1, 5, feed="replay:1", tasks=("old",), rev=1)._replace(late=True))
    await it.post(post(2, 5, feed="replay:1", tasks=("old",), op="delete"))
    await it.settle()
    assert it.view.progress("old").late == 1
    assert await told(it, ("old", 10, START_MS)) == []
