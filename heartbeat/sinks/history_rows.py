"""What a reader of the history gets."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from heartbeat.records import Figures

MILLION: Final = 1_000_000

By: TypeAlias = Literal["all", "lang", "source", "model"]
"""What a window is cut by. By model there are counts of scored posts alone."""


class WindowRow(NamedTuple):
    """A window, overall (`by` and `key` are `all`) or for one language, source or model of it.

    `window_start` is in ms since the epoch. Counts are of posts, total = scored + unscored, and the labels add up to
    scored. Means are over scored posts, None if there are none. `revision` and `final` are the whole window's.
    Of a model only `total` and `scored` are known, which are the same.
    """

    task: str
    window_start: int
    window_seconds: int
    by: By
    key: str
    total: int
    scored: int
    positive: int | None
    neutral: int | None
    negative: int | None
    mixed: int | None
    unscored: int | None
    pos_mean: float | None
    neu_mean: float | None
    neg_mean: float | None
    revision: int
    final: bool


class PostRow(NamedTuple):
    """A post as it was counted for one task. `time` is in ms since the epoch; figures have six decimals.

    Either label, pos, neu, neg and model are there, or `unscored_reason` is. `late`: it is in no window. `content` is
    None unless it was asked for and is still kept.
    """

    id: str
    source: str
    task: str
    time: int
    lang: str
    lang_confidence: float
    label: str | None
    pos: float | None
    neu: float | None
    neg: float | None
    model: str | None
    unscored_reason: str | None
    late: bool
    rev: int
    feed: str
    content: str | None = None


class FiguresRow(NamedTuple):
    """The sums behind a `WindowRow` of one task: what can be added up with others."""

    start_ms: int
    key: str
    figures: Figures
    revision: int
    final: bool
    size_s: int


class Summary(NamedTuple):
    """What there is of a task: its windows cover [from_ms, to_ms); posts in them, and posts that came late for them.

    `sizes` are those in seconds in which windows are kept from the first one on, hours and days not among them.
    """

    task: str
    from_ms: int
    to_ms: int
    total: int
    unscored: int
    late: int
    sizes: tuple[int, ...]


def window_row(task: str, by: By, row: FiguresRow) -> WindowRow:
    """Sums as means."""
    start_ms, key, figures, revision, final, size_s = row
    if by == "model":
        count, unknown = figures.scored, (None,) * 8
        return WindowRow(task, start_ms, size_s, by, key, count, count, *unknown, revision, final)
    scored, unscored, positive, neutral, negative, mixed, pos_e6, neu_e6, neg_e6 = figures
    sums = scored * MILLION
    return WindowRow(
        task,
        start_ms,
        size_s,
        by,
        key,
        scored + unscored,
        scored,
        positive,
        neutral,
        negative,
        mixed,
        unscored,
        pos_e6 / sums if scored else None,
        neu_e6 / sums if scored else None,
        neg_e6 / sums if scored else None,
        revision,
        final,
    )


def millionths(score: float) -> int:
    """A score in units of 10⁻⁶; the same rounding as in windows, so that posts add up to them exactly."""
    return round(score * MILLION)
