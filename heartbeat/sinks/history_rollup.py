"""Hours and days, added up from the windows that are stored: what long charts are drawn from.

Sums are integers, so that an hour is exactly what its windows say. Whenever a window is stored, its day is marked as
stale in the same transaction. Once a day is over and nothing has changed in it for a while, its hours and the day
itself are added up anew from the stored windows, in one transaction with the removal of the mark. Until then readers do
the same sum themselves. So whatever happens to a window (a correction, a late retraction, a crash between any two
steps), no reader ever sees an hour that its windows do not add up to.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from heartbeat.records import Figures
from heartbeat.sinks.history_statements import read_page, write_rows

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
ROLLED_S: Final = (HOUR_S, DAY_S)
"""Sizes that are added up from others, in seconds."""
HOUR_MS: Final = 1000 * HOUR_S
DAY_MS: Final = 1000 * DAY_S
QUIET_MS: Final = 300_000
"""A day is added up when nothing has changed in it for so long: not with every state of its newest window."""

Parts: TypeAlias = dict[str, tuple[int, ...]]

_NOTHING: Final = tuple(Figures())
_COLUMNS: Final = (
    "start_ms, revision, final, stored_ms, scored, unscored, positive, neutral, negative, mixed, pos_e6, neu_e6, neg_e6"
)


class Rolled(NamedTuple):
    """An hour or a day. Its revision is the sum of its windows', so that each correction raises it.

    `final`: all of its windows are, and its time is over.
    """

    size_s: int
    start_ms: int
    revision: int
    final: bool
    stored_ms: int
    overall: tuple[int, ...]
    by_lang: Parts
    by_source: Parts
    by_model: Mapping[str, int]


def day_of(ms: int) -> int:
    """The beginning of the day (UTC) that a moment lies in."""
    return ms - ms % DAY_MS


def measured_sizes(connection: sqlite3.Connection, task: int | None) -> list[int]:
    """The sizes of a task's stored windows in seconds, ascending, without reading its rows."""
    sizes: list[int] = []
    found = [(0,)] if task is not None else []
    while found:
        found = connection.execute(
            "SELECT size_s FROM windows WHERE task = ? AND size_s > ? ORDER BY size_s LIMIT 1", (task, found[0][0])
        ).fetchall()
        sizes += [size_s for (size_s,) in found]
    return sizes


def add_up(connection: sqlite3.Connection, task: int, day_ms: int, now_ms: int, *, parts: bool = True) -> list[Rolled]:
    """The hours of a day and the day itself, from what is stored, in the order of size and start.

    Args:
        connection: inside a transaction, so that all of it is one moment's.
        task: the number of its name.
        day_ms: the beginning of the day.
        now_ms: the time by the clock; what lies before it is over.
        parts: with languages, sources and models.
    """
    sizes = measured_sizes(connection, task)
    if not sizes:
        return []
    whole = [size for size in sizes if HOUR_S % size == 0]
    if not whole:  # windows of two hours, say: there are days alone
        rows = _rows(connection, task, sizes[-1], [(day_ms, day_ms + DAY_MS)], parts)
        return [_sum(DAY_S, day_ms, rows, now_ms)] if rows else []
    hours = [
        _sum(HOUR_S, start_ms, rows, now_ms)
        for start_ms, rows in _by_hour(connection, task, whole, day_ms, parts).items()
    ]
    return [*hours, _sum(DAY_S, day_ms, hours, now_ms)] if hours else []


def totals(connection: sqlite3.Connection, task: int | None, now_ms: int) -> tuple[int, int]:
    """How many posts there are in all windows of a task, and how many of them are unscored."""
    total, unscored = connection.execute(
        "SELECT coalesce(sum(scored + unscored), 0), coalesce(sum(unscored), 0) FROM rolled"
        f" WHERE task = ?1 AND size_s = {DAY_S} AND start_ms NOT IN (SELECT day_ms FROM stale WHERE task = ?1)",
        (task,),
    ).fetchall()[0]
    for stale_task, day_ms in connection.execute("SELECT task, day_ms FROM stale WHERE task = ?", (task,)).fetchall():
        for one in add_up(connection, stale_task, day_ms, now_ms, parts=False):
            if one.size_s == DAY_S:
                total, unscored = total + sum(one.overall[:2]), unscored + one.overall[1]
    return total, unscored


def _by_hour(
    connection: sqlite3.Connection, task: int, sizes: Sequence[int], day_ms: int, parts: bool
) -> dict[int, list[Rolled]]:
    """Each hour's windows, of the largest size; of the next one where that has more; beside them, what others tell.

    The first of these is for sizes that were changed by an earlier version, which began windows in their midst. Today
    each window is whole, but of an hour some may be of a size that went, and some of one that came.
    """
    largest = sizes[-1]
    hours: dict[int, list[Rolled]] = {}
    for row in _rows(connection, task, largest, [(day_ms, day_ms + DAY_MS)], parts):
        hours.setdefault(row.start_ms - row.start_ms % HOUR_MS, []).append(row)
    if len(sizes) > 1:
        totals = connection.execute(
            f"SELECT start_ms - (start_ms - ?1) % {HOUR_MS} AS hour, sum(scored + unscored) FROM windows"
            " WHERE task = ?2 AND size_s = ?3 AND start_ms >= ?1 AND start_ms < ?4 GROUP BY hour",
            (day_ms, task, sizes[-2], day_ms + DAY_MS),
        ).fetchall()
        for start_ms, total in totals:
            if total > sum(sum(row.overall[:2]) for row in hours.get(start_ms, ())):
                hours[start_ms] = _rows(connection, task, sizes[-2], [(start_ms, start_ms + HOUR_MS)], parts)
    for size_s in reversed(sizes):
        for row in _rows(connection, task, size_s, _room(hours.values(), day_ms, 1000 * size_s), parts):
            hours.setdefault(row.start_ms - row.start_ms % HOUR_MS, []).append(row)
    return dict(sorted(hours.items()))


def _room(hours: Iterable[Sequence[Rolled]], day_ms: int, size_ms: int) -> list[tuple[int, int]]:
    """Where windows of this size may start, [from, to), so that they lie in the day and overlap none of these."""
    taken = sorted((row.start_ms, row.start_ms + 1000 * row.size_s) for rows in hours for row in rows)
    room, at_ms = [], day_ms
    for start_ms, end_ms in [*taken, (day_ms + DAY_MS, day_ms + DAY_MS)]:
        if start_ms - at_ms >= size_ms:
            room.append((at_ms, start_ms - size_ms + 1))
        at_ms = max(at_ms, end_ms)
    return room


def _rows(
    connection: sqlite3.Connection, task: int, size_s: int, starts: Sequence[tuple[int, int]], parts: bool
) -> list[Rolled]:
    """The windows of a size that start in one of these spans, [from, to) each."""
    columns, table = _COLUMNS, "windows"
    if parts:
        columns, table = f"{_COLUMNS}, lang, source, model", "windows JOIN parts USING (task, size_s, start_ms)"
    found = read_page(
        connection,
        columns,
        f"FROM json_each(?) AS span CROSS JOIN {table} WHERE task = ? AND size_s = ?"
        " AND start_ms >= span.value ->> 0 AND start_ms < span.value ->> 1 ORDER BY start_ms",
        (orjson.dumps(starts).decode(), task, size_s),
    )
    rolled = []
    for start_ms, revision, final, stored_ms, *rest in found:
        by = map(orjson.loads, rest[9:]) if parts else ({}, {}, {})
        rolled.append(Rolled(size_s, start_ms, revision, bool(final), stored_ms, tuple(rest[:9]), *by))
    return rolled


def _sum(size_s: int, start_ms: int, rows: Sequence[Rolled], now_ms: int) -> Rolled:
    return Rolled(
        size_s,
        start_ms,
        sum(row.revision for row in rows),
        all(row.final for row in rows) and now_ms >= start_ms + 1000 * size_s,
        max(row.stored_ms for row in rows),
        _added(row.overall for row in rows),
        _added_parts(row.by_lang for row in rows),
        _added_parts(row.by_source for row in rows),
        _added_counts(row.by_model for row in rows),
    )


def _added(figures: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*figures, strict=True)))


def _added_parts(several: Iterable[Parts]) -> Parts:
    by_name: dict[str, list[Sequence[int]]] = {}
    for parts in several:
        for name, figures in parts.items():
            by_name.setdefault(name, []).append(figures)
    return {name: _added(figures) for name, figures in sorted(by_name.items())}


def _added_counts(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in several:
        total.update(counts)
    return dict(sorted(total.items()))


class Rollup:
    """The hours and days of the file, as the writing thread sees them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def mark(self, windows: Iterable[tuple[int, int, int]], now_ms: int) -> None:
        """Windows (task, size_s, start_ms) are changed in the transaction that is open: their days are stale."""
        days = {(task, day_of(start_ms)) for task, _, start_ms in windows}
        write_rows(self._connection, "INSERT OR REPLACE INTO stale VALUES ?", [(*day, now_ms) for day in sorted(days)])

    def due(self, now_ms: int) -> tuple[int, int] | None:
        """A (task, day) that is over, and in which nothing has changed for a while; None if there is none."""
        found = self._connection.execute(
            # a mark from the future was made before the clock was set back
            "SELECT task, day_ms FROM stale WHERE (changed_ms <= ? OR changed_ms > ?) AND day_ms <= ? LIMIT 1",
            (now_ms - QUIET_MS, now_ms, now_ms - DAY_MS),
        ).fetchall()
        return found[0] if found else None

    def roll(self, task: int, day_ms: int, now_ms: int) -> None:
        """Add a day up, in the transaction that is open."""
        connection = self._connection
        rolled = add_up(connection, task, day_ms, now_ms)
        for size_s in ROLLED_S:
            connection.execute(
                "DELETE FROM rolled WHERE task = ? AND size_s = ? AND start_ms >= ? AND start_ms < ?",
                (task, size_s, day_ms, day_ms + DAY_MS),
            )
        rows: list[Sequence[Any]] = []
        parts: list[Sequence[Any]] = []
        for one in rolled:
            key = (task, one.size_s, one.start_ms)
            rows.append((*key, one.revision, int(one.final), one.stored_ms, *one.overall))
            by = one.by_lang, one.by_source, one.by_model
            parts.append((*key, *(orjson.dumps(part).decode() for part in by)))
        write_rows(connection, "INSERT INTO rolled VALUES ?", rows)
        write_rows(connection, "INSERT INTO rolled_parts VALUES ?", parts)
        connection.execute("DELETE FROM stale WHERE task = ? AND day_ms = ?", (task, day_ms))
