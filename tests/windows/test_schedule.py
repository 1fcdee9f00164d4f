from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.windows.ids import Layout, WindowId, WindowKey
from heartbeat.windows.schedule import Schedule
from heartbeat.windows.state import WindowState

LAYOUT = Layout((10, 60))
PUBLISH_MS = 1000


def state(
    *, changed_ms: int = 0, published_ms: int | None = None, final: bool = False, dirty: bool = True
) -> WindowState:
    return WindowState((1,) * 9, {}, {}, {}, int(final), final, changed_ms, published_ms, dirty)


WINDOWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(LAYOUT.sizes), st.integers(0, 300)).map(
        lambda drawn: WindowId(drawn[0], drawn[1][0], drawn[2] * 1000 // drawn[1][1] * drawn[1][1])
    ),
    unique=True,
    max_size=30,
)


@given(WINDOWS, st.integers(0, 400_000))
def test_closing_names_every_window_that_has_ended_in_order(windows: list[WindowId], watermark_ms: int) -> None:
    schedule = Schedule(LAYOUT, PUBLISH_MS)
    for window in windows:
        schedule.touched(window, state())
    for task in "ab":
        named = [WindowId._make(w) for w in iter(partial(schedule.pop_closing, task, watermark_ms), None)]
        assert sorted(named) == sorted(w for w in windows if w.task == task and w.end_ms <= watermark_ms)
        assert [w.end_ms for w in named] == sorted(w.end_ms for w in named)


@given(WINDOWS, st.integers(0, 6))
def test_sealing_names_the_windows_of_whole_blocks(windows: list[WindowId], blocks: int) -> None:
    schedule, through_ms = Schedule(LAYOUT, PUBLISH_MS), blocks * LAYOUT.block_ms
    for window in windows:
        schedule.touched(window, state())
    left = set(windows)
    for task in "ab":
        for sealed in iter(partial(schedule.next_sealing, task, through_ms), None):
            schedule.gone(sealed)
            left.remove(WindowId._make(sealed))
    assert left == {window for window in windows if LAYOUT.block_end(window.start_ms) > through_ms}
    assert {window for task in schedule.tasks() for window in schedule.windows(task)} == left
    assert {task for task in "ab" if schedule.has(task)} == {window.task for window in left}


def pop_all(schedule: Schedule, now_ms: int) -> list[WindowKey]:
    return list(iter(partial(schedule.pop_publishing, now_ms), None))


def test_a_window_is_published_at_once_and_then_after_the_interval() -> None:
    schedule, window = Schedule(LAYOUT, PUBLISH_MS), WindowId("a", 10, 0)
    schedule.touched(window, state(changed_ms=5000))
    assert schedule.waits_to_publish(5000)
    assert pop_all(schedule, 5000) == [window]
    schedule.touched(window, state(changed_ms=5100, published_ms=5000))
    schedule.touched(window, state(changed_ms=5200, published_ms=5000))
    assert not schedule.waits_to_publish(5999)
    assert pop_all(schedule, 5999) == []
    assert schedule.waits_to_publish(6000)
    assert pop_all(schedule, 6000) == [window]
    assert pop_all(schedule, 9000) == []


def test_nobody_waits_for_a_time_that_a_wrong_clock_showed() -> None:
    schedule, window, other = Schedule(LAYOUT, PUBLISH_MS), WindowId("a", 10, 0), WindowId("b", 10, 0)
    schedule.touched(window, state(changed_ms=90_000_000, published_ms=90_000_000))
    assert pop_all(schedule, 90_000_000) == []
    # The clock was wrong, and shows the right time again.
    assert schedule.waits_to_publish(5000)
    schedule.touched(other, state(changed_ms=5000, published_ms=90_000_000))
    assert pop_all(schedule, 5000) == []
    assert sorted(pop_all(schedule, 6000)) == [window, other]


def test_what_has_waited_goes_in_order_of_blocks() -> None:
    schedule = Schedule(LAYOUT, PUBLISH_MS)
    for block, changed_ms in ((0, 10), (1, 20), (2, 900), (3, 30)):
        schedule.touched(WindowId("a", 10, block * 60_000), state(changed_ms=changed_ms))
    schedule.touched(WindowId("b", 10, 0), state(changed_ms=901))
    assert schedule.waited(9) == []
    assert schedule.waited(10) == [("a", 60_000)]
    assert schedule.waited(100) == [("a", 120_000)]
    assert sorted(schedule.waited(901)) == [("a", 240_000), ("b", 60_000)]
    assert schedule.waited(901, ["b"]) == [("b", 60_000)]
