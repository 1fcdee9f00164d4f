"""Keeps corrections, in one SQLite file that a worker and commands may have open at the same time.

Few are made, and each by a person, so everything is plain SQL in short transactions, for any thread, one at a time.
Calls block for some milliseconds: an event loop makes them in a thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from heartbeat.corrections import file
from heartbeat.corrections.rows import Correction, Gone, SeenPost
from heartbeat.errors import CorrectedMeanwhile, CorrectionsUnusable

PAGE_ROWS: Final = 500
ANY: Final = -1
"""Whatever correction may stand."""

_SELECT: Final = """
    SELECT c.number, c.corrected_ms, c.label, c.lang, p.source, p.id, p.rev, t.body, c.task, c.time_ms,
        c.was_label, c.was_lang, c.was_lang_confidence, c.was_pos, c.was_neu, c.was_neg, c.was_model
    FROM corrections c JOIN posts p USING (post) JOIN texts t USING (post)"""
_STANDS: Final = """NOT EXISTS (
    SELECT 1 FROM corrections n WHERE n.post = c.post AND (n.corrected_ms, n.number) > (c.corrected_ms, c.number))"""


class Corrections:
    """The corrections of a data directory.

    Args:
        path: `file.NAME` in it.
        writing: make the file if there is none, and be able to change it.

    Raises:
        CorrectionsUnusable: the file cannot be opened. Every method may raise it, too.
    """

    def __init__(self, path: Path, *, writing: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = file.open_for_writing(path) if writing else file.open_for_reading(path)
        self._absent = self._connection is None
        """Nothing has ever been corrected, and nobody asked for the file to be made."""
        self._keys: dict[tuple[str, str], int] = {}
        self._keys_of: int | None = None
        """The state of the file, as SQLite numbers what other connections make of it, that `_keys` was read from."""
        self._uncut = False
        """Texts were erased in the file, but may still be read in the WAL."""

    def __enter__(self) -> Corrections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- writing --------------------------------------------------------------------------------------------------

    def correct(
        self, find: Callable[[], SeenPost], label: str | None, lang: str | None, *, over: int = ANY, now_ms: int
    ) -> Correction:
        """Keep a correction; from now on it is the one that stands.

        Args:
            find: looks the post up. It is called while nobody else writes: who takes posts away first takes them out
                of where `find` looks and calls `retract` then, so that no correction of a post that is gone remains.
            label: what it should be, or None.
            lang: likewise.
            over: the number of the correction that whoever corrects has seen, 0 for none; `ANY` does not ask.
            now_ms: the time of the correction.

        Raises:
            CorrectedMeanwhile: another correction stands than was seen.
            CorrectionError: whatever `find` raises.
        """
        with self._changing() as connection:
            post = find()
            stands = self._standing(connection, (post.source, post.id))
            if stands is not None and stands.post.content != post.content:
                stands = None  # that was said of another text
            if over not in (ANY, stands.number if stands else 0):
                raise CorrectedMeanwhile(
                    "the post has been corrected elsewhere since it was shown here; look at that, and correct it again"
                    if stands
                    else "the correction of the post has been taken back elsewhere since it was shown here"
                )
            # a clock that was put back may not bring an older correction to the top
            at_ms = max(now_ms, stands.corrected_ms) if stands else now_ms
            return self._add(connection, Correction(0, at_ms, label, lang, post))

    def bring_in(self, corrections: Sequence[Correction]) -> int:
        """Keep corrections from elsewhere, all or none; those that are known are left out. Gives how many were not.

        Where a correction is of another text than the one that is kept of its post, the newer of both stays.
        """
        with self._changing() as connection:
            brought = 0
            for each in corrections:
                stands = self._standing(connection, (each.post.source, each.post.id))
                if stands is not None and stands.post.content != each.post.content:
                    if stands.corrected_ms >= each.corrected_ms:
                        continue
                elif self._knows(connection, each):
                    continue
                self._add(connection, each)
                brought += 1
            return brought

    def take_back(self, source: str, post_id: str, number: int | None = None) -> tuple[int, Correction | None]:
        """Forget a post's corrections, or one of them; with the last one its text goes, too.

        Returns:
            How many were forgotten, and which one stands now.
        """
        key = (source, post_id)
        with self._changing() as connection:
            removed = connection.execute(
                "DELETE FROM corrections WHERE post = (SELECT post FROM posts WHERE source = ?1 AND id = ?2)"
                " AND (?3 IS NULL OR number = ?3)",
                (*key, number),
            ).rowcount
            if removed:
                self._remove(connection, "source = ? AND id = ? AND post NOT IN (SELECT post FROM corrections)", key)
            return removed, self._standing(connection, key)

    def retract(self, posts: Iterable[Gone]) -> int:
        """Forget posts that were deleted or edited where they come from; gives how many. Quick where none is known."""
        with self._lock, self._explaining():
            known = self._known_keys()
            due = [
                gone
                for gone in (posts if known else ())
                if (rev := known.get(gone[:2])) is not None and (gone.rev is None or gone.rev >= rev)
            ]
        if not due:
            return 0
        with self._changing() as connection:
            return sum(
                self._remove(connection, "source = ?1 AND id = ?2 AND (?3 IS NULL OR rev <= ?3)", gone) for gone in due
            )

    def sweep(self, before_ms: int) -> int:
        """Forget what was corrected before this time; gives how many corrections that were."""
        with self._lock, self._explaining():
            if not self._open.execute("SELECT 1 FROM corrections WHERE corrected_ms < ?", (before_ms,)).fetchall():
                self._cut()
                return 0
        with self._changing() as connection:
            gone = connection.execute("DELETE FROM corrections WHERE corrected_ms < ?", (before_ms,)).rowcount
            self._remove(connection, "post NOT IN (SELECT post FROM corrections)", ())
            return gone

    # -- reading --------------------------------------------------------------------------------------------------

    def standing(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Correction]:
        """The corrections that stand, of those posts (source, id) that have any."""
        if self._absent:
            return {}
        with self._lock, self._explaining():
            known = self._known_keys()
            found = [(key, self._standing(self._open, key)) for key in keys if key in known]
        return {key: each for key, each in found if each is not None}

    def page(
        self, after: int = 0, *, limit: int = PAGE_ROWS, every: bool = False, since_ms: int | None = None
    ) -> list[Correction]:
        """Corrections with numbers above `after`, in the order of these: those that stand, or every one."""
        if self._absent:
            return []
        with self._lock, self._explaining():
            rows = self._open.execute(
                f"{_SELECT} WHERE c.number > ? AND c.corrected_ms >= ? {'' if every else f'AND {_STANDS}'}"
                " ORDER BY c.number LIMIT ?",
                (after, -(2**63) if since_ms is None else since_ms, limit),
            ).fetchall()
        return [_correction(row) for row in rows]

    def all(self, *, every: bool = False, since_ms: int | None = None) -> Iterator[Correction]:
        """As `page`, to the end, in constant memory."""
        after = 0
        while rows := self.page(after, every=every, since_ms=since_ms):
            yield from rows
            after = rows[-1].number

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CorrectionsUnusable(f"the corrections {self.path} are closed")
        return self._connection

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise file.explained(error, self.path) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing. What it erased is cut out of the WAL behind it."""
        with self._lock, self._explaining():
            connection = self._open
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._keys_of = None
            self._cut()

    def _cut(self) -> None:
        if self._uncut:
            self._uncut = bool(self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0])

    def _known_keys(self) -> dict[tuple[str, str], int]:
        """Every post that is corrected, and the revision of it. Read again only when somebody has changed the file."""
        connection = self._open
        state = int(connection.execute("PRAGMA data_version").fetchone()[0])
        if state != self._keys_of:
            rows = connection.execute("SELECT source, id, rev FROM posts").fetchall()
            self._keys = {(source, post_id): rev for source, post_id, rev in rows}
            self._keys_of = state
        return self._keys

    def _standing(self, connection: sqlite3.Connection, key: tuple[str, str]) -> Correction | None:
        rows = connection.execute(
            f"{_SELECT} WHERE p.source = ? AND p.id = ? ORDER BY c.corrected_ms DESC, c.number DESC LIMIT 1", key
        ).fetchall()
        return _correction(rows[0]) if rows else None

    def _knows(self, connection: sqlite3.Connection, each: Correction) -> bool:
        return bool(
            connection.execute(
                "SELECT 1 FROM corrections JOIN posts USING (post) WHERE source = ? AND id = ? AND corrected_ms = ?"
                " AND label IS ? AND lang IS ?",
                (each.post.source, each.post.id, each.corrected_ms, each.label, each.lang),
            ).fetchall()
        )

    def _add(self, connection: sqlite3.Connection, made: Correction) -> Correction:
        post = made.post
        rows = connection.execute(
            "SELECT post, rev, body FROM posts JOIN texts USING (post) WHERE source = ? AND id = ?",
            (post.source, post.id),
        ).fetchall()
        if rows and _text(rows[0][2]) != post.content:  # what was said of another text is said of this one no more
            self._remove(connection, "post = ?", (rows[0][0],))
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

    def _remove(self, connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> int:
        removed = connection.execute(f"DELETE FROM posts WHERE {where}", tuple(values)).rowcount
        self._uncut = self._uncut or removed > 0
        return removed


def _correction(row: Sequence[Any]) -> Correction:
    number, corrected_ms, label, lang, source, post_id, rev, body, *rest = row
    return Correction(number, corrected_ms, label, lang, SeenPost(source, post_id, rev, _text(body), *rest))


def _text(body: bytes) -> str:
    return body[file.EMPTY_BYTES :].decode()
