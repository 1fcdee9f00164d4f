"""What is known, what has changed, who is talked about: small pasts, written out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat.insights.change import LABELS, change, score_of
from heartbeat.insights.covered import QUIET_MS, Covered, Missed
from heartbeat.insights.fields import FIELDS, fields
from heartbeat.insights.insight import DAY_MS, REFERENCE_WINDOWS, WEEK_MS, Judge, Past, spans_of
from heartbeat.insights.spike import LEAST_WINDOWS
from heartbeat.insights.voice import Said, by_window, voices
from heartbeat.records import Figures

SIZE_S = 900
STEP = 1000 * SIZE_S
NOW = 1_740_000_600_000 // STEP * STEP
HOUR = 3_600_000


def figures(positive: int = 0, neutral: int = 0, negative: int = 0, mixed: int = 0, unscored: int = 0) -> Figures:
    """Posts that are all sure of their label; mixed ones are half and half."""
    scored = positive + neutral + negative + mixed
    return Figures(
        scored,
        unscored,
        positive,
        neutral,
        negative,
        mixed,
        1_000_000 * positive + 500_000 * mixed,
        1_000_000 * neutral,
        1_000_000 * negative + 500_000 * mixed,
    )


def steady(posts: int, days: float = 8, until_ms: int = NOW) -> dict[int, Figures]:
    first = until_ms - round(days * DAY_MS / STEP) * STEP
    return {start: figures(positive=posts // 2, neutral=posts - posts // 2) for start in range(first, until_ms, STEP)}


def past(windows: dict[int, Figures], others: dict[int, int] | None = None, **more: object) -> Past:
    heard = {start: each.scored + each.unscored for start, each in windows.items()}
    for start, posts in (others or {}).items():
        heard[start] = heard.get(start, 0) + posts
    since = min(windows, default=None)
    return Past(SIZE_S, windows, heard, since, heard if others is not None else None, **more)  # type: ignore[arg-type]


def test_a_window_in_all_its_figures() -> None:
    windows = {**steady(100), NOW: figures(positive=50, neutral=50, negative=100, unscored=50)}
    windows[NOW - DAY_MS] = figures(positive=150, negative=50)
    others = dict.fromkeys(range(NOW - 8 * DAY_MS, NOW + STEP, STEP), 300)
    insight = Judge(past(windows, others), NOW + STEP).insight(NOW, final=True)

    assert insight.voice == 250 / 550
    before, day, week = insight.before, insight.day, insight.week
    assert before is not None and day is not None and week is not None
    assert (before.start_ms, day.start_ms, week.start_ms) == (NOW - STEP, NOW - DAY_MS, NOW - WEEK_MS)
    assert (before.total.then, before.total.absolute, before.total.relative) == (100, 150, 1.5)
    assert (day.total.then, day.total.absolute, day.total.relative) == (200, 50, 0.25)
    # the score: (50 − 100) / 200 now, (150 − 50) / 200 a day ago
    assert day.score is not None
    assert (day.score.then, day.score.absolute, day.score.relative) == (0.5, -0.75, None)
    negative = day.shares[LABELS.index("negative")]
    assert negative is not None
    assert (negative.then, negative.absolute, negative.relative) == (0.25, 0.25, 1.0)
    assert week.voice is not None and week.voice.then == 100 / 400
    assert insight.reference == REFERENCE_WINDOWS
    assert insight.spike is not None and insight.spike.usual == 100 and insight.spike.strength == "very high"
    assert insight.negative is not None and insight.negative.strength == "very high"
    assert insight.positive is not None and insight.positive.strength == "very low"
    assert list(fields(insight)) == list(FIELDS)
    assert fields(insight)["change_day"] == 0.25


def test_an_open_window_is_compared_and_not_scored() -> None:
    windows = {**steady(100), NOW: figures(negative=100)}
    insight = Judge(past(windows)).insight(NOW, final=False)
    assert (insight.final, insight.spike, insight.negative, insight.positive) == (False, None, None, None)
    assert insight.before is not None and insight.reference == REFERENCE_WINDOWS
    assert insight.voice is None and list(fields(insight)) == ["change_prev", "change_day", "change_week"]


def test_silence_of_one_task_is_zero_while_others_are_heard() -> None:
    windows = {start: each for start, each in steady(100).items() if start != NOW - STEP}
    others = dict.fromkeys(range(NOW - 8 * DAY_MS, NOW + STEP, STEP), 1)
    insight = Judge(past({**windows, NOW: figures(positive=5)}, others), NOW + STEP).insight(NOW, final=True)
    assert insight.before is not None
    assert (insight.before.total.then, insight.before.total.relative, insight.before.score) == (0, None, None)
    silent = Judge(past(windows, others), NOW + STEP).insight(NOW, final=True)
    assert silent.spike is not None and silent.spike.strength == "very low" and silent.voice == 0


def test_where_nobody_listened_nothing_is_known() -> None:
    windows = steady(100, days=8, until_ms=NOW - 30 * HOUR) | steady(100, days=0.5, until_ms=NOW + STEP)
    insight = Judge(past(windows), NOW + STEP).insight(NOW, final=True)
    assert insight.day is None
    assert insight.week is not None
    # of half a day 48 windows: the first may have begun in its midst, and the last is judged
    assert insight.reference == 46
    young = Judge(past(steady(100, days=0.25, until_ms=NOW + STEP)), NOW + STEP).insight(NOW, final=True)
    assert (young.reference, young.spike, young.negative) == (22, None, None)
    assert LEAST_WINDOWS > 22


def test_before_a_task_was_first_heard_others_say_nothing_of_it() -> None:
    others = dict.fromkeys(range(NOW - 8 * DAY_MS, NOW + STEP, STEP), 300)
    insight = Judge(past(steady(100, days=2, until_ms=NOW + STEP), others), NOW + STEP).insight(NOW, final=True)
    assert insight.day is not None and insight.week is None


def test_windows_that_never_closed_are_held_against_nothing() -> None:
    windows = {**steady(100), NOW: figures(positive=100)}
    unfinished = {NOW - STEP, NOW - DAY_MS}
    insight = Judge(past(windows, None, unfinished=unfinished), NOW + STEP).insight(NOW, final=True)
    assert (insight.before, insight.day, insight.reference) == (None, None, REFERENCE_WINDOWS - 2)


@pytest.mark.parametrize("size_s", [10, 60, 900, 3600, 86_400])
def test_what_is_read_is_enough(size_s: int) -> None:
    step = 1000 * size_s
    start = NOW // step * step
    spans = spans_of(size_s, start)
    assert all(before[1] < after[0] for before, after in zip(spans, spans[1:], strict=False))

    def inside(at: int) -> bool:
        return any(first <= at < last for first, last in spans)

    for at in (start, *range(start - REFERENCE_WINDOWS * step, start, step), start - DAY_MS, start - WEEK_MS):
        for beside in (at - QUIET_MS - step, at - QUIET_MS, at, at + QUIET_MS, at + QUIET_MS + step):
            assert inside(beside // step * step), (at, beside)


starts = st.lists(st.integers(0, 60).map(lambda at: at * STEP), max_size=20)


@given(starts, st.integers(0, 60).map(lambda at: at * STEP), st.integers(-1, 61).map(lambda at: at * STEP))
def test_covered_is_what_lies_within_talk(heard: list[int], since: int, start: int) -> None:
    """Another way to say it: before and after there is talk, and the silence in between is not long."""
    earlier, later = [at for at in heard if at < start], [at for at in heard if at > start]
    known = start in heard and bool(earlier) and bool(later)
    if earlier and later:
        here = [start] if start in heard else []
        around = [max(earlier), *here, min(later)]
        gaps = [after - before - STEP for before, after in zip(around, around[1:], strict=False)]
        known = max(gaps) <= QUIET_MS
    assert (start in Covered(SIZE_S, heard, since)) == (known and start > since)


def test_nothing_is_known_of_a_task_that_was_never_heard() -> None:
    assert NOW not in Covered(SIZE_S, [NOW - STEP, NOW, NOW + STEP], None)
    assert NOW not in Covered(SIZE_S, [], 0)


parts = st.builds(figures, *[st.integers(0, 1000)] * 5)


@given(parts, parts)
def test_changes_are_differences_of_exact_figures(now: Figures, then: Figures) -> None:
    found = change(now, then, 7, voice_now=0.5, voice_then=None)
    more = now.scored + now.unscored - then.scored - then.unscored
    assert (found.start_ms, found.total.absolute, found.voice) == (7, more, None)
    assert (found.total.relative is None) == (then.scored + then.unscored == 0)
    assert (found.score is None) == (not now.scored or not then.scored)
    if found.score:
        exact = Fraction(now.positive - now.negative, now.scored) - Fraction(then.positive - then.negative, then.scored)
        assert found.score.absolute == pytest.approx(float(exact), abs=1e-9)
        assert sum(share.absolute for share in found.shares if share) == pytest.approx(0, abs=1e-9)
    assert -1 <= (score_of(now) or 0) <= 1


said = st.builds(Said, st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 50), st.booleans())


@given(st.lists(said, unique_by=lambda each: (each.task, each.start_ms)))
def test_voices_add_up(all_said: list[Said]) -> None:
    tasks = ["c", "a", "b"]
    found = voices(tasks, all_said)
    assert list(found.posts) == tasks
    assert found.total == sum(each.total for each in all_said if each.task != "d")
    shares = [found.share(task) for task in tasks]
    if found.total:
        assert sum(share or 0 for share in shares) == pytest.approx(1)
    else:
        assert shares == [None] * 3
    windows = by_window(tasks, all_said)
    assert list(windows) == sorted({each.start_ms for each in all_said})
    assert sum(each.total for each in windows.values()) == found.total
    assert found.final == all(each.final for each in windows.values())


def test_an_outage_is_not_taken_for_silence() -> None:
    """A quarter of an hour in which nobody listened, between two in which a hundred posts were heard as ever."""
    windows = {**steady(100), NOW: figures(positive=50, neutral=50)}
    del windows[NOW - STEP]
    missed = [(NOW - STEP, NOW)]
    silent = Judge(past(windows), NOW + STEP).insight(NOW, final=True)
    assert silent.before is not None and silent.before.total.then == 0
    judge = Judge(past(windows, unheard=missed), NOW + STEP)
    assert not judge.knows(NOW - STEP)
    insight = judge.insight(NOW, final=True)
    assert insight.before is None and insight.heard == 1
    assert insight.reference == silent.reference - 1
    assert insight.spike is not None and insight.spike.strength == "usual"


def test_a_window_that_was_heard_in_part_has_shares_but_no_number_to_be_judged() -> None:
    windows = {**steady(100), NOW: figures(positive=5, negative=45)}
    insight = Judge(past(windows, unheard=[(NOW, NOW + STEP // 2)]), NOW + STEP).insight(NOW, final=True)
    assert insight.heard == 0.5
    assert (insight.spike, insight.before, insight.day, insight.week) == (None, None, None, None)
    assert insight.negative is not None and insight.negative.strength == "very high"
    assert set(fields(insight)) == {"shift_neg_z", "shift_pos_z"}
    whole = Judge(past(windows, unheard=[(NOW, NOW + STEP // 20)]), NOW + STEP).insight(NOW, final=True)
    assert whole.spike is not None and whole.spike.strength == "low"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8), st.integers(0, 60), st.integers(1, 20))
def test_the_share_that_was_missed_is_counted_once(spans: list[tuple[int, int]], start: int, length: int) -> None:
    missed = {at for first, last in spans for at in range(first, last)}
    share = Missed(spans).share(start, start + length)
    assert share == len(missed & set(range(start, start + length))) / length
