"""Reads the history: for pages and exports, while a worker writes and when none runs.

Everything is read in pages of some thousand rows, each a snapshot of its own, so that no reader ever keeps the writer
from checkpointing. A page that was read does not change any more; what is written meanwhile is seen by later ones.

Calls block for some milliseconds: an event loop makes them in a thread (`asyncio.to_thread`). A reader may be used from
any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import orjson

from heartbeat.clock import Clock, SystemClock
from heartbeat.records import Figures, Pulse
from heartbeat.sinks.history_insights import Around
from heartbeat.sinks.history_post_pages import PostPages
from heartbeat.sinks.history_rollup import measured_sizes, totals
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary, WindowRow, window_row
from heartbeat.sinks.history_snapshot import Snapshots
from heartbeat.sinks.history_statements import distinct, read_page
from heartbeat.sinks.history_thinning import kept_from
from heartbeat.sinks.history_timeline import OVERALL, Timeline, sizes_of
from heartbeat.sinks.history_unheard import unheard

PAGE_ROWS: Final = 4_000
EARLIEST_MS: Final = -(2**63)
LATEST_MS: Final = 2**63 - 1
_SPAN: Final = """
    SELECT (SELECT min(start_ms) FROM windows WHERE task = ?1 AND size_s = ?2),
        (SELECT max(start_ms) FROM windows WHERE task = ?1 AND size_s = ?2) + 1000 * ?2"""
"""Two queries, each of which looks at one row; asked for together they would read all."""


class HistoryReader:
    """A read-only view of a history's file.

    Args:
        path: the file.
        page_rows: rows of one snapshot.
        clock: tells which hours and days are over; None: the machine's.

    Raises:
        HistoryError: there is none, it cannot be read, or it is of another version. Any method may raise it, too.
    """

    def __init__(self, path: Path, *, page_rows: int = PAGE_ROWS, clock: Clock | None = None) -> None:
        self._page_rows, self._clock = page_rows, clock or SystemClock()
        self._snapshots = Snapshots(path)

    def __enter__(self) -> HistoryReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._snapshots.close()

    def tasks(self) -> list[str]:
        """The tasks that anything is known of, by name."""
        with self._snapshots.one() as connection:
            numbers = {task for table in ("windows", "posts") for (task,) in distinct(connection, table, "task")}
            return sorted(self._snapshots.name(task) for task in numbers)

    def sizes(self, task: str | None = None) -> list[int]:
        """The sizes in seconds in which there are windows, of one task or of all; hours and days among them."""
        with self._snapshots.one() as connection:
            if task is not None:
                return sizes_of(connection, self._snapshots.number(task))
            tasks = list(distinct(connection, "windows", "task"))
            return sorted({size_s for (number,) in tasks for size_s in sizes_of(connection, number)})

    def summary(self, task: str) -> Summary | None:
        """What there is of a task; None if it has no windows."""
        with self._snapshots.moment() as connection:
            number = self._snapshots.number(task)
            spans = {
                size_s: connection.execute(_SPAN, (number, size_s)).fetchall()[0]
                for size_s in measured_sizes(connection, number)
            }
            if not spans:
                return None
            late = connection.execute("SELECT count(*) FROM late WHERE task = ?", (number,)).fetchall()[0][0]
            thinned = {size_s for size_s in spans if kept_from(connection, number, size_s) is not None}
            total, unscored = totals(connection, number, self._clock.now_ms())
        from_ms, to_ms = min(first for first, _ in spans.values()), max(last for _, last in spans.values())
        return Summary(task, from_ms, to_ms, total, unscored, late, tuple(sorted(spans.keys() - thinned)))

    def windows(
        self,
        task: str | None = None,
        *,
        size_s: int | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        by: By = "all",
    ) -> Iterator[WindowRow]:
        """Windows that start in [from_ms, to_ms), ordered by task, size, start and key.

        Args:
            task: one task; None: all.
            size_s: one size, and larger ones where it is not kept any more; None: all, each as far as it is kept.
            from_ms: ms since the epoch; None: from the first one.
            to_ms: ms since the epoch; None: to the last one.
            by: a row a window, or one for each of its languages, sources or models.
        """
        for name in self.tasks() if task is None else [task]:
            for size in self.sizes(name) if size_s is None else [size_s]:
                for row in self.figures(name, size, from_ms=from_ms, to_ms=to_ms, by=by, fill=size_s is not None):
                    yield window_row(name, by, row)

    def figures(
        self,
        task: str,
        size_s: int,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        by: By = "all",
        fill: bool = True,
    ) -> Iterator[FiguresRow]:
        """As `windows`, for one task and size, with sums instead of means.

        Where windows of this size are not kept any more there are larger ones instead, unless `fill` is False.
        """
        timeline = Timeline(self._snapshots, task, by, self._page_rows, self._clock)
        first_ms, last_ms = EARLIEST_MS if from_ms is None else from_ms, LATEST_MS if to_ms is None else to_ms
        yield from timeline.rows(size_s, first_ms, last_ms, fill=fill)

    def _pages(
        self, columns: str, table: str, task: str, size_s: int, from_ms: int | None, to_ms: int | None
    ) -> Iterator[list[Any]]:
        """Rows that begin with `start_ms`, by it, a snapshot after the other."""
        start_ms = EARLIEST_MS if from_ms is None else from_ms
        end_ms = LATEST_MS if to_ms is None else to_ms
        query = (
            f"FROM {table} WHERE task = ? AND size_s = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms LIMIT ?"
        )
        while True:
            with self._snapshots.one() as connection:
                key = (self._snapshots.number(task), size_s, start_ms, end_ms, self._page_rows)
                rows = read_page(connection, columns, query, key)
            yield from rows
            if len(rows) < self._page_rows:
                return
            start_ms = rows[-1][0] + 1

    def through(self, topic: str, partition: int) -> int:
        """The first offset of a partition that is not in the file yet."""
        with self._snapshots.one() as connection:
            found = connection.execute(
                "SELECT next FROM offsets WHERE topic = ? AND partition = ?", (topic, partition)
            ).fetchall()
        return int(found[0][0]) if found else 0

    def unheard(self, feeds: Sequence[str], from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """What any of these feeds has not heard of [from_ms, to_ms): pairs of (from, to) in ms, some may overlap."""
        with self._snapshots.one() as connection:
            return unheard(connection, feeds, from_ms, to_ms)

    def around(self, size_s: int) -> Around:
        """Reads what insights are made from, in windows of this size."""
        return Around(self._snapshots, size_s)

    def pulses(
        self, task: str, size_s: int, *, from_ms: int | None = None, to_ms: int | None = None
    ) -> Iterator[Pulse]:
        """Windows of one task and size that start in [from_ms, to_ms) as they were published, as far as they are kept.

        What stood beside their figures, the task's late posts so far, is not kept: it says 0.
        """
        columns, table = f"{OVERALL}, lang, source, model", "windows JOIN parts USING (task, size_s, start_ms)"
        for start_ms, revision, final, *figures, lang, source, model in self._pages(
            columns, table, task, size_s, from_ms, to_ms
        ):
            by_lang, by_source = (_figures_of(parts) for parts in (lang, source))
            overall, by_model = Figures._make(figures), orjson.loads(model)
            yield Pulse(task, size_s, start_ms, revision, bool(final), 0, overall, by_lang, by_source, by_model)

    def posts(
        self,
        task: str | None = None,
        *,
        limit: int | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        newest_first: bool = False,
        content: bool = False,
    ) -> Iterator[PostRow]:
        """Posts whose time is in [from_ms, to_ms), ordered by task, time, source and id.

        Args:
            task: one task; None: all.
            limit: the most rows.
            from_ms: ms since the epoch; None: from the first one.
            to_ms: ms since the epoch; None: to the last one.
            newest_first: within a task the other way round.
            content: with texts, as far as they are still kept.
        """
        left = limit
        page_rows = self._page_rows if limit is None else max(min(limit + 1, self._page_rows), 1)
        for name in self.tasks() if task is None else [task]:
            pages = PostPages(self._snapshots, name, page_rows=page_rows, newest_first=newest_first, content=content)
            for row in pages.rows(EARLIEST_MS if from_ms is None else from_ms, LATEST_MS if to_ms is None else to_ms):
                if left is not None:
                    if left <= 0:
                        return
                    left -= 1
                yield row

    def post(self, task: str, time_ms: int, source: str, post_id: str) -> PostRow | None:
        """One post with its text, as far as that is still kept; None if it is not there."""
        pages = PostPages(self._snapshots, task, page_rows=1, newest_first=False, content=True)
        return pages.one(time_ms, source, post_id)


def _figures_of(parts: str) -> dict[str, Figures]:
    return {key: Figures._make(figures) for key, figures in orjson.loads(parts).items()}
