"""Posts' texts, kept so that they can be erased to the last byte.

SQLite's `secure_delete` overwrites what is deleted, but when it rebalances a tree it leaves copies of rows behind in
the free space of pages, and knows of them no more. (Tried: of 20,000 texts in a column, 62 could still be read in the
file after all had been erased.) Only overflow pages are never copied. So texts lie in chunks: rows of 128 KiB, whose
first page's worth is left empty, so that all texts lie on overflow pages. One text is erased by overwriting it in
place; when its time is over a whole chunk is deleted, and `secure_delete` overwrites its pages. It is also quicker: a
row for some hundred texts, not for each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

CHUNK_BYTES: Final = 128 * 1024
EMPTY_BYTES: Final = 4096
"""At least as much as SQLite may keep of a row inside the tree, with pages of 4,096 bytes."""
LONGEST_SPAN_MS: Final = 10 * 60_000


class Place(NamedTuple):
    """Where a text is: `chunk` None is an empty text, `length` None no text at all."""

    chunk: int | None
    at: int | None
    length: int | None


NO_TEXT: Final = Place(None, None, None)
EMPTY_TEXT: Final = Place(None, None, 0)


class Texts:
    """The chunks, as the writing thread sees them, inside its transactions.

    Args:
        connection: the writing thread's.
        content_ms: how long texts are kept. A chunk takes texts of at most a twentieth of that, or ten minutes, and is
            deleted when its oldest possible text is due.
    """

    def __init__(self, connection: sqlite3.Connection, content_ms: int) -> None:
        self._connection = connection
        self._span_ms = min(LONGEST_SPAN_MS, content_ms // 20)
        self._keep_ms = content_ms - self._span_ms
        self.rolled_back()

    def rolled_back(self) -> None:
        """Nothing of the transaction happened: go on in a chunk of its own."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchall()
        self._last = int(row[0][0]) if row else 0
        self._close()

    def _close(self) -> None:
        """The next text begins a chunk."""
        self._size = 0
        self._kept_ms = 0
        self._stored = False
        self._used = 0
        self._fresh: list[bytes] = []
        self._fresh_at = 0

    def place(self, text: bytes, kept_ms: int) -> Place:
        """Give a text its place; it is written by `flush`, in the same transaction.

        Args:
            text: UTF-8.
            kept_ms: since when it is kept.
        """
        length = len(text)
        if not length:
            return EMPTY_TEXT
        if length > self._size - self._used or abs(kept_ms - self._kept_ms) > self._span_ms:
            self.flush()
            self._close()
            self._last += 1
            self._size = max(CHUNK_BYTES, EMPTY_BYTES + length)
            self._kept_ms = kept_ms
            self._used = self._fresh_at = EMPTY_BYTES
        at = self._used
        self._fresh.append(text)
        self._used = at + length
        return Place(self._last, at, length)

    def flush(self) -> int:
        """Write the texts that have been placed; gives how many rows that made."""
        if not self._fresh:
            return 0
        data = b"".join(self._fresh)
        if self._stored:
            with self._connection.blobopen("chunks", "body", self._last) as body:
                body.seek(self._fresh_at)
                body.write(data)
        else:
            body_bytes = (bytes(self._fresh_at) + data).ljust(self._size, b"\0")
            self._connection.execute("INSERT INTO chunks VALUES (?, ?, ?)", (self._last, self._kept_ms, body_bytes))
        made = 0 if self._stored else 1
        self._stored = True
        self._fresh, self._fresh_at = [], self._used
        return made

    def erase(self, places: Iterable[tuple[int, int, int]]) -> None:
        """Overwrite texts: (chunk, at, length). Chunks that are gone have taken theirs with them."""
        self.flush()
        by_chunk: dict[int, list[tuple[int, int]]] = {}
        for chunk, at, length in places:
            by_chunk.setdefault(chunk, []).append((at, length))
        for chunk, parts in by_chunk.items():
            if not self._connection.execute("SELECT 1 FROM chunks WHERE id = ?", (chunk,)).fetchall():
                continue
            with self._connection.blobopen("chunks", "body", chunk) as body:
                for at, length in parts:
                    body.seek(at)
                    body.write(bytes(length))

    def erase_unreferenced(self) -> bool:
        """Overwrite the texts of posts that were removed or replaced; gives whether there were any."""
        places = self._connection.execute("SELECT chunk, at, length FROM erasures").fetchall()
        if places:
            self._connection.execute("DELETE FROM erasures")
            self.erase(places)
        return bool(places)

    def due(self, now_ms: int) -> bool:
        """Whether a chunk's time is over."""
        oldest = self._connection.execute("SELECT min(kept_ms) FROM chunks").fetchall()[0][0]
        return oldest is not None and oldest <= now_ms - self._keep_ms

    def expire(self, now_ms: int, limit: int) -> int:
        """Delete at most `limit` chunks whose time is over, oldest first; gives how many."""
        due = self._connection.execute(
            "SELECT id FROM chunks WHERE kept_ms <= ? ORDER BY kept_ms LIMIT ?", (now_ms - self._keep_ms, limit)
        ).fetchall()
        for (chunk,) in due:
            if chunk == self._last:
                self._close()
            self._connection.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
        return len(due)


def read_texts(connection: sqlite3.Connection, places: Iterable[Place]) -> list[str | None]:
    """The texts at these places, in order; None where there is none (any more)."""
    texts: list[str | None] = []
    for chunk, at, length in places:
        if chunk is None or at is None or length is None:
            texts.append("" if length == 0 else None)
            continue
        try:
            with connection.blobopen("chunks", "body", chunk, readonly=True) as body:
                body.seek(at)
                text = body.read(length)
        except sqlite3.OperationalError:  # its chunk is gone
            texts.append(None)
            continue
        texts.append(text.decode() if text.strip(b"\0") else None)
    return texts
