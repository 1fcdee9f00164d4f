"""Reading the embedded log: short queries on the caller's thread, none of which leaves a snapshot open.

A snapshot that stays open would keep the WAL from being given back, so every query is read to its end or closed.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from heartbeat.engine.faults import point
from heartbeat.engine.log import TP, LogRecord
from heartbeat.engine.sqlite_chunks import ERASED, Chunk, erased, seal, unpack, unpack_headers
from heartbeat.engine.sqlite_ledger import Ledger, StoredTopic, load
from heartbeat.engine.sqlite_rows import checksum
from heartbeat.engine.sqlite_schema import OFFSET_BITS, damaged, explain
from heartbeat.engine.sqlite_state import SqliteState
from heartbeat.errors import LogDamaged, LogError, LogUnavailable

FETCH_BYTES: Final = 1_000_000
"""About the most that one fetch of long messages takes into memory; a batch of posts has a tenth of that."""
_LOOKED_THROUGH: Final = 2_000
"""Bytes of a chunk that are looked through at once: so much of it lies with the row itself."""
RECOVERY_PAGE: Final = 2_000
"""Live messages of a compact topic read at a time."""


class SqliteReader:
    """The reading half of `SqliteLog`; all of it in a process that does not own the log."""

    def __init__(self, path: Path, con: sqlite3.Connection) -> None:
        self.path = path
        self._read = con
        self._open = True
        self._version = self._data_version()
        self._seen = load(con)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `UnknownTopic`."""
        ledger = self.ledger()
        known = ledger.topics.get(topic)
        return known.partitions if known is not None else ledger.slot((topic, 0))

    def topics(self) -> Mapping[str, StoredTopic]:
        """Every topic by its name."""
        return self.ledger().topics

    def groups(self, topic: str) -> frozenset[str]:
        """The consumer groups of a topic that retention waits for."""
        return self.ledger().consumers.get(topic, frozenset())

    def begin_offset(self, tp: TP) -> int:
        """See `engine.log.Log.begin_offset`."""
        ledger = self.ledger()
        slot = ledger.slot(tp)
        table = "latest" if slot in ledger.compact else "chunks"
        low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
        first = self.query(f"SELECT min(id) FROM {table} WHERE id >= ? AND id < ?", (low, high))[0][0]
        return ledger.next[slot] if first is None else int(first) - low

    def end_offset(self, tp: TP) -> int:
        """See `engine.log.Log.end_offset`."""
        ledger = self.ledger()
        return ledger.next[ledger.slot(tp)]

    def committed(self, group: str, tp: TP) -> int | None:
        """See `engine.log.Log.committed`."""
        ledger = self.ledger()
        return ledger.commits.get((group, ledger.slot(tp)))

    def latest(self, tp: TP) -> Iterator[LogRecord]:
        """See `engine.log.Log.latest`. Read a page at a time: what is written meanwhile may or may not be there."""
        slot = self.ledger().slot(tp)
        if slot not in self.ledger().compact:
            raise LogError(f"{tp[0]} is not compact: it has no latest messages")
        return self._pages(slot)

    def count_latest(self, tp: TP) -> int:
        """See `engine.log.Log.count_latest`."""
        return int(self.query("SELECT count(*) FROM latest WHERE slot = ?", (self.ledger().slot(tp),))[0][0])

    def count(self, tp: TP) -> int:
        """How many messages can be read: neither erased, nor replaced by a newer one, nor gone.

        Costs a third of a microsecond a chunk: contents are looked at only where something may have been erased.
        """
        slot = self.ledger().slot(tp)
        if slot in self.ledger().compact:
            return self.count_latest(tp)
        low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
        total, last = self.query("SELECT sum(length), max(id) FROM chunks WHERE id >= ? AND id < ?", (low, high))[0]
        if last is None:
            return 0
        suspects = self.query(
            "SELECT id FROM chunks WHERE id BETWEEN ? AND ? AND (length(body) > ? OR instr(body, ?))",
            (low, last, _LOOKED_THROUGH, struct.pack("<i", ERASED)),
        )
        return int(total) - sum(self._erased(row_id) for (row_id,) in suspects)

    def _erased(self, row_id: int) -> int:
        found = self.query("SELECT length, headed, substr(body, 1, 12 * length) FROM chunks WHERE id = ?", (row_id,))
        return sum(erased(Chunk(length, bool(headed), head)) for length, headed, head in found)

    def _pages(self, slot: int) -> Iterator[LogRecord]:
        offset = 0
        while True:
            page = self._live(slot, offset, RECOVERY_PAGE, "log.recover")
            yield from page
            if len(page) < RECOVERY_PAGE:
                return
            offset = page[-1].offset + 1

    def state(self, store: str) -> SqliteState:
        """See `engine.log.Log.state`."""
        return SqliteState(store, self.path, self.ledger, partial(self.query, at="log.state"))

    def schema(self, schema_id: int) -> str | None:
        """See `schemas.SchemaStore`."""
        found = self.query("SELECT schema FROM schemas WHERE id = ?", (schema_id,))
        return str(found[0][0]) if found else None

    def sizes(self) -> Mapping[str, int]:
        """See `engine.log.Log.sizes`. Exact, and kept rather than counted."""
        ledger = self.ledger()
        sizes = dict.fromkeys(ledger.topics, 0)
        for (topic, _), slot in ledger.slots.items():
            sizes[topic] += ledger.bytes[slot]
        return sizes

    def partition_bytes(self, tp: TP) -> int:
        """The same of one partition."""
        ledger = self.ledger()
        return ledger.bytes[ledger.slot(tp)]

    def file_bytes(self) -> int:
        """What the log takes on disk: messages, state, indexes, free pages and the WAL."""
        return self.path.stat().st_size + self.wal_bytes()

    def wal_bytes(self) -> int:
        """What the WAL takes of that."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def peek(self, tp: TP, offset: int, limit: int) -> list[LogRecord]:
        """What `fetch` gives, at once and without waiting: for code that runs before there is anything to wait for."""
        return self._messages(self.ledger().slot(tp), offset, limit)

    def _messages(self, slot: int, offset: int, limit: int) -> list[LogRecord]:
        """Messages from an offset on, as many as there are, up to the limit, or about so many bytes."""
        offset = max(offset, 0)
        if slot in self.ledger().compact:
            return self._live(slot, offset, limit, "log.fetch")
        low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
        found: list[LogRecord] = []
        read = 0
        try:
            point("log.fetch")
            cursor = self._read.execute(
                "SELECT id, length, ts_ms, crc, headed, body FROM chunks "
                "WHERE id >= coalesce((SELECT max(id) FROM chunks WHERE id BETWEEN ? AND ?), ?) AND id < ? ORDER BY id",
                (low, low + offset, low, high),
            )
            try:
                for row_id, length, timestamp_ms, crc, headed, body in cursor:
                    first = row_id - low
                    chunk = Chunk(length, bool(headed), body)
                    if seal(chunk, row_id, timestamp_ms) != crc:
                        raise self._damaged(slot, f"{first} to {first + length - 1}")
                    messages = unpack(chunk, first, timestamp_ms)
                    if first < offset:  # some of them may have been erased
                        messages = [message for message in messages if message.offset >= offset]
                    found += messages
                    read += len(body)
                    if len(found) >= limit or (found and read >= FETCH_BYTES):  # erased ones are passed over
                        break
            finally:
                cursor.close()
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.path) from error
        return found[:limit] if len(found) > limit else found

    def _live(self, slot: int, offset: int, limit: int, at: str) -> list[LogRecord]:
        """The same of a compact topic."""
        low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
        rows = self.query(
            "SELECT id - ?, ts_ms, key, value, headers, crc FROM latest WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (low, low + offset, high, limit),
            at,
        )
        found = []
        for position, timestamp_ms, key, value, headers, crc in rows:
            if checksum(low + position, timestamp_ms, key + (headers or b"") + value) != crc:
                raise self._damaged(slot, f"{position}")
            found.append(LogRecord(position, timestamp_ms, key, value, unpack_headers(headers) if headers else ()))
        return found

    def _damaged(self, slot: int, offsets: str) -> LogDamaged:
        return damaged(self.path, f"wrong checksum in {self.ledger().name(slot)}, offset {offsets}")

    def query(self, sql: str, values: Sequence[Any], at: str = "") -> list[Any]:
        """All rows of a SELECT, for the modules of this room; its errors as errors of the log."""
        self._assert_open()
        try:
            if at:
                point(at)
            return self._read.execute(sql, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.path) from error

    def ledger(self) -> Ledger:
        """What is durable now, for the modules of this room; read again when the file has changed."""
        self._assert_open()
        version = self._data_version()
        if version != self._version:
            self._seen, self._version = load(self._read), version
        return self._seen

    def _data_version(self) -> int:
        return int(self._read.execute("PRAGMA data_version").fetchone()[0])

    def _assert_open(self) -> None:
        if not self._open:
            raise LogUnavailable(f"{self.path}: the log is closed")
