"""What insights are made from, read out of the history: few columns of the windows around some times.

Windows are read in the size that is asked for and in no other; what is not stored in it is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import orjson

from heartbeat.insights.company import Company
from heartbeat.insights.insight import Past, Span
from heartbeat.insights.voice import Said
from heartbeat.records import Figures
from heartbeat.sinks.history_snapshot import Snapshots
from heartbeat.sinks.history_statements import read_page
from heartbeat.sinks.history_unheard import unheard

_OF_TASKS: Final = "task IN (SELECT n.id FROM json_each(?) j JOIN names n ON n.name = j.value)"
_FIGURES: Final = "start_ms, final, scored, unscored, positive, neutral, negative, mixed, pos_e6, neu_e6, neg_e6"


class Around:
    """Reads windows of one size. All that a call gives is of one moment.

    Args:
        snapshots: of the file.
        size_s: of the windows.
    """

    def __init__(self, snapshots: Snapshots, size_s: int) -> None:
        self._snapshots, self._size_s = snapshots, size_s

    def past(self, task: str, company: Company, spans: Sequence[Span]) -> Past:
        """What `Judge` takes: the task's windows in these spans (see `spans_of`), and what others tell of it."""
        return self.pasts({task: company}, spans)[task]

    def pasts(self, tasks: Mapping[str, Company], spans: Sequence[Span]) -> dict[str, Past]:
        """The same for many tasks; what they share is read once."""
        sums: dict[frozenset[str], dict[int, int]] = {}
        missed_by: dict[tuple[str, ...], Sequence[Span]] = {}
        found: dict[str, Past] = {}
        with self._moment() as connection:

            def together(names: Sequence[str]) -> dict[int, int]:
                key = frozenset(names)
                if key not in sums:
                    sums[key] = self._together(connection, names, spans)
                return sums[key]

            def not_heard(feeds: tuple[str, ...]) -> Sequence[Span]:
                if feeds not in missed_by:
                    ends = [first for first, _ in spans], [last + 1000 * self._size_s for _, last in spans]
                    missed_by[feeds] = tuple(unheard(connection, feeds, min(ends[0]), max(ends[1]))) if spans else ()
                return missed_by[feeds]

            for task, (alike, voices, feeds) in tasks.items():
                windows, unfinished, since_ms = self._own(connection, task, spans)
                compared = None if voices is None else together(voices)
                missed = not_heard(feeds)
                found[task] = Past(self._size_s, windows, together(alike), since_ms, compared, unfinished, missed)
        return found

    def _own(
        self, connection: sqlite3.Connection, task: str, spans: Sequence[Span]
    ) -> tuple[dict[int, Figures], set[int], int | None]:
        """A task's windows, those of them that are not closed, and the start of its first of all."""
        number = self._snapshots.number(task)
        first = connection.execute(
            "SELECT min(start_ms) FROM windows WHERE task = ? AND size_s = ?", (number, self._size_s)
        ).fetchall()[0][0]
        windows: dict[int, Figures] = {}
        unfinished: set[int] = set()
        query = "FROM windows WHERE task = ? AND size_s = ? AND start_ms >= ? AND start_ms < ?"
        for span in spans:
            for start_ms, final, *figures in read_page(connection, _FIGURES, query, (number, self._size_s, *span)):
                windows[start_ms] = Figures._make(figures)
                if not final:
                    unfinished.add(start_ms)
        return windows, unfinished, first

    def said(self, tasks: Sequence[str], from_ms: int, to_ms: int) -> list[Said]:
        """The posts of each window of these tasks that starts in [from_ms, to_ms)."""
        with self._moment() as connection:
            rows = read_page(
                connection,
                "task, start_ms, total, final",
                f"FROM (SELECT task, start_ms, scored + unscored AS total, final FROM windows WHERE {_OF_TASKS}"
                " AND size_s = ? AND start_ms >= ? AND start_ms < ?)",
                (orjson.dumps(list(tasks)).decode(), self._size_s, from_ms, to_ms),
            )
            return [Said(self._snapshots.name(task), start, total, bool(final)) for task, start, total, final in rows]

    def newest(self, tasks: Sequence[str]) -> int | None:
        """The start of the newest closed window of any of these tasks."""
        with self._moment() as connection:
            found = [
                start_ms
                for task in tasks
                for (start_ms,) in connection.execute(
                    "SELECT start_ms FROM windows WHERE task = ? AND size_s = ? AND final"
                    " ORDER BY start_ms DESC LIMIT 1",
                    (self._snapshots.number(task), self._size_s),
                ).fetchall()
            ]
        return max(found, default=None)

    def ends(self, task: str) -> Span | None:
        """The starts of a task's first and last window."""
        with self._moment() as connection:
            first, last = connection.execute(
                "SELECT min(start_ms), max(start_ms) FROM windows WHERE task = ? AND size_s = ?",
                (self._snapshots.number(task), self._size_s),
            ).fetchall()[0]
        return None if first is None else (first, last)

    def _together(self, connection: sqlite3.Connection, tasks: Sequence[str], spans: Sequence[Span]) -> dict[int, int]:
        """Posts of all these tasks, by start."""
        names, posts = orjson.dumps(list(tasks)).decode(), {}
        for span in spans:
            rows = read_page(
                connection,
                "start_ms, total",
                f"FROM (SELECT start_ms, sum(scored + unscored) AS total FROM windows WHERE {_OF_TASKS} AND size_s = ?"
                " AND start_ms >= ? AND start_ms < ? GROUP BY start_ms)",
                (names, self._size_s, *span),
            )
            posts.update({start_ms: total for start_ms, total in rows})
        return posts

    @contextmanager
    def _moment(self) -> Iterator[sqlite3.Connection]:
        with self._snapshots.one() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
