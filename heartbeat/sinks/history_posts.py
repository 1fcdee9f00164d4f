"""Posts in the history's file: what a transaction adds and takes back, brought down to what remains of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from heartbeat.records import Scored
from heartbeat.sinks.history_names import Names
from heartbeat.sinks.history_rows import millionths
from heartbeat.sinks.history_statements import read_rows, write_rows
from heartbeat.sinks.history_texts import NO_TEXT, Texts

PostKey: TypeAlias = tuple[int, int, int, str]
"""(task, time_ms, source, id), the first and third as numbers of names."""

_UPSERT: Final = """
    INSERT INTO posts
    SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11,
        column12, column13, column14,
        EXISTS (SELECT 1 FROM late l WHERE l.task = column1 AND l.time_ms = column2 AND l.source = column3
            AND l.id = column4 AND l.rev = column5),
        column15, column16, column17, column18
    FROM (VALUES ?) WHERE TRUE
    ON CONFLICT (task, time_ms, source, id) DO UPDATE SET
        rev = excluded.rev, feed = excluded.feed, lang = excluded.lang,
        lang_confidence_e6 = excluded.lang_confidence_e6, label = excluded.label, pos_e6 = excluded.pos_e6,
        neu_e6 = excluded.neu_e6, neg_e6 = excluded.neg_e6, model = excluded.model,
        unscored_reason = excluded.unscored_reason, late = excluded.late, stored_ms = excluded.stored_ms,
        chunk = excluded.chunk, at = excluded.at, length = excluded.length
    WHERE excluded.rev >= posts.rev"""
_RETRACT: Final = """
    DELETE FROM posts WHERE (task, time_ms, source, id) IN (
        SELECT p.task, p.time_ms, p.source, p.id FROM (VALUES ?) k JOIN posts p
        ON p.task = k.column1 AND p.time_ms = k.column2 AND p.source = k.column3 AND p.id = k.column4
        WHERE p.rev <= k.column5)"""
_PLACES: Final = """
    SELECT json_group_array(json_array(p.chunk, p.at)) FROM (VALUES ?) k JOIN posts p
    ON p.task = k.column1 AND p.time_ms = k.column2 AND p.source = k.column3 AND p.id = k.column4"""
_REV: Final = 4


class Posts:
    """The table of posts, as the writing thread sees it.

    What one transaction adds and retracts is collected by key and written by `flush`. The order within a key decides:
    a retraction takes back everything of its key up to its revision.
    """

    def __init__(self, connection: sqlite3.Connection, names: Names, texts: Texts) -> None:
        self._connection, self._names, self._texts = connection, names, texts
        self._added: dict[PostKey, tuple[tuple[Any, ...], bytes | None, int]] = {}
        self._retracted: dict[PostKey, int] = {}

    def take(self, posts: Iterable[tuple[int, Scored]], now_ms: int) -> None:
        """Collect additions and retractions in the order of their partition.

        Args:
            posts: with the time when each was appended to its topic: its text's time runs from there, and no later
                than from now.
            now_ms: the time of storing.
        """
        names, added, retracted = self._names, self._added, self._retracted
        for appended_ms, scored in posts:
            (
                post_id, source, feed, task, op, rev, time_ms, lang, confidence,
                pos, neu, neg, label, reason, model, _, _, content,
            ) = scored  # fmt: skip
            key = (names[task], time_ms, names[source], post_id)
            before = added.get(key)
            if op == "retract":
                if before is not None and before[0][_REV] <= rev:
                    del added[key]
                retracted[key] = max(rev, retracted.get(key, rev))
            elif before is None or before[0][_REV] <= rev:
                row = (
                    *key,
                    rev,
                    names[feed],
                    names[lang],
                    millionths(confidence),
                    names[label],
                    None if pos is None else millionths(pos),
                    None if neu is None else millionths(neu),
                    None if neg is None else millionths(neg),
                    names[model],
                    names[reason],
                    now_ms,
                )
                text = None if content is None else content.encode()
                added[key] = (row, text, min(appended_ms, now_ms))

    def flush(self) -> bool:
        """Write what has been collected, in the transaction that is open; gives whether texts were erased."""
        connection, texts = self._connection, self._texts
        changes, counted = connection.total_changes, 0
        retracted, added = self._retracted, self._added
        self._retracted, self._added = {}, {}
        erased = False
        if retracted:
            counted += write_rows(connection, _RETRACT, [(*key, rev) for key, rev in retracted.items()])
        if added:
            rows = [
                (*row, *(NO_TEXT if text is None else texts.place(text, kept_ms)))
                for row, text, kept_ms in added.values()
            ]
            counted += texts.flush()
            written = write_rows(connection, _UPSERT, rows)
            counted += written
            if written < len(rows):
                texts.erase(self._orphans(rows))
                erased = True
        if connection.total_changes - changes > counted:  # only here the work of triggers is counted
            erased |= texts.erase_unreferenced()
        return erased

    def _orphans(self, rows: list[tuple[Any, ...]]) -> list[tuple[int, int, int]]:
        """Texts of rows that were not taken, since a higher revision stands there."""
        places = {(chunk, at) for chunk, at in read_rows(self._connection, _PLACES, [row[:_REV] for row in rows])}
        found = []
        for row in rows:
            chunk, at, length = row[-3:]
            if chunk is not None and (chunk, at) not in places:
                found.append((chunk, at, length))
        return found

    def rolled_back(self) -> None:
        """The transaction did not happen."""
        self._added, self._retracted = {}, {}
