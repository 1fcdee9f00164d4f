"""Sizes that change: a post's time says for good which windows it counts in, and each of them is whole."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.windows.ids import Layout
from heartbeat.windows.progress import Progress
from heartbeat.windows.spans import Span, Spans, changed, ends, sizes_at

LIVES = st.lists(
    st.tuples(
        st.sets(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3).map(sorted).map(tuple),
        st.lists(st.integers(0, 40_000), max_size=6),
        st.integers(-10_000, 30_000),
    ),
    min_size=1,
    max_size=6,
)
"""Of each worker: its sizes, the times of the posts that it counts, and what it then has sealed."""


@given(LIVES)
def test_what_a_post_counts_in_never_changes_and_no_window_is_missing_one(
    lives: list[tuple[tuple[int, ...], list[int], int]],
) -> None:
    spans: Spans = ()
    before, sealed_ms = lives[0][0], BEFORE_TIME_MS
    counted: dict[tuple[int, int], list[int]] = defaultdict(list)
    posts: list[tuple[int, set[int]]] = []
    for sizes, times, passed_ms in lives:
        live = ends(("a", size_s, start_ms) for size_s, start_ms in counted if start_ms + 1000 * size_s > sealed_ms)
        spans = changed(spans, before, sizes, live.get("a", {}), sealed_ms)
        before = sizes
        assert changed(spans, sizes, sizes, live.get("a", {}), sealed_ms) == spans
        counting = spans or tuple(Span(size_s, BEFORE_TIME_MS, END_OF_TIME_MS) for size_s in sizes)
        for time_ms, size in posts:
            assert time_ms < sealed_ms or {size_s for size_s, _ in sizes_at(counting, time_ms)} == size
        for time_ms in times:
            if time_ms >= sealed_ms:
                assert sizes_at(counting, time_ms), "it would be lost"
                posts.append((time_ms, {size_s for size_s, _ in sizes_at(counting, time_ms)}))
                for size_s, size_ms in sizes_at(counting, time_ms):
                    counted[size_s, time_ms - time_ms % size_ms].append(time_ms)
        blocks = Layout([*sizes, *(span.size_s for span in counting)])
        sealed_ms = max(sealed_ms, blocks.whole_blocks(passed_ms))
    for (size_s, start_ms), times in counted.items():
        assert sorted(times) == sorted(time_ms for time_ms, _ in posts if 0 <= time_ms - start_ms < 1000 * size_s)


def test_a_new_size_begins_behind_what_was_counted_and_an_old_one_ends_with_its_windows() -> None:
    live = {10: 50_000, 60: 60_000}
    assert changed((), (10, 60), (10, 30), live, 0) == (
        Span(10, BEFORE_TIME_MS, END_OF_TIME_MS),
        Span(30, 60_000, END_OF_TIME_MS),
        Span(60, BEFORE_TIME_MS, 60_000),
    )


def test_where_all_sizes_are_new_the_old_ones_go_on_until_these_begin() -> None:
    assert changed((), (900,), (600,), {900: 900_000}, 0) == (
        Span(600, 1_200_000, END_OF_TIME_MS),
        Span(900, BEFORE_TIME_MS, 1_800_000),
    )
    assert changed((), (900,), (600,), {}, BEFORE_TIME_MS) == (), "nothing has been counted yet"


def test_nothing_is_kept_of_what_is_over() -> None:
    spans = changed((), (10, 60), (10, 30), {10: 50_000, 60: 60_000}, 0)
    assert changed(spans, (10, 30), (10, 30), {10: 100_000, 30: 120_000}, 60_000) == ()
    assert changed(spans, (10, 30), (10, 60), {10: 50_000, 60: 60_000}, END_OF_TIME_MS) == ()


@given(st.integers(), st.integers(), st.booleans(), st.lists(st.tuples(st.integers(), st.integers(), st.integers())))
def test_rows_come_back_as_they_were(sealed_ms: int, late: int, served: bool, spans: list[tuple[int, ...]]) -> None:
    row = Progress(
        sealed_ms % 2**62,
        late % 2**40,
        served,
        7,
        tuple(Span(*(part % 2**60 for part in span)) for span in spans),
        (1, 2),
    )
    assert Progress.from_bytes(row.to_bytes()) == row


def test_rows_of_earlier_versions_are_read() -> None:
    assert Progress.from_bytes(b"[5,2,true,9]") == Progress(5, 2, True, 9)
