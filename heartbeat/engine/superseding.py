"""Removes messages that a newer one of their key has replaced, whether or not everybody has read them.

A window is published once a second while it changes. A reader that is away for days needs none of that when it comes
back, only the newest record of each window; so what is kept for it must not grow with time, but with windows alone.

Why it is right. The newest message of a key is never removed, nor is one without a key, and none changes its offset. So
whoever reads on from any offset gets what it would have got, in the same order, less messages of keys that come again
further on: where the newest of a key is all that counts, it arrives at the same. A group that stands on an offset that
is gone goes on with the next that is there; nothing that it has committed changes.

How. As in log-structured stores there is a part of each partition that is clean and a part behind it that is not. Once
the second has grown to a share of the first, its newest messages by key are noted, and both are gone through: work and
memory follow what was appended, not what is kept. A chunk of which something goes is replaced, in one transaction, by
one chunk for each run of messages that stay. How far a partition is clean is kept in the log too; if that were lost, it
would only be gone through again.

The first message there stays in any case: what lies before `begin_offset` is what retention has removed, and history
concludes from it whether it can still read everything again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.engine import sqlite_rows
from heartbeat.engine.faults import point
from heartbeat.engine.log import Put, UnitWrite, addressee
from heartbeat.engine.sqlite_chunks import Chunk, keys, pack, seal, unpack
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_schema import OFFSET_BITS, damaged
from heartbeat.engine.sqlite_writer import Work

STORE: Final = "retention"
"""Where it is kept how far partitions are clean, by topic."""
SHARE: float = 0.5
"""How large the unclean part gets, compared with the clean one, before it is worth going through both."""
MOST_BYTES: Final = 64_000_000
"""How much is gone through for its keys at a time, at the most: this bounds the memory."""
STEP_BYTES: Final = 1_000_000
"""Chunks replaced in one transaction, about: some milliseconds of the writer's."""
_MOST_CHUNKS: Final = 20_000


class _Place(NamedTuple):
    """A partition, and the row ids that its offsets begin with."""

    topic: str
    number: int
    slot: int

    @property
    def low(self) -> int:
        return self.slot << OFFSET_BITS


class _Row(NamedTuple):
    """A chunk where it lies."""

    id: int
    timestamp_ms: int
    crc: int
    chunk: Chunk


class _Change(NamedTuple):
    """A chunk of which something goes, and what takes its place."""

    old: _Row
    new: list[_Row]

    @property
    def messages(self) -> int:
        return self.old.chunk.length - sum(row.chunk.length for row in self.new)

    @property
    def bytes(self) -> int:
        return len(self.old.chunk.body) - sum(len(row.chunk.body) for row in self.new)


class Superseding:
    """Call `run_once` now and then, before what is old is removed.

    Args:
        log: a log that this process owns.
        clock: the clock that the log was opened with.
        after_ms: by topic, how long after its append a message may go.
    """

    def __init__(self, log: SqliteLog, clock: Clock, after_ms: Mapping[str, int]) -> None:
        self._log, self._clock, self._after_ms = log, clock, after_ms

    async def run_once(self) -> tuple[int, int]:
        """Remove what may go and is worth the work. Gives how many messages that were, and how many bytes.

        Raises:
            LogUnavailable: the file cannot be written; what was removed so far stays removed.
            LogDamaged: the file is not whole.
        """
        messages = size = 0
        for topic, after_ms in self._after_ms.items():
            known = self._log.topics().get(topic)
            for number in range(known.partitions if known else 0):
                place = _Place(topic, number, self._log.ledger().slots[topic, number])
                removed = await self._clean(place, self._clock.now_ms() - after_ms)
                messages, size = messages + removed[0], size + removed[1]
        return messages, size

    async def _clean(self, place: _Place, until_ms: int) -> tuple[int, int]:
        clean = self._clean_to(place)
        end = self._unclean(place, clean, until_ms)
        if end is None:
            return 0, 0
        newest: dict[bytes, int] = {}
        for row_id in self._ids(clean, end):
            row = self._row(place, row_id)
            newest.update((key, row_id + at) for at, key in enumerate(_names(row)) if key is not None)
            await asyncio.sleep(0)
        everything = self._ids(place.low, end)
        messages = size = held = 0
        changes: list[_Change] = []
        for row_id in everything:
            change = _without(self._row(place, row_id), newest, place.low, first=row_id == everything[0])
            if change is not None:
                changes.append(change)
                held += len(change.old.chunk.body)
            if held >= STEP_BYTES or (changes and row_id == everything[-1]):
                done = await self._log.submit(_replace(place.slot, changes))
                messages, size = messages + done[0], size + done[1]
                changes, held = [], 0
            await asyncio.sleep(0)
        await self._log.write(
            UnitWrite(puts=[Put(STORE, place.number, place.topic.encode(), b"%d" % (end - place.low))])
        )
        return messages, size

    def _clean_to(self, place: _Place) -> int:
        """The row id up to which a partition is clean."""
        key = place.topic.encode()
        return place.low + int(self._log.state(STORE).get_many(place.number, [key]).get(key, b"0"))

    def _unclean(self, place: _Place, clean: int, until_ms: int) -> int | None:
        """The row id up to which it can be made clean now; None if that is not worth it yet.

        Times of append need not rise, since clocks jump: what precedes an old message is old as well.
        """
        rows = self._log.query(
            "SELECT id, length, length(body), ts_ms FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (clean, (place.slot + 1) << OFFSET_BITS, _MOST_CHUNKS),
        )
        end, size, settled = None, 0, 0
        for row_id, length, body, timestamp_ms in rows:
            if timestamp_ms <= until_ms and size < MOST_BYTES:
                end, settled = row_id + length, size + body
            size += body
        clean_bytes = self._log.ledger().bytes[place.slot] - size
        return end if settled >= min(SHARE * clean_bytes, MOST_BYTES) or len(rows) == _MOST_CHUNKS else None

    def _ids(self, low: int, high: int) -> list[int]:
        return [
            row[0] for row in self._log.query("SELECT id FROM chunks WHERE id >= ? AND id < ? ORDER BY id", (low, high))
        ]

    def _row(self, place: _Place, row_id: int) -> _Row:
        found = self._log.query("SELECT ts_ms, crc, length, headed, body FROM chunks WHERE id = ?", (row_id,))
        timestamp_ms, crc, length, headed, body = found[0]
        chunk = Chunk(length, bool(headed), body)
        if seal(chunk, row_id, timestamp_ms) != crc:
            raise damaged(
                self._log.path, f"wrong checksum in {place.topic}/{place.number}, offset {row_id - place.low}"
            )
        return _Row(row_id, timestamp_ms, crc, chunk)


def _names(row: _Row) -> list[bytes | None]:
    """What may replace, and be replaced, by key. Not what is for one agent alone: to all others it is not there."""
    names = keys(row.chunk)
    if row.chunk.headed:
        for record in unpack(row.chunk, 0, row.timestamp_ms):
            if addressee(record.headers) is not None:
                names[record.offset] = None
    return names


def _without(row: _Row, newest: Mapping[bytes, int], low: int, *, first: bool) -> _Change | None:
    """What is left of a chunk: each message but those whose key comes again behind it. None if nothing goes."""
    there = enumerate(_names(row), row.id)
    stay = [key is None or newest.get(key, 0) <= row_id or (first and row_id == row.id) for row_id, key in there]
    if all(stay):
        return None
    messages = unpack(row.chunk, row.id - low, row.timestamp_ms)
    if len(messages) < row.chunk.length:  # some have been erased: there are few such chunks, and they stay
        return None
    new: list[_Row] = []
    run: list[int] = []
    for at, stays in enumerate([*stay, False]):
        if stays:
            run.append(at)
        elif run:
            row_id = row.id + run[0]
            for chunk in pack(messages[run[0] : run[-1] + 1]):
                new.append(_Row(row_id, row.timestamp_ms, seal(chunk, row_id, row.timestamp_ms), chunk))
                row_id += chunk.length
            run = []
    return _Change(row, new)


def _replace(slot: int, changes: Sequence[_Change]) -> Work[tuple[int, int]]:
    """Put these chunks in place of the old ones; gives how many messages and bytes that freed.

    A chunk of which something has been erased since it was read stays as it is: what was erased must not come back.
    """

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], tuple[int, int]]:
        there: dict[int, int] = {}
        for places, ids in sqlite_rows.blocks([change.old.id for change in changes]):
            there.update(con.execute(f"SELECT id, crc FROM chunks WHERE id IN ({places})", ids).fetchall())
        same = [change for change in changes if there.get(change.old.id) == change.old.crc]
        messages, freed = sum(change.messages for change in same), sum(change.bytes for change in same)
        new = [
            (row.id, row.chunk.length, row.timestamp_ms, row.crc, row.chunk.headed, row.chunk.body)
            for change in same
            for row in change.new
        ]
        for places, ids in sqlite_rows.blocks([change.old.id for change in same]):
            con.execute(f"DELETE FROM chunks WHERE id IN ({places})", ids)
        sqlite_rows.insert(con, "INSERT INTO chunks(id, length, ts_ms, crc, headed, body) VALUES", 6, new)
        con.execute("UPDATE partitions SET bytes = bytes - ? WHERE slot = ?", (freed, slot))
        point("retention.supersede")

        def take_over(ledger: Ledger) -> tuple[int, int]:
            ledger.bytes[slot] -= freed
            return messages, freed

        return take_over

    return work
