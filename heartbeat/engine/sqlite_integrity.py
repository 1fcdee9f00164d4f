"""Looks through a whole log: every row's checksum, and whether its tables fit each other.

SQLite's own check (`quick_check`) knows only whether its pages hang together. Rows are judged by functions of their
own, since a file without SQLite is judged by them too (`salvage`).
"""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from zlib import crc32

from heartbeat.engine.sqlite_chunks import Chunk, seal, unpack
from heartbeat.engine.sqlite_ledger import Ledger, load
from heartbeat.engine.sqlite_rows import checksum
from heartbeat.engine.sqlite_schema import OFFSET_BITS

CHUNK: Final = "id, length, ts_ms, crc, headed, body"
LATEST: Final = "id, slot, key, ts_ms, crc, headers, value"
STATE: Final = "id, slot, hash, expires_ms, crc, key, value"
BROKEN: Final = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError, struct.error)
"""What rubbish in a table leads to; text that is no text is a ValueError."""
_OFFSETS: Final = 2**OFFSET_BITS - 1


def is_chunk(row: Sequence[Any]) -> bool:
    """Whether a row of `CHUNK` is what was written."""
    row_id, length, ts_ms, crc, headed, body = row
    try:
        chunk = Chunk(length, bool(headed), body)
        return bool(body) and length > 0 and seal(chunk, row_id, ts_ms) == crc and unpack(chunk, 0, 0) is not None
    except BROKEN:
        return False


def is_latest(row: Sequence[Any]) -> bool:
    """Whether a row of `LATEST` is what was written."""
    row_id, slot, key, ts_ms, crc, headers, value = row
    try:
        return bool(row_id >> OFFSET_BITS == slot and checksum(row_id, ts_ms, key + (headers or b"") + value) == crc)
    except BROKEN:
        return False


def is_state(row: Sequence[Any]) -> bool:
    """Whether a row of `STATE` is what was written."""
    _, _, hashed, expires_ms, crc, key, value = row
    try:
        return bool(crc32(key) == hashed and checksum(hashed, expires_ms or 0, value) == crc)
    except BROKEN:
        return False


def faults(con: sqlite3.Connection, *, until: float | None = None) -> Iterator[str]:
    """What is wrong, place by place; nothing if all is well.

    Read in short steps, so that nobody is kept from writing. What is written meanwhile is not taken for a fault.

    Args:
        con: a connection; only read from.
        until: on the clock of `time.monotonic`, when to give up.

    Raises:
        sqlite3.Error: it cannot even be read.
    """
    try:
        yield from _faults(con, until)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        yield f"its tables are not as they were made: {error}"


def _faults(con: sqlite3.Connection, until: float | None) -> Iterator[str]:
    try:
        ledger = load(con)
    except BROKEN as error:
        yield f"the tables of topics and offsets do not fit each other ({type(error).__name__})"
        return
    for slot, following in ledger.next.items():
        yield from _partition(con, ledger, slot, following, until)
    names = {slot: f"{store}/{partition}" for (store, partition), slot in ledger.stores.items()}
    for row in _rows(con, STATE, "state", 0, 2**62, until):
        if not is_state(row):
            yield f"wrong checksum in the state store {names.get(row[1], row[1])}"


def _partition(
    con: sqlite3.Connection, ledger: Ledger, slot: int, following: int, until: float | None
) -> Iterator[str]:
    low, name = slot << OFFSET_BITS, ledger.name(slot)
    high, expected = low + following, low
    if slot in ledger.compact:
        for row in _rows(con, LATEST, "latest", low, high, until):
            if not is_latest(row):
                yield f"wrong checksum in {name}, offset {row[0] & _OFFSETS}"
        return
    for row in _rows(con, CHUNK, "chunks", low, high, until):
        row_id, length = row[:2]
        if not is_chunk(row):
            yield f"wrong checksum in {name}, offset {row_id & _OFFSETS}"
        elif row_id < expected or row_id + length > high:
            yield f"messages overlap in {name}, offset {row_id & _OFFSETS}"
        else:
            expected = row_id + length


def _rows(
    con: sqlite3.Connection, columns: str, table: str, low: int, high: int, until: float | None
) -> Iterator[tuple[Any, ...]]:
    at_once = 16 if table == "chunks" else 500
    while until is None or time.monotonic() < until:
        rows = con.execute(
            f"SELECT {columns} FROM {table} WHERE id >= ? AND id < ? ORDER BY id LIMIT {at_once}", (low, high)
        ).fetchall()
        yield from rows
        if len(rows) < at_once:
            return
        low = rows[-1][0] + 1
