"""Windows of a task in the order of time, each stretch of a range in a size that is kept there.

Everything is read in pages, each of one moment: what a page needs to know of days that are stale, and of sizes that are
not kept, is read in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import orjson

from heartbeat.clock import Clock
from heartbeat.records import Figures
from heartbeat.sinks.history_rollup import DAY_MS, DAY_S, HOUR_S, ROLLED_S, Rolled, add_up, day_of, measured_sizes
from heartbeat.sinks.history_rows import By, FiguresRow
from heartbeat.sinks.history_snapshot import Snapshots
from heartbeat.sinks.history_statements import read_page
from heartbeat.sinks.history_thinning import kept_from

DAYS_A_PAGE: Final = {HOUR_S: 64, DAY_S: 512}
FIRST_MS: Final = -(2**62)
"""Before all windows, with room for arithmetic in 64 bits."""
_UNKNOWN: Final = Figures()[1:]
OVERALL: Final = (
    "start_ms, revision, final, scored, unscored, positive, neutral, negative, mixed, pos_e6, neu_e6, neg_e6"
)


def sizes_of(connection: sqlite3.Connection, task: int | None) -> list[int]:
    """The sizes in which there are windows of a task: those that are stored, and hours and days."""
    sizes = set(measured_sizes(connection, task))
    if any(HOUR_S % size == 0 for size in sizes):
        sizes.add(HOUR_S)
    return sorted({*sizes, DAY_S} if sizes else sizes)


class Timeline:
    """Reads one task's windows.

    Args:
        snapshots: of the file.
        task: its name.
        by: a row a window, or one for each of its languages, sources or models.
        page_rows: rows of one snapshot, at least 1.
        clock: tells which hours are over.
    """

    def __init__(self, snapshots: Snapshots, task: str, by: By, page_rows: int, clock: Clock) -> None:
        self._snapshots, self._task, self._by, self._page_rows = snapshots, task, by, page_rows
        self._clock = clock

    def rows(self, size_s: int, from_ms: int, to_ms: int, *, fill: bool) -> Iterator[FiguresRow]:
        """Windows that start in [from_ms, to_ms), oldest first.

        Args:
            size_s: their size; hours and days are added up where they have not been yet.
            from_ms: ms since the epoch.
            to_ms: ms since the epoch.
            fill: where windows of this size are not kept any more, give larger ones.
        """
        from_ms = max(from_ms, FIRST_MS)
        if size_s in ROLLED_S:
            yield from self._rolled(size_s, from_ms, to_ms)
            return
        while from_ms < to_ms:
            with self._snapshots.moment() as connection:
                task = self._snapshots.number(self._task)
                size, until_ms = size_s, to_ms
                if fill:
                    size, until_ms = _served(connection, task, size_s, from_ms, to_ms)
                page = self._page(connection, "windows", "parts", task, size, from_ms, until_ms)
            yield from self._cut(page, size)
            from_ms = page[-1][0] + 1 if len(page) == self._page_rows else until_ms

    def _rolled(self, size_s: int, from_ms: int, to_ms: int) -> Iterator[FiguresRow]:
        while from_ms < to_ms:
            with self._snapshots.moment() as connection:
                task = self._snapshots.number(self._task)
                start_ms = _next_day(connection, task, size_s, from_ms)
                if start_ms is None or start_ms >= to_ms:
                    return
                from_ms = max(from_ms, start_ms)
                until_ms = min(day_of(from_ms) + DAYS_A_PAGE[size_s] * DAY_MS, to_ms)
                stale = connection.execute(
                    "SELECT day_ms FROM stale WHERE task = ? AND day_ms > ? AND day_ms < ?",
                    (task, from_ms - DAY_MS, until_ms),
                ).fetchall()
                found = self._whole(connection, task, size_s, from_ms, until_ms)
                fresh = {day_ms: self._added_up(connection, task, day_ms, size_s) for (day_ms,) in stale}
            page = [row for row in found if day_of(row[0]) not in fresh]
            page += [row for rows in fresh.values() for row in rows if from_ms <= row[0] < until_ms]
            yield from self._cut(sorted(page, key=lambda row: row[0]), size_s)
            from_ms = until_ms

    def _whole(
        self, connection: sqlite3.Connection, task: int | None, size_s: int, from_ms: int, to_ms: int
    ) -> list[list[Any]]:
        rows: list[list[Any]] = []
        while True:
            page = self._page(connection, "rolled", "rolled_parts", task, size_s, from_ms, to_ms)
            rows += page
            if len(page) < self._page_rows:
                return rows
            from_ms = page[-1][0] + 1

    def _added_up(self, connection: sqlite3.Connection, task: int | None, day_ms: int, size_s: int) -> list[list[Any]]:
        assert task is not None
        rolled = add_up(connection, task, day_ms, self._clock.now_ms(), parts=self._by != "all")
        return [self._as_row(one) for one in rolled if one.size_s == size_s]

    def _as_row(self, one: Rolled) -> list[Any]:
        figures: list[Any] = list(one.overall)
        if self._by != "all":
            figures = [{"lang": one.by_lang, "source": one.by_source, "model": one.by_model}[self._by]]
        return [one.start_ms, one.revision, one.final, *figures]

    def _page(
        self,
        connection: sqlite3.Connection,
        table: str,
        parts: str,
        task: int | None,
        size_s: int,
        from_ms: int,
        to_ms: int,
    ) -> list[list[Any]]:
        columns, source = OVERALL, table
        if self._by != "all":
            columns, source = (
                f"start_ms, revision, final, {self._by}",
                f"{table} JOIN {parts} USING (task, size_s, start_ms)",
            )
        return read_page(
            connection,
            columns,
            f"FROM {source} WHERE task = ? AND size_s = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms LIMIT ?",
            (task, size_s, from_ms, to_ms, self._page_rows),
        )

    def _cut(self, page: list[list[Any]], size_s: int) -> Iterator[FiguresRow]:
        for at_ms, revision, final, *figures in page:
            parts: list[tuple[str, Any]] = [("all", figures)]
            if self._by != "all":
                known = figures[0] if isinstance(figures[0], dict) else orjson.loads(figures[0])
                parts = sorted(known.items())
            if self._by == "model":
                parts = [(name, [count, *_UNKNOWN]) for name, count in parts]
            for key, part in parts:
                yield FiguresRow(at_ms, key, Figures._make(part), revision, bool(final), size_s)


def _next_day(connection: sqlite3.Connection, task: int | None, size_s: int, from_ms: int) -> int | None:
    """The first moment from this one on at which there may be an hour or a day."""
    rolled = connection.execute(
        "SELECT min(start_ms) FROM rolled WHERE task = ? AND size_s = ? AND start_ms >= ?", (task, size_s, from_ms)
    ).fetchall()[0][0]
    stale = connection.execute(
        "SELECT min(day_ms) FROM stale WHERE task = ? AND day_ms > ?", (task, from_ms - DAY_MS)
    ).fetchall()[0][0]
    return min((one for one in (rolled, stale) if one is not None), default=None)


def _served(connection: sqlite3.Connection, task: int | None, size_s: int, from_ms: int, to_ms: int) -> tuple[int, int]:
    """The size in which windows are kept at the beginning of a range, and until when that is so."""
    since_ms = kept_from(connection, task, size_s)
    if since_ms is None or from_ms >= since_ms:
        return size_s, to_ms
    to_ms = min(to_ms, since_ms)
    for larger in measured_sizes(connection, task):
        if (
            larger > size_s
            and connection.execute(
                "SELECT 1 FROM windows WHERE task = ?1 AND size_s = ?2 AND start_ms < ?4 AND start_ms >="
                " max(?3, coalesce((SELECT from_ms FROM kept WHERE task = ?1 AND size_s = ?2), ?3)) LIMIT 1",
                (task, larger, from_ms, to_ms),
            ).fetchall()
        ):
            return _served(connection, task, larger, from_ms, to_ms)
    return size_s, to_ms
