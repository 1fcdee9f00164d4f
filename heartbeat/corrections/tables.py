"""The tables of the file of corrections: corrections, the posts that they are of, and their texts.

One post has one text. What was said of another text is said of this one no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from heartbeat.corrections import file
from heartbeat.corrections.rows import Correction, Gone, SeenPost

_SELECT: Final = """
    SELECT c.number, c.corrected_ms, c.label, c.lang, p.source, p.id, p.rev, t.body, c.task, c.time_ms,
        c.was_label, c.was_lang, c.was_lang_confidence, c.was_pos, c.was_neu, c.was_neg, c.was_model
    FROM corrections c JOIN posts p USING (post) JOIN texts t USING (post)"""
_STANDS: Final = """NOT EXISTS (
    SELECT 1 FROM corrections n WHERE n.post = c.post AND (n.corrected_ms, n.number) > (c.corrected_ms, c.number))"""


class Tables:
    """Reads and changes rows; transactions are the caller's.

    Attributes:
        connection: to the file.
        erased: whether texts were erased since somebody last put this back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.erased = False

    def standing(self, source: str, post_id: str) -> Correction | None:
        """The correction of a post that stands."""
        rows = self.connection.execute(
            f"{_SELECT} WHERE p.source = ? AND p.id = ? ORDER BY c.corrected_ms DESC, c.number DESC LIMIT 1",
            (source, post_id),
        ).fetchall()
        return _correction(rows[0]) if rows else None

    def page(self, after: int, limit: int, *, every: bool, since_ms: int | None) -> list[Correction]:
        """Corrections with numbers above `after`, in the order of these: those that stand, or every one."""
        rows = self.connection.execute(
            f"{_SELECT} WHERE c.number > ? AND c.corrected_ms >= ? {'' if every else f'AND {_STANDS}'}"
            " ORDER BY c.number LIMIT ?",
            (after, -(2**63) if since_ms is None else since_ms, limit),
        ).fetchall()
        return [_correction(row) for row in rows]

    def revisions(self) -> dict[tuple[str, str], int]:
        """Every post (source, id) that is corrected, and the revision of it."""
        rows = self.connection.execute("SELECT source, id, rev FROM posts").fetchall()
        return {(source, post_id): rev for source, post_id, rev in rows}

    def knows(self, each: Correction) -> bool:
        """Whether the same has been said of the same post at the same time."""
        return bool(
            self.connection.execute(
                "SELECT 1 FROM corrections JOIN posts USING (post) WHERE source = ? AND id = ? AND corrected_ms = ?"
                " AND label IS ? AND lang IS ?",
                (each.post.source, each.post.id, each.corrected_ms, each.label, each.lang),
            ).fetchall()
        )

    def has_before(self, before_ms: int) -> bool:
        """Whether anything was corrected before this time."""
        found = self.connection.execute("SELECT 1 FROM corrections WHERE corrected_ms < ?", (before_ms,))
        return bool(found.fetchall())

    def add(self, made: Correction) -> Correction:
        """Keep a correction. Gives it with its number."""
        post, connection = made.post, self.connection
        rows = connection.execute(
            "SELECT post, rev, body FROM posts JOIN texts USING (post) WHERE source = ? AND id = ?",
            (post.source, post.id),
        ).fetchall()
        if rows and _text(rows[0][2]) != post.content:
            self._remove("post = ?", (rows[0][0],))
            rows = []
        if rows:
            number = int(rows[0][0])
            connection.execute("UPDATE posts SET rev = max(rev, ?) WHERE post = ?", (post.rev, number))
        else:
            number = int(
                connection.execute(
                    "INSERT INTO posts (source, id, rev) VALUES (?, ?, ?)", (post.source, post.id, post.rev)
                ).lastrowid
                or 0
            )
            body = bytes(file.EMPTY_BYTES) + post.content.encode()
            connection.execute("INSERT INTO texts VALUES (?, ?)", (number, body))
        at = connection.execute(
            "INSERT INTO corrections (post, corrected_ms, label, lang, task, time_ms, was_label, was_lang,"
            " was_lang_confidence, was_pos, was_neu, was_neg, was_model)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, made.corrected_ms, made.label, made.lang, *post[4:]),
        ).lastrowid
        return made._replace(number=int(at or 0))

    def remove(self, source: str, post_id: str, number: int | None) -> int:
        """Remove a post's corrections, or one of them; with the last one the post and its text. Gives how many."""
        removed = self.connection.execute(
            "DELETE FROM corrections WHERE post = (SELECT post FROM posts WHERE source = ?1 AND id = ?2)"
            " AND (?3 IS NULL OR number = ?3)",
            (source, post_id, number),
        ).rowcount
        if removed:
            self._remove("source = ? AND id = ? AND post NOT IN (SELECT post FROM corrections)", (source, post_id))
        return removed

    def remove_post(self, gone: Gone) -> int:
        """Remove a post, up to a revision, with its text and its corrections. Gives whether it was there, 0 or 1."""
        return self._remove("source = ?1 AND id = ?2 AND (?3 IS NULL OR rev <= ?3)", gone)

    def remove_before(self, before_ms: int) -> int:
        """Remove what was corrected before this time, and texts that nothing is said of then. Gives how many."""
        removed = self.connection.execute("DELETE FROM corrections WHERE corrected_ms < ?", (before_ms,)).rowcount
        self._remove("post NOT IN (SELECT post FROM corrections)", ())
        return removed

    def _remove(self, where: str, values: Sequence[Any]) -> int:
        removed = self.connection.execute(f"DELETE FROM posts WHERE {where}", tuple(values)).rowcount
        self.erased = self.erased or removed > 0
        return removed


def _correction(row: Sequence[Any]) -> Correction:
    number, corrected_ms, label, lang, source, post_id, rev, body, *rest = row
    return Correction(number, corrected_ms, label, lang, SeenPost(source, post_id, rev, _text(body), *rest))


def _text(body: bytes) -> str:
    return body[file.EMPTY_BYTES :].decode()
