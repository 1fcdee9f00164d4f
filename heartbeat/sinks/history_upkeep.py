"""What has to be done to the history's file from time to time, in steps of a few milliseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import chain
from typing import Final

from heartbeat.sinks.history_file import BUSY_MS
from heartbeat.sinks.history_rollup import Rollup
from heartbeat.sinks.history_statements import distinct, transaction
from heartbeat.sinks.history_texts import Texts
from heartbeat.sinks.history_thinning import Thinning

CHUNKS_A_STEP: Final = 16
ROWS_A_STEP: Final = 2_000
PAGES_A_STEP: Final = 512
SLACK_PAGES: Final = 1_024
"""Free pages that are left for what comes next."""
SWEEP_EVERY_MS: Final = 3_600_000
TRUNCATE_EVERY_MS: Final = 10_000

_SWEPT: Final = (
    ("posts", ("task",), ("time_ms", "source", "id")),
    ("late", ("task",), ("time_ms", "source", "id", "rev")),
    ("windows", ("task", "size_s"), ("start_ms",)),
    ("emptied", ("task", "size_s"), ("start_ms",)),
    ("rolled", ("task", "size_s"), ("start_ms",)),
    ("unheard", ("feed",), ("from_ms",)),
)


class Upkeep:
    """Erases texts whose time is over, adds days up, sweeps out old rows, gives pages back and cuts the WAL.

    Args:
        connection: the writing thread's.
        texts: its chunks.
        rollup: its hours and days.
        thinning: what removes small windows before that.
        history_ms: how long windows and scores are kept: from when they were stored, never from event time (a file's
            posts may be ten years old), and never shorter than event time says.
    """

    def __init__(
        self, connection: sqlite3.Connection, texts: Texts, rollup: Rollup, thinning: Thinning, history_ms: int
    ) -> None:
        self._connection, self._texts, self._history_ms = connection, texts, history_ms
        self._rollup, self._thinning = rollup, thinning
        self._sweep: Iterator[None] = iter(())
        self._swept_ms: int | None = None
        self._truncated_ms: int | None = None
        self.erased = True
        """Texts were erased in the file, but may still be read in the WAL: perhaps by a life that was killed."""

    def step(self, now_ms: int) -> bool:
        """Do a little of what is due; gives whether there is more."""
        if self._expire(now_ms):
            return True
        rolled = self._roll(now_ms)
        if self._swept_ms is None or abs(now_ms - self._swept_ms) >= SWEEP_EVERY_MS:
            self._swept_ms = now_ms
            self._sweep = chain(self._sweeping(now_ms - self._history_ms), self._thinning.steps(now_ms))
        if next(self._sweep, self) is not self:
            return True
        return rolled or self._vacuum() or self._truncate(now_ms)

    def _roll(self, now_ms: int) -> bool:
        """Add a day up in which nothing has changed for a while; gives whether there was one."""
        due = self._rollup.due(now_ms)
        if due is not None:
            with transaction(self._connection):
                self._rollup.roll(*due, now_ms)
        return due is not None

    def _expire(self, now_ms: int) -> bool:
        connection = self._connection
        if not self._texts.due(now_ms):
            return False
        with transaction(connection):
            expired = self._texts.expire(now_ms, CHUNKS_A_STEP)
        self.erased = True
        return expired == CHUNKS_A_STEP

    def _sweeping(self, before_ms: int) -> Iterator[None]:
        """Go through everything whose event time is old enough; a row goes if it was stored long enough ago, too."""
        for table, prefix, key in _SWEPT:
            for series in list(distinct(self._connection, table, *prefix)):
                yield from self._sweep_series(table, prefix, key, series, before_ms)

    def _sweep_series(
        self, table: str, prefix: tuple[str, ...], key: tuple[str, ...], series: tuple[int, ...], before_ms: int
    ) -> Iterator[None]:
        connection = self._connection
        here = " AND ".join(f"{column} = ?" for column in prefix) + f" AND {key[0]} < ?"
        columns, marks = ", ".join(key), ", ".join("?" * len(key))
        after: tuple[object, ...] | None = None
        values: tuple[object, ...]
        while True:
            place, values = here, (*series, before_ms)
            if after is not None:
                place, values = f"{here} AND ({columns}) > ({marks})", (*values, *after)
            last = connection.execute(
                f"SELECT {columns} FROM {table} WHERE {place} ORDER BY {columns} LIMIT 1 OFFSET {ROWS_A_STEP - 1}",
                values,
            ).fetchall()
            if last:
                place, values = f"{place} AND ({columns}) <= ({marks})", (*values, *last[0])
            with transaction(connection):
                connection.execute(f"DELETE FROM {table} WHERE {place} AND stored_ms < ?", (*values, before_ms))
                self.erased |= self._texts.erase_unreferenced()
            if not last:
                return
            after = last[0]
            yield

    def _vacuum(self) -> bool:
        free = int(self._connection.execute("PRAGMA freelist_count").fetchall()[0][0])
        if free <= SLACK_PAGES:
            return False
        # a script, since `execute` would leave off after one page
        self._connection.executescript(f"PRAGMA incremental_vacuum({PAGES_A_STEP})")
        return free - PAGES_A_STEP > SLACK_PAGES

    def _truncate(self, now_ms: int) -> bool:
        waited = self._truncated_ms is None or abs(now_ms - self._truncated_ms) >= TRUNCATE_EVERY_MS
        if self.erased and waited:
            self._truncated_ms = now_ms
            self.cut_wal()
        return False

    def cut_wal(self) -> bool:
        """Cut the WAL, where erased texts can still be read; False if a reader in the middle of a page was in the way.

        It is tried again by `step` then.
        """
        connection = self._connection
        connection.execute("PRAGMA busy_timeout = 50").fetchall()
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()
        self.erased = bool(busy)
        return not busy
