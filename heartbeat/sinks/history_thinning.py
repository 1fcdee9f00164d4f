"""Small windows are kept for some days; what is older is told by larger ones, which hold the same posts.

From when on a size is kept is written down for each task (`kept`, always the beginning of a day), before its windows
are removed in small steps. Readers go by that and not by what is still there: so between two sizes there is neither a
gap nor anything twice, at any moment and after a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

from heartbeat.sinks.history_rollup import DAY_MS, day_of, measured_sizes
from heartbeat.sinks.history_statements import distinct, transaction

ROWS_A_STEP: Final = 2_000


def days_of(size_s: int, by_size: Mapping[int, int]) -> int | None:
    """For how many days windows of a size are kept: as the nearest size says that is named and not smaller."""
    named = min((size for size in by_size if size >= size_s), default=None)
    return None if named is None else by_size[named]


def kept_from(connection: sqlite3.Connection, task: int | None, size_s: int) -> int | None:
    """From when on a size is kept; None if none of its windows was ever removed."""
    found = connection.execute("SELECT from_ms FROM kept WHERE task = ? AND size_s = ?", (task, size_s)).fetchall()
    return int(found[0][0]) if found else None


class Thinning:
    """Removes small windows of which larger ones tell.

    Args:
        connection: the writing thread's.
        days_by_size: how many days windows of a size are kept, by size in seconds (see `days_of`). Days count from
            when a window was stored, and never shorter than from its own time.
    """

    def __init__(self, connection: sqlite3.Connection, days_by_size: Mapping[int, int]) -> None:
        self._connection, self._days = connection, days_by_size

    def steps(self, now_ms: int) -> Iterator[None]:
        """Does what is due, a transaction of some milliseconds at a time. The largest size of a task always stays."""
        for (task,) in list(distinct(self._connection, "windows", "task")):
            sizes = measured_sizes(self._connection, task)
            for at, size_s in enumerate(sizes[:-1]):
                days = days_of(size_s, self._days)
                if days is not None:
                    yield from self._thin(task, size_s, sizes[at + 1 :], now_ms - days * DAY_MS)

    def _thin(self, task: int, size_s: int, larger: list[int], before_ms: int) -> Iterator[None]:
        yield from self._remove(task, size_s)  # what an earlier life left, or what was stored again since
        while (day_ms := self._first_day(task, size_s)) is not None:
            if day_ms + DAY_MS > before_ms or not self._may_go(task, size_s, larger, day_ms, before_ms):
                return
            with transaction(self._connection):
                self._connection.execute(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (task, size_s, day_ms + DAY_MS)
                )
            yield from self._remove(task, size_s)

    def _first_day(self, task: int, size_s: int) -> int | None:
        found = self._connection.execute(
            "SELECT min(start_ms) FROM windows WHERE task = ? AND size_s = ?", (task, size_s)
        ).fetchall()[0][0]
        return None if found is None else day_of(found)

    def _may_go(self, task: int, size_s: int, larger: list[int], day_ms: int, before_ms: int) -> bool:
        """Whether all windows of a day are old enough, and a larger size has all of their posts.

        (It has not where sizes were changed in the settings, and none larger was there before.)
        """
        totals = {}
        for size in (size_s, *larger):
            totals[size], newest_ms = self._connection.execute(
                "SELECT total(scored + unscored), max(stored_ms) FROM windows"
                " WHERE task = ? AND size_s = ? AND start_ms >= ? AND start_ms < ?",
                (task, size, day_ms, day_ms + DAY_MS),
            ).fetchall()[0]
            if size == size_s and newest_ms >= before_ms:
                return False
        return bool(max(totals[size] for size in larger) >= totals[size_s])

    def _remove(self, task: int, size_s: int) -> Iterator[None]:
        """Remove the windows of a size that are not kept any more."""
        connection = self._connection
        before_ms = kept_from(connection, task, size_s)
        if before_ms is None:
            return
        while True:
            last = connection.execute(
                "SELECT start_ms FROM windows WHERE task = ? AND size_s = ? AND start_ms < ?"
                f" ORDER BY start_ms LIMIT 1 OFFSET {ROWS_A_STEP - 1}",
                (task, size_s, before_ms),
            ).fetchall()
            until_ms = last[0][0] + 1 if last else before_ms
            with transaction(connection):
                connection.execute(
                    "DELETE FROM windows WHERE task = ? AND size_s = ? AND start_ms < ?", (task, size_s, until_ms)
                )
            yield
            if not last:
                return
