"""Posts of a task in pages, in an order that does not depend on the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from heartbeat.sinks.history_rows import MILLION, PostRow
from heartbeat.sinks.history_snapshot import Snapshots
from heartbeat.sinks.history_statements import read_page
from heartbeat.sinks.history_texts import Place, read_texts

_COLUMNS: Final = (
    "time_ms, source, id, lang, lang_confidence_e6, label, pos_e6, neu_e6, neg_e6, model, unscored_reason, late, rev,"
    " feed, chunk, at, length"
)


class PostPages:
    """Reads one task's posts whose time is in [low_ms, high_ms), ordered by time, source and id.

    Args:
        snapshots: of the file.
        task: its name.
        page_rows: rows of one snapshot, at least 1.
        newest_first: the other way round.
        content: with texts, as far as they are still kept.
    """

    def __init__(self, snapshots: Snapshots, task: str, *, page_rows: int, newest_first: bool, content: bool) -> None:
        self._snapshots, self._task, self._page_rows = snapshots, task, page_rows
        self._newest_first, self._content = newest_first, content

    def rows(self, low_ms: int, high_ms: int) -> Iterator[PostRow]:
        """The posts. In the file those of one millisecond lie by their sources' numbers; here they are put in order."""
        direction = "DESC" if self._newest_first else "ASC"
        while low_ms < high_ms:
            page = self._page(
                f"time_ms >= ? AND time_ms < ? ORDER BY time_ms {direction} LIMIT ?", (low_ms, high_ms, self._page_rows)
            )
            is_last = len(page) < self._page_rows
            border_ms = page[-1].time if page else 0
            whole = page if is_last else [row for row in page if row.time != border_ms]
            yield from sorted(whole, key=lambda row: (row.time, row.source, row.id), reverse=self._newest_first)
            if is_last:
                return
            yield from self._same_time(border_ms)
            low_ms, high_ms = (low_ms, border_ms) if self._newest_first else (border_ms + 1, high_ms)

    def one(self, time_ms: int, source: str, post_id: str) -> PostRow | None:
        """One post, or None if there is none."""
        with self._snapshots.one():
            number = self._snapshots.number(source)
        page = self._page("time_ms = ? AND source = ? AND id = ?", (time_ms, number, post_id))
        return page[0] if page else None

    def _same_time(self, time_ms: int) -> Iterator[PostRow]:
        """All posts of one millisecond, however many: a file may tell only the day."""
        with self._snapshots.one() as connection:
            found = connection.execute(
                "SELECT DISTINCT source FROM posts WHERE task = ? AND time_ms = ?",
                (self._snapshots.number(self._task), time_ms),
            ).fetchall()
            sources = sorted(
                ((self._snapshots.name(number), number) for (number,) in found), reverse=self._newest_first
            )
        order, direction = ("<", "DESC") if self._newest_first else (">", "ASC")
        for _, number in sources:
            condition, values = "time_ms = ? AND source = ?", [time_ms, number]
            page = self._page(f"{condition} ORDER BY id {direction} LIMIT ?", [*values, self._page_rows])
            yield from page
            while len(page) == self._page_rows:
                page = self._page(
                    f"{condition} AND id {order} ? ORDER BY id {direction} LIMIT ?",
                    [*values, page[-1].id, self._page_rows],
                )
                yield from page

    def _page(self, condition: str, values: Sequence[Any]) -> list[PostRow]:
        snapshots = self._snapshots
        with snapshots.one() as connection:
            rows = read_page(
                connection,
                _COLUMNS,
                f"FROM posts WHERE task = ? AND {condition}",
                (snapshots.number(self._task), *values),
            )
            texts: list[str | None] = [None] * len(rows)
            if self._content:
                texts = read_texts(connection, [Place(*row[14:17]) for row in rows])
            return [self._row(row, text) for row, text in zip(rows, texts, strict=True)]

    def _row(self, row: Sequence[Any], text: str | None) -> PostRow:
        name = self._snapshots.name
        time_ms, source, post_id, lang, confidence, label, pos, neu, neg, model, reason, late, rev, feed, *_ = row
        return PostRow(
            post_id,
            name(source),
            self._task,
            time_ms,
            name(lang),
            confidence / MILLION,
            None if label is None else name(label),
            None if pos is None else pos / MILLION,
            None if neu is None else neu / MILLION,
            None if neg is None else neg / MILLION,
            None if model is None else name(model),
            None if reason is None else name(reason),
            bool(late),
            rev,
            name(feed),
            text,
        )
