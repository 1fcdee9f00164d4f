"""Small windows go after some days, larger ones tell of them, and nothing is missing or twice where the sizes meet."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartbeat.records import Pulse, Scored
from heartbeat.sinks import history_thinning, history_timeline
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rollup import DAY_MS, QUIET_MS, day_of
from heartbeat.sinks.history_thinning import days_of
from heartbeat.testing.clock import FakeClock
from tests.sinks.model import late, open_history, pulse, scored

SIZES = (10, 60, 900)
DAY_0 = day_of(1_760_000_000_000)
WINDOWS = ("pulse", 0)
KEPT = {10: 1, 60: 3}


def windows_of(posts: list[Scored], sizes: tuple[int, ...] = SIZES) -> list[Pulse]:
    """The final windows of these posts."""
    found = []
    for size_s in sizes:
        starts = sorted({post.time_ms - post.time_ms % (1000 * size_s) for post in posts})
        for start_ms in starts:
            inside = [post for post in posts if start_ms <= post.time_ms < start_ms + 1000 * size_s]
            found.append(pulse(size_s, start_ms, inside))
    return found


async def upkeep(history: History, now_ms: int) -> None:
    for _ in range(10_000):
        if not await history.maintain(now_ms):
            return
    raise AssertionError("upkeep finds no end")


def talk(dice: random.Random, day: int, count: int) -> list[Scored]:
    times = sorted(DAY_0 + day * DAY_MS + dice.randrange(DAY_MS) for _ in range(count))
    return [
        scored(f"{day}-{at}", time_ms=time_ms, lang=dice.choice(["en", "de"]), source=dice.choice(["x", "reddit"]))
        for at, time_ms in enumerate(times)
    ]


async def week(folder: Path, seed: int, clock: FakeClock) -> tuple[History, list[Scored]]:
    """Seven days as they come, with upkeep on each; the last one is still going on."""
    dice = random.Random(seed)
    history = open_history(folder, clock, days_by_size=KEPT)
    posts: list[Scored] = []
    offset = 0
    for day in range(7):
        said = talk(dice, day, 40)
        records = windows_of(said)
        clock.set(DAY_0 + (day + 1) * DAY_MS - 1)
        await history.store_windows(WINDOWS, [(offset + at, record) for at, record in enumerate(records)])
        offset += len(records)
        posts += said
        clock.set(clock.now_ms() + QUIET_MS + 3_600_000)
        await upkeep(history, clock.now_ms())
    return history, posts


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 4_000]))
async def test_every_size_tells_of_the_whole_range_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, page_rows: int
) -> None:
    clock = FakeClock(DAY_0)
    history, posts = await week(tmp_path_factory.mktemp("week"), seed, clock)
    with HistoryReader(history.path, page_rows=page_rows, clock=clock) as reader:
        assert reader.sizes("t") == [10, 60, 900, 3_600, 86_400]
        for size_s in reader.sizes("t"):
            for by in ("all", "lang", "source"):
                rows = list(reader.figures("t", size_s, by=by))
                assert sum(row.figures.scored for row in rows) == len(posts)
                spans = sorted({(row.start_ms, row.size_s) for row in rows})
                assert all(
                    start + 1000 * size <= after for (start, size), (after, _) in zip(spans, spans[1:], strict=False)
                )
                for row in rows:  # whatever its size, it is what its posts add up to
                    inside = [
                        post
                        for post in posts
                        if row.start_ms <= post.time_ms < row.start_ms + 1000 * row.size_s
                        and row.key in ("all", post.lang, post.source)
                    ]
                    assert (row.figures.scored, row.figures.pos_e6) == (len(inside), 700_000 * len(inside))
        sizes = [row.size_s for row in reader.figures("t", 10)]
        assert sizes == sorted(sizes, reverse=True) and set(sizes) == set(SIZES)
        assert {row.size_s for row in reader.figures("t", 60)} == {60, 900}
        kept = {size: [row.window_start for row in reader.windows("t") if row.window_seconds == size] for size in SIZES}
        assert [(kept[900][-1] - kept[size][0]) // DAY_MS for size in SIZES] == [
            0,
            2,
            6,
        ]  # days in full, and the newest
        total = reader.summary("t")
        assert total is not None and (total.total, total.sizes) == (len(posts), (900,))
    history.close()


@pytest.mark.parametrize("cut", range(1, 12))
async def test_thinning_that_is_cut_off_anywhere_is_not_seen(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_thinning, "ROWS_A_STEP", 7)
    dice = random.Random(cut)
    clock = FakeClock(DAY_0 + 2 * DAY_MS - 1)
    history = open_history(tmp_path, clock, days_by_size=KEPT)
    posts = talk(dice, 0, 30) + talk(dice, 1, 30)
    await history.store_windows(WINDOWS, list(enumerate(windows_of(posts))))
    clock.set(DAY_0 + 8 * DAY_MS)
    for _ in range(cut):
        await history.maintain(clock.now_ms())
    history.close()  # as if it had been killed: every step is a transaction
    for again in (False, True):
        with HistoryReader(history.path, clock=clock) as reader:
            for size_s in reader.sizes("t"):
                assert sum(row.figures.scored for row in reader.figures("t", size_s)) == len(posts)
        if not again:
            history = open_history(tmp_path, clock, days_by_size=KEPT)
            await upkeep(history, clock.now_ms())
            history.close()
    with closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("SELECT DISTINCT size_s FROM windows").fetchall() == [(900,)]
        assert connection.execute("SELECT DISTINCT size_s FROM parts").fetchall() == [(900,)]


async def test_a_late_retraction_reaches_hours_and_days_however_old(tmp_path: Path) -> None:
    clock = FakeClock(DAY_0)
    history, posts = await week(tmp_path, 5, clock)
    gone = posts[3]
    clock.set(clock.now_ms() + DAY_MS)
    offset = 10**6
    for again in range(2):  # before it is added up anew, and after
        await history.store_windows(WINDOWS, [(offset, late(gone._replace(op="retract")))])
        with HistoryReader(history.path, clock=clock) as reader:
            for size_s in reader.sizes("t"):
                rows = list(reader.figures("t", size_s))
                assert sum(row.figures.scored for row in rows) == len(posts) - 1
                assert sum(row.figures.pos_e6 for row in rows) == 700_000 * (len(posts) - 1)
        if not again:
            clock.set(clock.now_ms() + QUIET_MS)
            await upkeep(history, clock.now_ms())
    with closing(sqlite3.connect(history.path)) as connection:
        assert connection.execute("SELECT count(*) FROM stale").fetchone() == (0,)
    history.close()


async def test_small_windows_stay_where_no_larger_ones_tell_of_them(tmp_path: Path) -> None:
    """Sizes were changed: of the first day there are no windows of 15 minutes."""
    dice, clock = random.Random(1), FakeClock(DAY_0 + 2 * DAY_MS - 1)
    history = open_history(tmp_path, clock, days_by_size=KEPT)
    before, after = talk(dice, 0, 20), talk(dice, 1, 20)
    await history.store_windows(WINDOWS, list(enumerate([*windows_of(before, (10, 60)), *windows_of(after)])))
    clock.set(DAY_0 + 30 * DAY_MS)
    await upkeep(history, clock.now_ms())
    with HistoryReader(history.path, clock=clock) as reader:
        for size_s in (10, 60, 3_600, 86_400):
            assert sum(row.figures.scored for row in reader.figures("t", size_s)) == 40
        assert {row.size_s for row in reader.figures("t", 10, to_ms=DAY_0 + DAY_MS)} == {60}
    history.close()


async def test_the_hour_in_which_sizes_were_changed_is_told_by_the_one_that_has_more(tmp_path: Path) -> None:
    clock = FakeClock(DAY_0 + 2 * DAY_MS)
    history = open_history(tmp_path, clock)
    posts = [scored(f"{minute}", time_ms=DAY_0 + 60_000 * minute) for minute in range(180)]
    records = [*windows_of(posts, (60,)), *windows_of(posts[90:], (900,))]
    await history.store_windows(WINDOWS, list(enumerate(records)))
    await upkeep(history, clock.now_ms() + QUIET_MS)
    with HistoryReader(history.path, clock=clock) as reader:
        assert [row.figures.scored for row in reader.figures("t", 3_600)] == [60, 60, 60]
    history.close()


@pytest.mark.parametrize("rolled", [False, True])
async def test_an_hour_is_whole_in_which_a_size_went_and_another_came(tmp_path: Path, rolled: bool) -> None:
    clock = FakeClock(DAY_0 + 2 * DAY_MS)
    history = open_history(tmp_path, clock)
    posts = [scored(f"{minute}", time_ms=DAY_0 + 60_000 * minute) for minute in range(180)]
    records = [*windows_of(posts, (60,)), *windows_of(posts[:75], (900,)), *windows_of(posts[80:], (600,))]
    await history.store_windows(WINDOWS, list(enumerate(records)))
    if rolled:
        await upkeep(history, clock.now_ms() + QUIET_MS)
    with HistoryReader(history.path, clock=clock) as reader:
        for by in ("all", "lang", "source", "model"):
            assert [row.figures.scored for row in reader.figures("t", 3_600, by=by)] == [60, 60, 60]
    history.close()


@pytest.mark.parametrize("rolled", [False, True])
async def test_days_of_sizes_that_went_long_ago_are_told_when_they_are_added_up_anew(
    tmp_path: Path, rolled: bool
) -> None:
    clock = FakeClock(DAY_0 + DAY_MS)
    history = open_history(tmp_path, clock)
    posts: list[Scored] = []
    for day, size_s in enumerate((60, 300, 900, 1_800)):
        said = [scored(f"{day}-{at}", time_ms=DAY_0 + day * DAY_MS + 600_000 * at) for at in range(144)]
        records = windows_of(said, (size_s,))
        await history.store_windows(WINDOWS, [(len(posts) + at, record) for at, record in enumerate(records)])
        posts += said
        clock.set(DAY_0 + (day + 2) * DAY_MS)
        await upkeep(history, clock.now_ms() + QUIET_MS)
    await history.perform(  # as when the file is brought up from the fifth version
        lambda tables: tables.connection.execute(
            "INSERT INTO stale SELECT task, start_ms, 0 FROM rolled WHERE size_s = 86400"
        )
    )
    if rolled:
        await upkeep(history, clock.now_ms() + QUIET_MS)
    with HistoryReader(history.path, clock=clock) as reader:
        assert [row.figures.scored for row in reader.figures("t", 86_400)] == [144] * 4
        total = reader.summary("t")
        assert total is not None and total.total == len(posts)
    history.close()


async def test_windows_longer_than_an_hour_make_days(tmp_path: Path) -> None:
    clock = FakeClock(DAY_0 + 2 * DAY_MS)
    history = open_history(tmp_path, clock)
    posts = [scored(f"{hour}", time_ms=DAY_0 + 3_600_000 * hour) for hour in range(48)]
    await history.store_windows(WINDOWS, list(enumerate(windows_of(posts, (7_200,)))))
    with HistoryReader(history.path, clock=clock) as reader:
        assert reader.sizes() == [7_200, 86_400]
        assert [row.figures.scored for row in reader.figures("t", 86_400)] == [24, 24]
        assert list(reader.figures("t", 3_600)) == []
    history.close()


async def test_long_ranges_with_little_in_them_are_read_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may hold posts of the year 1 and of the year 9999."""
    clock = FakeClock(DAY_0)
    history = open_history(tmp_path, clock)
    posts = [scored(f"{at}", time_ms=time_ms) for at, time_ms in enumerate([-(10**13), DAY_0, 10**14])]
    await history.store_windows(WINDOWS, list(enumerate(windows_of(posts, (900,)))))
    moments = 0
    real = history_timeline._next_day

    def counting(connection: sqlite3.Connection, task: int | None, size_s: int, from_ms: int) -> int | None:
        nonlocal moments
        moments += 1
        return real(connection, task, size_s, from_ms)

    monkeypatch.setattr(history_timeline, "_next_day", counting)
    with HistoryReader(history.path, clock=clock) as reader:
        assert [row.start_ms for row in reader.figures("t", 86_400)] == [day_of(post.time_ms) for post in posts]
    assert moments < 6
    history.close()


def test_how_long_a_size_is_kept() -> None:
    by_size = {10: 2, 60: 14}
    assert [days_of(size, by_size) for size in (1, 10, 30, 60, 61, 900)] == [2, 2, 14, 14, None, None]
    assert days_of(10, {}) is None


@pytest.mark.parametrize("rolled", [False, True])
async def test_models_are_counted_in_hours_and_days(tmp_path: Path, rolled: bool) -> None:
    clock = FakeClock(DAY_0 + 2 * DAY_MS)
    history = open_history(tmp_path, clock)
    posts = [
        scored(f"{at}", time_ms=DAY_0 + 1_700_000 * at)._replace(model="fast/1" if at % 3 else "good/1")
        for at in range(12)
    ]
    posts.append(scored("none", time_ms=DAY_0, pos=None))
    await history.store_windows(WINDOWS, list(enumerate(windows_of(posts))))
    if rolled:
        await upkeep(history, clock.now_ms() + QUIET_MS)
    with HistoryReader(history.path, clock=clock) as reader:
        for size_s in (60, 3_600, 86_400):
            expected = Counter(
                (post.time_ms - post.time_ms % (1000 * size_s), post.model) for post in posts if post.model is not None
            )
            rows = list(reader.windows("t", size_s=size_s, by="model"))
            assert {(row.window_start, row.key): row.scored for row in rows} == expected
            assert all((row.total, row.unscored, row.pos_mean) == (row.scored, None, None) for row in rows)
    history.close()
