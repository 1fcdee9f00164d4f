"""Windows in the history's file, and what comes late for them.

A batch is worked off in three steps, so that it takes a handful of statements however long it is: load the rows that
corrections need, apply the records in their order, store what has changed. Of several records of one window the last
in its partition stands; after a window is sealed no more come, and history alone goes on counting its revisions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

import orjson

from heartbeat.records import Figures, Late, Pulse
from heartbeat.sinks.history_names import Names
from heartbeat.sinks.history_rollup import Parts, Rollup
from heartbeat.sinks.history_rows import millionths
from heartbeat.sinks.history_statements import distinct, read_rows, write_rows

WindowKey: TypeAlias = tuple[int, int, int]
"""(task, size_s, start_ms), the task as the number of its name."""
LateKey: TypeAlias = tuple[int, int, int, str, int]
"""(task, time_ms, source, id, rev), task and source as numbers of names."""

_NOTHING: Final = tuple(Figures())
_WRITE: Final = "INSERT OR REPLACE INTO windows VALUES ?"
_WRITE_PARTS: Final = "INSERT OR REPLACE INTO parts VALUES ?"
_REMOVE: Final = "DELETE FROM windows WHERE (task, size_s, start_ms) IN (VALUES ?)"
_LOAD: Final = """
    SELECT json_group_array(json_array(w.task, w.size_s, w.start_ms, w.revision, w.final, w.scored, w.unscored,
        w.positive, w.neutral, w.negative, w.mixed, w.pos_e6, w.neu_e6, w.neg_e6,
        json(p.lang), json(p.source), json(p.model)))
    FROM (VALUES ?) k JOIN windows w ON w.task = k.column1 AND w.size_s = k.column2 AND w.start_ms = k.column3
    JOIN parts p USING (task, size_s, start_ms)"""
_EMPTIED: Final = "INSERT OR REPLACE INTO emptied VALUES ?"
_LOAD_EMPTIED: Final = """
    SELECT json_group_array(json_array(e.task, e.size_s, e.start_ms, e.revision)) FROM (VALUES ?) k
    JOIN emptied e ON e.task = k.column1 AND e.size_s = k.column2 AND e.start_ms = k.column3"""
_LOAD_MARKS: Final = """
    SELECT json_group_array(json_array(l.task, l.time_ms, l.source, l.id, l.rev)) FROM (VALUES ?) k JOIN late l
    ON l.task = k.column1 AND l.time_ms = k.column2 AND l.source = k.column3 AND l.id = k.column4
    AND l.rev = k.column5"""
_MARK: Final = "INSERT OR IGNORE INTO late VALUES ?"
_UNMARK: Final = "DELETE FROM late WHERE (task, time_ms, source, id, rev) IN (VALUES ?)"
_MARK_POSTS: Final = """
    UPDATE posts SET late = 1 FROM (VALUES ?) k
    WHERE task = k.column1 AND time_ms = k.column2 AND source = k.column3 AND id = k.column4 AND rev = k.column5"""


class _Window:
    """A window's row while a batch is applied to it."""

    __slots__ = ("by_lang", "by_model", "by_source", "final", "overall", "revision")

    def __init__(
        self,
        revision: int,
        final: bool,
        overall: tuple[int, ...],
        by_lang: Parts,
        by_source: Parts,
        by_model: dict[str, int],
    ) -> None:
        self.revision, self.final = revision, final
        self.overall, self.by_lang, self.by_source, self.by_model = overall, by_lang, by_source, by_model

    def subtract(self, late: Late, figures: tuple[int, ...]) -> None:
        """Take a post out that was counted: the next revision."""
        self.revision += 1
        self.overall = _less(self.overall, figures)
        for parts, name in ((self.by_lang, late.lang), (self.by_source, late.source)):
            left = _less(parts.get(name, _NOTHING), figures)
            parts[name] = left
            if left == _NOTHING:
                del parts[name]
        # a window of an earlier version may not know its models
        if late.label is not None and late.model is not None and late.model in self.by_model:
            self.by_model[late.model] -= 1
            if not self.by_model[late.model]:
                del self.by_model[late.model]

    @property
    def is_empty(self) -> bool:
        """Whether no post is left in it: such windows are not stored."""
        return self.overall[0] + self.overall[1] == 0


def _less(figures: tuple[int, ...], taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(lambda have, take: have - take, figures, taken))


def figures_of(post: Late) -> tuple[int, ...]:
    """What one post counts for in a window, laid out as `Figures`."""
    if post.pos is None or post.neu is None or post.neg is None or post.label is None:
        return tuple(Figures(unscored=1))
    scores = Figures(scored=1, pos_e6=millionths(post.pos), neu_e6=millionths(post.neu), neg_e6=millionths(post.neg))
    return tuple(scores._replace(**{post.label: 1}))


class Windows:
    """The tables of windows and of what came late, as the writing thread sees them."""

    def __init__(self, connection: sqlite3.Connection, names: Names, rollup: Rollup) -> None:
        self._connection, self._names, self._rollup = connection, names, rollup
        self._sizes: dict[int, set[int]] = {}
        """Sizes of stored windows by task; a size too many does no harm."""
        for table in ("windows", "emptied"):
            for task, size_s in distinct(connection, table, "task", "size_s"):
                self._sizes.setdefault(task, set()).add(size_s)

    def store(self, records: Iterable[Pulse | Late], now_ms: int) -> None:
        """Apply records in the order of their partition, in the transaction that is open."""
        records = list(records)
        late = [record for record in records if type(record) is Late]
        windows, marks = self._load([record for record in late if record.op == "retract"])
        changed: dict[WindowKey, None] = {}
        marked: dict[LateKey, None] = {}
        unmarked: dict[LateKey, None] = {}
        for record in records:
            if type(record) is Pulse:
                key = (self._names[record.task], record.size_s, record.start_ms)
                windows[key] = _from_pulse(record)
                changed[key] = None
                self._sizes.setdefault(key[0], set()).add(record.size_s)
                continue
            assert type(record) is Late
            post = self._late_key(record)
            if record.op == "add":
                marks.add(post)
                marked[post] = None
                unmarked.pop(post, None)
            elif post in marks:
                marks.discard(post)
                unmarked[post] = None
                marked.pop(post, None)
            else:
                figures = figures_of(record)
                for key in self._windows_of(post):
                    if (window := windows.get(key)) is not None and not window.is_empty:
                        window.subtract(record, figures)
                        changed[key] = None
        self._write(windows, changed, now_ms)
        write_rows(self._connection, _UNMARK, list(unmarked))
        write_rows(self._connection, _MARK, [(*post, now_ms) for post in marked])
        write_rows(self._connection, _MARK_POSTS, list(marked))

    def holding(self, posts: Iterable[Late]) -> list[Pulse]:
        """The windows that these posts are in, or were before they were taken back, as they are stored now.

        One that has become empty is all zeros; of one that was never here nothing is said. Their `late` means nothing.
        """
        names: dict[int, str] = {}
        keys: dict[WindowKey, None] = {}
        for post in posts:
            late_key = self._late_key(post)
            names[late_key[0]] = post.task
            keys.update(dict.fromkeys(self._windows_of(late_key)))
        found: dict[WindowKey, Pulse] = {}
        for task, size_s, start_ms, revision in read_rows(self._connection, _LOAD_EMPTIED, list(keys)):
            key = (task, size_s, start_ms)
            found[key] = Pulse(names[task], size_s, start_ms, revision, True, 0, Figures(), {}, {})
        for task, size_s, start_ms, revision, final, *overall, lang, source, model in read_rows(
            self._connection, _LOAD, list(keys)
        ):
            found[task, size_s, start_ms] = Pulse(
                names[task],
                size_s,
                start_ms,
                revision,
                bool(final),
                0,
                Figures._make(overall),
                {name: Figures._make(row) for name, row in lang.items()},
                {name: Figures._make(row) for name, row in source.items()},
                model,
            )
        return list(found.values())

    def _late_key(self, late: Late) -> LateKey:
        return (self._names[late.task], late.time_ms, self._names[late.source], late.id, late.rev)

    def _windows_of(self, post: LateKey) -> list[WindowKey]:
        task, time_ms = post[:2]
        return [(task, size_s, time_ms - time_ms % (1000 * size_s)) for size_s in sorted(self._sizes.get(task, ()))]

    def _load(self, retractions: list[Late]) -> tuple[dict[WindowKey, _Window], set[LateKey]]:
        """What has to be known to take posts back: the windows they may be in, and which of them came late."""
        posts = list(dict.fromkeys(map(self._late_key, retractions)))
        keys = list(dict.fromkeys(key for post in posts for key in self._windows_of(post)))
        windows = {}
        rows = read_rows(self._connection, _LOAD, keys)
        for task, size_s, start_ms, revision, final, *overall, lang, source, model in rows:
            windows[(task, size_s, start_ms)] = _Window(
                revision, bool(final), tuple(overall), _parts(lang), _parts(source), model
            )
        marks = {
            (task, time_ms, source, post_id, rev)
            for task, time_ms, source, post_id, rev in read_rows(self._connection, _LOAD_MARKS, posts)
        }
        return windows, marks

    def _write(self, windows: Mapping[WindowKey, _Window], changed: Collection[WindowKey], now_ms: int) -> None:
        rows: list[tuple[int, ...]] = []
        parts: list[tuple[int | str, ...]] = []
        empty: list[WindowKey] = []
        revisions: list[tuple[int, ...]] = []
        for key in changed:
            window = windows[key]
            if window.is_empty:
                empty.append(key)
                revisions.append((*key, window.revision, now_ms))
                continue
            rows.append((*key, window.revision, int(window.final), now_ms, *window.overall))
            by = window.by_lang, window.by_source, window.by_model
            parts.append((*key, *(orjson.dumps(part).decode() for part in by)))
        write_rows(self._connection, _WRITE, rows)
        write_rows(self._connection, _WRITE_PARTS, parts)
        write_rows(self._connection, _REMOVE, empty)
        write_rows(self._connection, _EMPTIED, revisions)
        self._rollup.mark(changed, now_ms)


def _parts(parts: Mapping[str, list[int]]) -> Parts:
    return {name: tuple(figures) for name, figures in parts.items()}


def _from_pulse(pulse: Pulse) -> _Window:
    return _Window(
        pulse.revision,
        pulse.final,
        tuple(pulse.overall),
        {name: tuple(figures) for name, figures in pulse.by_lang.items()},
        {name: tuple(figures) for name, figures in pulse.by_source.items()},
        dict(pulse.by_model),
    )
