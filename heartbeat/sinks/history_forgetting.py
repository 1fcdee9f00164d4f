"""Forgets posts and tasks: finds them as a reader, and takes them out in the history's thread, a little at a time.

A post is taken out by the records that would have retracted it, so its windows are corrected, its text is overwritten
and its day is added up anew just as after a retraction. What is there decides in the same transaction: forgotten twice
is forgotten once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from heartbeat.records import Late, Scored
from heartbeat.sinks.history_rollup import measured_sizes
from heartbeat.sinks.history_rows import MILLION
from heartbeat.sinks.history_snapshot import Snapshots
from heartbeat.sinks.history_statements import transaction
from heartbeat.sinks.history_tables import Tables

ROWS_A_LOOK: Final = 50_000
ROWS_A_STEP: Final = 2_000
POSTS_A_STEP: Final = 200
_KEYS_A_QUERY: Final = 500
_IS_KEPT: Final = """
    SELECT 1 FROM windows WHERE task = ?1 AND size_s = ?2 AND start_ms = ?3
    UNION ALL SELECT 1 FROM emptied WHERE task = ?1 AND size_s = ?2 AND start_ms = ?3"""

_TABLES: Final = ("posts", "late", "windows", "emptied", "rolled", "stale", "kept")
"""Everything that is kept of a task; `parts` and texts go with their rows."""


class Stored(NamedTuple):
    """A post that is stored for a task."""

    task: str
    time_ms: int
    source: str
    id: str


class Window(NamedTuple):
    """A stored window."""

    task: str
    size_s: int
    start_ms: int


def find(path: Path, posts: Sequence[tuple[str, str]]) -> list[Stored]:
    """Where these posts (source, id) are stored. Blocks for some seconds in a large file: there is no index by id.

    Raises:
        HistoryError: the file cannot be read.
    """
    snapshots = Snapshots(path)
    try:
        wanted = set(posts)
        with snapshots.one() as connection:
            tasks = [task for (task,) in connection.execute("SELECT DISTINCT task FROM posts").fetchall()]
        found: list[Stored] = []
        ids = sorted({post_id for _, post_id in wanted})
        for task in tasks:
            for at in range(0, len(ids), _KEYS_A_QUERY):
                for stored in _of_task(snapshots, task, ids[at : at + _KEYS_A_QUERY]):
                    if (stored.source, stored.id) in wanted:
                        found.append(stored)
        return found
    finally:
        snapshots.close()


def _of_task(snapshots: Snapshots, task: int, ids: Sequence[str]) -> Iterator[Stored]:
    marks = ", ".join("?" * len(ids))
    after: tuple[Any, ...] = (-(2**63), 0, "")
    while True:
        with snapshots.one() as connection:
            last = connection.execute(
                "SELECT time_ms, source, id FROM posts WHERE task = ? AND (time_ms, source, id) > (?, ?, ?)"
                f" ORDER BY time_ms, source, id LIMIT 1 OFFSET {ROWS_A_LOOK - 1}",
                (task, *after),
            ).fetchall()
            until = last[0] if last else (2**63 - 1, 0, "")
            rows = connection.execute(
                "SELECT time_ms, source, id FROM posts WHERE task = ? AND (time_ms, source, id) > (?, ?, ?)"
                f" AND (time_ms, source, id) <= (?, ?, ?) AND id IN ({marks})",
                (task, *after, *until, *ids),
            ).fetchall()
            names = [(time_ms, snapshots.name(source), post_id) for time_ms, source, post_id in rows]
            name = snapshots.name(task)
        yield from (Stored(name, *row) for row in names)
        if not last:
            return
        after = last[0]


def windows_of(path: Path, posts: Sequence[Stored]) -> list[Window]:
    """The stored windows in which these posts lie, or lay: those that are empty now too, and none that are not kept.

    Raises:
        HistoryError: the file cannot be read.
    """
    snapshots = Snapshots(path)
    try:
        with snapshots.one() as connection:
            numbers = {task: snapshots.number(task) for task in {post.task for post in posts}}
            sizes = {task: _sizes(connection, number) for task, number in numbers.items()}
            windows = {
                Window(post.task, size_s, post.time_ms - post.time_ms % (1000 * size_s))
                for post in posts
                for size_s in sizes[post.task]
            }
            return sorted(_kept(connection, numbers, windows))
    finally:
        snapshots.close()


def kept(path: Path, windows: Iterable[Window]) -> set[Window]:
    """Those of these windows that are stored, or were until they became empty.

    Raises:
        HistoryError: the file cannot be read.
    """
    wanted = list(windows)
    snapshots = Snapshots(path)
    try:
        with snapshots.one() as connection:
            numbers = {task: snapshots.number(task) for task in {window.task for window in wanted}}
            return set(_kept(connection, numbers, wanted))
    finally:
        snapshots.close()


def _kept(
    connection: sqlite3.Connection, numbers: Mapping[str, int | None], windows: Iterable[Window]
) -> Iterator[Window]:
    return (one for one in windows if connection.execute(_IS_KEPT, (numbers[one.task], *one[1:])).fetchall())


def _sizes(connection: sqlite3.Connection, task: int | None) -> list[int]:
    emptied = connection.execute("SELECT DISTINCT size_s FROM emptied WHERE task = ?", (task,)).fetchall()
    return sorted({*measured_sizes(connection, task), *(size_s for (size_s,) in emptied)})


def take_out(tables: Tables, posts: Sequence[Stored]) -> int:
    """Take posts out that are still there, at most some hundred; gives how many."""
    now_ms = tables.clock.now_ms()
    with transaction(tables.connection):
        standing = [record for post in posts if (record := _standing(tables, post)) is not None]
        tables.windows.store([Late(*record[:16]) for record in standing], now_ms)
        tables.posts.take([(now_ms, record) for record in standing], now_ms)
        tables.upkeep.erased |= tables.posts.flush()
    tables.committed()
    return len(standing)


def _standing(tables: Tables, post: Stored) -> Scored | None:
    """The record that retracts a post as it is stored; None if it is not."""
    names = tables.names
    found = tables.connection.execute(
        "SELECT p.rev, f.name, l.name, p.lang_confidence_e6, p.pos_e6, p.neu_e6, p.neg_e6, label.name, reason.name,"
        " model.name FROM posts p JOIN names f ON f.id = p.feed JOIN names l ON l.id = p.lang"
        " LEFT JOIN names label ON label.id = p.label LEFT JOIN names reason ON reason.id = p.unscored_reason"
        " LEFT JOIN names model ON model.id = p.model"
        " WHERE p.task = ? AND p.time_ms = ? AND p.source = ? AND p.id = ?",
        (names[post.task], post.time_ms, names[post.source], post.id),
    ).fetchall()
    if not found:
        return None
    rev, feed, lang, confidence, *scores, label, reason, model = found[0]
    pos, neu, neg = (None if score is None else score / MILLION for score in scores)
    return Scored(
        post.id, post.source, feed, post.task, "retract", rev, post.time_ms, lang, confidence / MILLION,
        pos, neu, neg, label, reason, model,
    )  # fmt: skip


def remove_task(tables: Tables, task: str) -> int:
    """Remove some rows of a task; gives how many: 0 when nothing of it is left."""
    connection = tables.connection
    found = connection.execute("SELECT id FROM names WHERE name = ?", (task,)).fetchall()
    if not found:
        return 0
    number = found[0][0]
    for table in _TABLES:
        with transaction(connection):
            key = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
            columns = ", ".join(key)
            removed = connection.execute(
                f"DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {table} WHERE task = ? LIMIT ?)",
                (number, ROWS_A_STEP),
            ).rowcount
            tables.upkeep.erased |= tables.texts.erase_unreferenced()
        if removed:
            return removed
    return 0
