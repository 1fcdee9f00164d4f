"""Looks at single messages and notes from within the writer's transaction, where the reading connection is behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from heartbeat.engine.log import LogRecord
from heartbeat.engine.sqlite_chunks import Chunk, seal, unpack
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_schema import OFFSET_BITS
from heartbeat.errors import LogDamaged

_COLUMNS = "SELECT id, length, ts_ms, crc, headed, body FROM chunks"


class StoredChunk(NamedTuple):
    """A chunk where it lies: offsets [first, first + length), those of its messages that are there."""

    row_id: int
    first: int
    length: int
    timestamp_ms: int
    bytes: int
    records: list[LogRecord]


def chunk_at(con: sqlite3.Connection, ledger: Ledger, slot: int, offset: int) -> StoredChunk | None:
    """The chunk that holds an offset, if there is one.

    Raises:
        LogDamaged: it is not what was written.
    """
    low = slot << OFFSET_BITS
    row = con.execute(
        f"{_COLUMNS} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", (low, low + min(offset, 2**OFFSET_BITS - 1))
    ).fetchone()
    if row is None or offset >= row[0] - low + row[1]:
        return None
    return StoredChunk(row[0], row[0] - low, row[1], row[2], len(row[5]), _unpacked(ledger, slot, row))


def message_at(con: sqlite3.Connection, ledger: Ledger, slot: int, offset: int) -> LogRecord | None:
    """One message, if it is there."""
    chunk = chunk_at(con, ledger, slot, offset)
    return None if chunk is None else next((one for one in chunk.records if one.offset == offset), None)


def messages_from(con: sqlite3.Connection, ledger: Ledger, slot: int, offset: int) -> Iterator[LogRecord]:
    """Everything from an offset on."""
    low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
    begin = con.execute("SELECT max(id) FROM chunks WHERE id BETWEEN ? AND ?", (low, low + offset)).fetchone()[0]
    for row in con.execute(f"{_COLUMNS} WHERE id >= ? AND id < ? ORDER BY id", (begin or low, high)):
        yield from (record for record in _unpacked(ledger, slot, row) if record.offset >= offset)


def value_of(con: sqlite3.Connection, ledger: Ledger, store: str, partition: int, key: bytes) -> bytes | None:
    """A value of a state store."""
    slot = ledger.stores.get((store, partition))
    rows = con.execute("SELECT key, value FROM state WHERE slot = ? AND hash = ?", (slot, crc32(key))).fetchall()
    return next((bytes(value) for known, value in rows if known == key), None)


def _unpacked(ledger: Ledger, slot: int, row: tuple[int, int, int, int, int, bytes]) -> list[LogRecord]:
    row_id, length, timestamp_ms, crc, headed, body = row
    chunk, first = Chunk(length, bool(headed), body), row_id - (slot << OFFSET_BITS)
    if seal(chunk, row_id, timestamp_ms) != crc:
        raise LogDamaged(
            f"the log is damaged (wrong checksum in {ledger.name(slot)}, offset {first} to {first + length - 1}); "
            "`heartbeat doctor` says what to do"
        )
    return unpack(chunk, first, timestamp_ms)
