"""Erases single messages of the embedded log before their time: posts that have to be forgotten, purged dead letters.

A message is overwritten where it lies: its chunk keeps its row, its length and its offsets, and what remained of the
message is zeros. So no page of the file is moved about, where a copy might be left behind; and no offset changes its
meaning. Readers pass an erased message over as they pass over what retention removed.

It goes in small steps through the log's own writer, between units. What is looked for is looked for in a thread, over a
connection of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple

from heartbeat.engine.faults import point
from heartbeat.engine.log import TP, LogRecord
from heartbeat.engine.sqlite_chunks import Chunk, seal, unpack, without
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_lookup import chunk_at
from heartbeat.engine.sqlite_schema import OFFSET_BITS, connect, damaged, explain
from heartbeat.engine.sqlite_writer import Work

CHUNKS_A_STEP: Final = 16
CHUNKS_A_LOOK: Final = 64


class Found(NamedTuple):
    """A message that was looked for: its topic and what it holds; `chunk` is the row that it lies in."""

    topic: str
    chunk: int
    record: LogRecord


async def find(
    log: SqliteLog, topics: Iterable[str], wanted: Callable[[LogRecord], bool], *, needle: bytes | None = None
) -> list[Found]:
    """Every message of these topics that is wanted; they may not be compact.

    Args:
        log: open for writing.
        topics: their names; those that are not there hold nothing.
        wanted: called in another thread.
        needle: bytes that stand in every message that is wanted: most others need not be taken apart then.

    Raises:
        LogDamaged: what is there is not what was written, so that nobody knows what it held.
        LogUnavailable: the file cannot be read.
    """
    slots = {slot: topic for (topic, _), slot in log.ledger().slots.items() if topic in set(topics)}
    return await asyncio.to_thread(_find, log, slots, wanted, needle)


def _find(
    log: SqliteLog, slots: Mapping[int, str], wanted: Callable[[LogRecord], bool], needle: bytes | None
) -> list[Found]:
    found: list[Found] = []
    try:
        with closing(connect(log.path, read_only=True)) as con:
            for slot, topic in slots.items():
                low, high = slot << OFFSET_BITS, (slot + 1) << OFFSET_BITS
                while rows := con.execute(
                    "SELECT id, length, ts_ms, headed, body, crc FROM chunks"
                    " WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                    (low, high, CHUNKS_A_LOOK),
                ).fetchall():
                    for row_id, length, ts_ms, headed, body, crc in rows:
                        if needle is None or needle in body:
                            chunk, first = Chunk(length, bool(headed), body), row_id - (slot << OFFSET_BITS)
                            if seal(chunk, row_id, ts_ms) != crc:
                                raise damaged(log.path, f"wrong checksum in {topic}, offset {first} and following")
                            records = unpack(chunk, first, ts_ms)
                            found += [Found(topic, row_id, record) for record in records if wanted(record)]
                    low = rows[-1][0] + 1
    except (sqlite3.Error, OSError) as error:
        raise explain(error, log.path) from error
    return found


async def erase(log: SqliteLog, found: Sequence[Found]) -> int:
    """Overwrite messages that were found; gives how many were still there.

    Raises:
        LogUnavailable: the file cannot be written; what was erased so far stays erased.
    """
    by_chunk: dict[int, set[int]] = {}
    for one in found:
        by_chunk.setdefault(one.chunk, set()).add(one.record.offset)
    chunks = list(by_chunk.items())
    erased = 0
    for at in range(0, len(chunks), CHUNKS_A_STEP):
        erased += await log.submit(_overwrite(dict(chunks[at : at + CHUNKS_A_STEP])))
    return erased


async def erase_all(log: SqliteLog, look: Callable[[], Awaitable[Sequence[Found]]]) -> int:
    """Look for messages and overwrite them until nothing is found; gives how many.

    Upkeep may have put a chunk in other rows since it was looked at.

    Raises:
        LogDamaged, LogUnavailable: as above.
    """
    erased = 0
    while found := await look():
        erased += await erase(log, found)
    return erased


async def erase_at(log: SqliteLog, tp: TP, offsets: Iterable[int]) -> int:
    """Overwrite messages of a partition that are known by their offsets; gives how many were there.

    Raises:
        LogUnavailable: as above.
    """
    wanted = sorted(set(offsets))
    erased = 0
    for at in range(0, len(wanted), CHUNKS_A_STEP):  # each in a chunk of its own, at the worst
        erased += await log.submit(_overwrite_at(tp, wanted[at : at + CHUNKS_A_STEP]))
    return erased


def _overwrite(chunks: Mapping[int, set[int]]) -> Work[int]:
    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], int]:
        erased = sum(_overwrite_chunk(con, row_id, offsets) for row_id, offsets in chunks.items())
        point("erasure.step")
        return lambda _: erased

    return work


def _overwrite_at(tp: TP, offsets: Sequence[int]) -> Work[int]:
    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], int]:
        slot, chunks = ledger.slot(tp), dict[int, set[int]]()
        for offset in offsets:
            chunk = chunk_at(con, ledger, slot, offset)
            if chunk is not None:
                chunks.setdefault(chunk.row_id, set()).add(offset)
        return _overwrite(chunks)(con, ledger)

    return work


def _overwrite_chunk(con: sqlite3.Connection, row_id: int, offsets: set[int]) -> int:
    """Overwrite messages of a chunk, if it is there; gives how many."""
    found = con.execute("SELECT length, ts_ms, headed, body FROM chunks WHERE id = ?", (row_id,)).fetchall()
    if not found:
        return 0
    length, ts_ms, headed, body = found[0]
    chunk = Chunk(length, bool(headed), body)
    first = row_id & ((1 << OFFSET_BITS) - 1)
    there = {record.offset for record in unpack(chunk, first, ts_ms)} & offsets
    left = without(chunk, {offset - first for offset in there})
    con.execute("UPDATE chunks SET body = ?, crc = ? WHERE id = ?", (left.body, seal(left, row_id, ts_ms), row_id))
    return len(there)
