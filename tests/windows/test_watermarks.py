from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Heartbeat
from heartbeat.windows.watermarks import (
    FeedOrigin,
    FeedProgress,
    Mark,
    Watermarks,
    tasks_from_bytes,
    tasks_to_bytes,
)

ORIGINS = 3
BEATS = st.lists(
    st.builds(
        Heartbeat,
        feed=st.sampled_from(["demo", "wire", "replay:1"]),
        origin_partition=st.integers(0, ORIGINS - 1),
        watermark_ms=st.integers(0, 20) | st.just(END_OF_TIME_MS),
        caught_up=st.booleans(),
        connected=st.booleans(),
        tasks=st.none() | st.lists(st.sampled_from("abc"), unique=True),
    ),
    max_size=40,
)


def hear(watermarks: Watermarks, beat: Heartbeat) -> tuple[Mark, bool]:
    if beat.tasks is not None:
        watermarks.serve(beat.feed, beat.origin_partition, tuple(beat.tasks))
    return watermarks.hear(beat)


def by_definition(beats: list[Heartbeat], task: str) -> tuple[int, int]:
    """A task's watermarks for closing and for sealing, as the page says it."""
    closing, passed = [], []
    for feed in {beat.feed for beat in beats}:
        own = [beat for beat in beats if beat.feed == feed]
        serves, promised, connected = False, [], []
        for origin in range(ORIGINS):
            heard = [beat for beat in own if beat.origin_partition == origin]
            said = [beat.tasks for beat in heard if beat.tasks is not None]
            serves |= bool(said) and task in said[-1]
            promised.append(max((beat.watermark_ms for beat in heard), default=BEFORE_TIME_MS))
            connected.append(heard[-1].connected if heard else True)
        if serves:
            passed.append(min(promised))
            if any(connected):
                closing.append(min(promised))
    return min(closing, default=BEFORE_TIME_MS), min(passed, default=BEFORE_TIME_MS)


@given(BEATS)
def test_watermarks_are_what_their_definition_says(beats: list[Heartbeat]) -> None:
    watermarks = Watermarks(ORIGINS)
    for count, beat in enumerate(beats, 1):
        before = {task: (watermarks.closing_ms(task), watermarks.passed_ms(task)) for task in "abc"}
        _, moved = hear(watermarks, beat)
        for task in "abc":
            now = watermarks.closing_ms(task), watermarks.passed_ms(task)
            assert now == by_definition(beats[:count], task)
            assert moved or beat.tasks is not None or now == before[task]


@given(BEATS)
def test_they_are_the_same_when_read_back_from_their_rows(beats: list[Heartbeat]) -> None:
    heard, marks, served = Watermarks(ORIGINS), {}, {}
    for beat in beats:
        mark, _ = hear(heard, beat)
        key = FeedOrigin(beat.feed, beat.origin_partition)
        marks[key.to_bytes()] = mark.to_bytes()
        if beat.tasks is not None:
            served[key.to_bytes()] = tasks_to_bytes(beat.tasks)
    read = Watermarks(ORIGINS)
    read.restore(
        [(FeedOrigin.from_bytes(key), Mark.from_bytes(row)) for key, row in marks.items()],
        [(FeedOrigin.from_bytes(key), tasks_from_bytes(row)) for key, row in served.items()],
    )
    for task in "abc":
        assert (read.closing_ms(task), read.passed_ms(task)) == (heard.closing_ms(task), heard.passed_ms(task))
    assert [(f.feed, f.watermark_ms, f.caught_up, f.connected, set(f.tasks)) for f in read.progress()] == [
        (f.feed, f.watermark_ms, f.caught_up, f.connected, set(f.tasks)) for f in heard.progress()
    ]


def beat(feed: str, origin: int, watermark_ms: int, **rest: object) -> Heartbeat:
    return Heartbeat(feed, origin, watermark_ms, True)._replace(**rest)  # type: ignore[arg-type]


def test_a_promise_is_never_taken_back() -> None:
    watermarks = Watermarks(1)
    watermarks.serve("demo", 0, ("a",))
    watermarks.hear(beat("demo", 0, 10))
    mark, moved = watermarks.hear(beat("demo", 0, 7))
    assert mark.watermark_ms == 10
    assert not moved
    assert watermarks.closing_ms("a") == 10


def test_a_feed_that_is_away_in_all_its_partitions_is_not_waited_for() -> None:
    watermarks = Watermarks(2)
    for origin in (0, 1):
        for feed, watermark_ms in (("demo", 10), ("wire", 5)):
            watermarks.serve(feed, origin, ("a",))
            watermarks.hear(beat(feed, origin, watermark_ms))
    watermarks.hear(beat("wire", 0, 5, connected=False))
    assert watermarks.closing_ms("a") == 5
    watermarks.hear(beat("wire", 1, 5, connected=False))
    assert (watermarks.closing_ms("a"), watermarks.passed_ms("a")) == (10, 5)
    watermarks.hear(beat("wire", 1, 6))
    assert watermarks.closing_ms("a") == 5


def test_a_task_is_served_until_all_partitions_have_said_that_it_is_not() -> None:
    watermarks = Watermarks(2)
    assert not watermarks.is_served("a")
    for origin in (0, 1):
        watermarks.serve("demo", origin, ("a", "b"))
    watermarks.serve("demo", 0, ("b",))
    assert watermarks.is_served("a")
    watermarks.serve("demo", 1, ("b",))
    assert not watermarks.is_served("a")
    assert watermarks.is_served("b")


def test_a_feed_is_forgotten_with_its_rows() -> None:
    watermarks = Watermarks(1)
    watermarks.serve("replay:1", 0, ("again",))
    watermarks.hear(beat("replay:1", 0, END_OF_TIME_MS))
    assert watermarks.ended() == [("replay:1", ("again",))]
    assert watermarks.forget("replay:1") == [FeedOrigin("replay:1", 0)]
    assert not watermarks.ended()
    assert not watermarks.progress()
    assert watermarks.closing_ms("again") == BEFORE_TIME_MS


def test_two_partitions_of_pulse_know_what_both_know() -> None:
    ahead = FeedProgress("demo", 10, True, False, ("a",))
    assert ahead.and_(FeedProgress("demo", 7, False, True, ("b",))) == FeedProgress("demo", 7, False, True, ("a", "b"))
