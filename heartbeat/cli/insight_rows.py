"""The rows of `heartbeat export insights`: every window of a task that is known, and how it stands to others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from heartbeat.insights.change import LABELS, Change, Difference, score_of, shares_of, total_of
from heartbeat.insights.company import company_of
from heartbeat.insights.fields import FIELDS, fields
from heartbeat.insights.insight import Insight, Judge, spans_of
from heartbeat.insights.shift import Shift
from heartbeat.insights.spike import Spike
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.table_writers import Column, Kind
from heartbeat.tasks import Task, feeds_by_task

WINDOWS_AT_ONCE: Final = 500
_NEGATIVE, _POSITIVE = LABELS.index("negative"), LABELS.index("positive")

_THEN: Final[tuple[tuple[str, Kind], ...]] = (
    ("total", "integer"),
    ("score", "number"),
    ("negative_share", "number"),
    ("positive_share", "number"),
    ("voice_share", "number"),
)
_SHIFT: Final[tuple[tuple[str, Kind], ...]] = (
    ("", "text"),
    ("_difference", "number"),
    ("_from", "number"),
    ("_to", "number"),
)
INSIGHT_COLUMNS: Final = (
    Column("task", "text"),
    Column("window_start", "time"),
    Column("window_seconds", "integer"),
    Column("final", "boolean"),
    Column("total", "integer"),
    Column("scored", "integer"),
    Column("score", "number"),
    Column("negative_share", "number"),
    Column("positive_share", "number"),
    *(Column(name, "number") for name in FIELDS),
    *(Column(f"{figure}_{then}", kind) for then in ("prev", "day", "week") for figure, kind in _THEN),
    Column("reference", "integer"),
    Column("usual", "number"),
    Column("usual_from", "integer"),
    Column("usual_to", "integer"),
    Column("spike", "text"),
    *(Column(f"shift_{label}{what}", kind) for label in ("neg", "pos") for what, kind in _SHIFT),
)


def insight_rows(
    reader: HistoryReader,
    task: str,
    size_s: int,
    tasks: Sequence[Task],
    *,
    from_ms: int | None,
    to_ms: int | None,
) -> Iterator[tuple[Any, ...]]:
    """Windows of one task and size that start in [from_ms, to_ms), oldest first.

    Args:
        reader: of the history.
        task: its name.
        size_s: their size.
        tasks: the configured ones.
        from_ms: ms since the epoch; None: from the first one.
        to_ms: ms since the epoch; None: to the last one.
    """
    around = reader.around(size_s)
    ends = around.ends(task)
    if ends is None:
        return
    size_ms = 1000 * size_s
    first_ms = ends[0] if from_ms is None else max(ends[0], -(-from_ms // size_ms) * size_ms)
    last_ms = ends[1] + size_ms if to_ms is None else min(ends[1] + size_ms, to_ms)
    company = company_of(task, feeds_by_task(tasks))
    for begin_ms in range(first_ms, last_ms, WINDOWS_AT_ONCE * size_ms):
        until_ms = min(begin_ms + WINDOWS_AT_ONCE * size_ms, last_ms)
        past = around.past(task, company, spans_of(size_s, begin_ms, until_ms))
        judge = Judge(past)
        for start_ms in range(begin_ms, until_ms, size_ms):
            if start_ms in past.windows or judge.knows(start_ms):
                yield _row(task, judge.insight(start_ms, final=start_ms not in past.unfinished))


def _row(task: str, found: Insight) -> tuple[Any, ...]:
    shares = shares_of(found.figures)
    numbers = fields(found)
    return (
        task,
        found.start_ms,
        found.size_s,
        found.final,
        total_of(found.figures),
        found.figures.scored,
        score_of(found.figures),
        shares[_NEGATIVE],
        shares[_POSITIVE],
        *(numbers.get(name) for name in FIELDS),
        *_then(found.before),
        *_then(found.day),
        *_then(found.week),
        found.reference,
        *_usual(found.spike),
        *_shift(found.negative),
        *_shift(found.positive),
    )


def _then(change: Change | None) -> Sequence[float | None]:
    """The figures of an earlier window, where both have them."""
    if change is None:
        return (None,) * len(_THEN)
    shares = change.shares
    differences: list[Difference | None] = [change.score, shares[_NEGATIVE], shares[_POSITIVE], change.voice]
    return (int(change.total.then), *(each.then if each else None for each in differences))


def _usual(spike: Spike | None) -> Sequence[Any]:
    return (spike.usual, spike.low, spike.high, spike.strength) if spike else (None,) * 4


def _shift(shift: Shift | None) -> Sequence[Any]:
    return (shift.strength, shift.difference, shift.low, shift.high) if shift else (None,) * len(_SHIFT)
