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
from typing import Final

from heartbeat.corrections import file
from heartbeat.corrections.rows import Correction, Gone, SeenPost
from heartbeat.corrections.tables import Tables
from heartbeat.errors import CorrectedMeanwhile, CorrectionsUnusable

PAGE_ROWS: Final = 500
ANY: Final = -1
"""Whatever correction may stand."""


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
        connection = file.open_for_writing(path) if writing else file.open_for_reading(path)
        self._tables = None if connection is None else Tables(connection)
        self._absent = connection is None
        """Nothing has ever been corrected, and nobody asked for the file to be made."""
        self._keys: dict[tuple[str, str], int] = {}
        self._keys_of: int | None = None
        """The state of the file, as SQLite numbers what other connections make of it, that `_keys` was read from."""

    def __enter__(self) -> Corrections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            if self._tables is not None:
                self._tables.connection.close()
                self._tables = None

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
        with self._changing() as tables:
            post = find()
            stands = tables.standing(post.source, post.id)
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
            return tables.add(Correction(0, at_ms, label, lang, post))

    def bring_in(self, corrections: Sequence[Correction]) -> int:
        """Keep corrections from elsewhere, all or none; those that are known are left out. Gives how many were not.

        Where a correction is of another text than the one that is kept of its post, the newer of both stays.
        """
        with self._changing() as tables:
            brought = 0
            for each in corrections:
                stands = tables.standing(each.post.source, each.post.id)
                if stands is not None and stands.post.content != each.post.content:
                    if stands.corrected_ms >= each.corrected_ms:
                        continue
                elif tables.knows(each):
                    continue
                tables.add(each)
                brought += 1
            return brought

    def take_back(self, source: str, post_id: str, number: int | None = None) -> tuple[int, Correction | None]:
        """Forget a post's corrections, or one of them; with the last one its text goes, too.

        Returns:
            How many were forgotten, and which one stands now.
        """
        with self._changing() as tables:
            removed = tables.remove(source, post_id, number)
            return removed, tables.standing(source, post_id)

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
        with self._changing() as tables:
            return sum(tables.remove_post(gone) for gone in due)

    def sweep(self, before_ms: int) -> int:
        """Forget what was corrected before this time; gives how many corrections that were."""
        with self._lock, self._explaining():
            if not self._open.has_before(before_ms):
                self._cut()
                return 0
        with self._changing() as tables:
            return tables.remove_before(before_ms)

    # -- reading --------------------------------------------------------------------------------------------------

    def standing(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Correction]:
        """The corrections that stand, of those posts (source, id) that have any."""
        if self._absent:
            return {}
        with self._lock, self._explaining():
            known = self._known_keys()
            found = [(key, self._open.standing(*key)) for key in keys if key in known]
        return {key: each for key, each in found if each is not None}

    def page(
        self, after: int = 0, *, limit: int = PAGE_ROWS, every: bool = False, since_ms: int | None = None
    ) -> list[Correction]:
        """Corrections with numbers above `after`, in the order of these: those that stand, or every one."""
        if self._absent:
            return []
        with self._lock, self._explaining():
            return self._open.page(after, limit, every=every, since_ms=since_ms)

    def all(self, *, every: bool = False, since_ms: int | None = None) -> Iterator[Correction]:
        """As `page`, to the end, in constant memory."""
        after = 0
        while rows := self.page(after, every=every, since_ms=since_ms):
            yield from rows
            after = rows[-1].number

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> Tables:
        if self._tables is None:
            raise CorrectionsUnusable(f"the corrections {self.path} are closed")
        return self._tables

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise file.explained(error, self.path) from error

    @contextmanager
    def _changing(self) -> Iterator[Tables]:
        """A transaction: all of it or nothing. What it erased is cut out of the WAL behind it."""
        with self._lock, self._explaining():
            connection = self._open.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._open
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._keys_of = None
            self._cut()

    def _cut(self) -> None:
        """Texts that were erased in the file may still be read in the WAL, until nobody reads it."""
        tables = self._open
        if tables.erased:
            tables.erased = bool(tables.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0])

    def _known_keys(self) -> dict[tuple[str, str], int]:
        """Every post that is corrected, and the revision of it. Read again only when somebody has changed the file."""
        tables = self._open
        state = int(tables.connection.execute("PRAGMA data_version").fetchone()[0])
        if state != self._keys_of:
            self._keys = tables.revisions()
            self._keys_of = state
        return self._keys
