"""The units of one transaction: which of them may go in, what offsets they get, and the statements that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from heartbeat.engine import sqlite_rows, sqlite_state
from heartbeat.engine.faults import point
from heartbeat.engine.sqlite_chunks import Chunk, seal
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_schema import OFFSET_BITS
from heartbeat.errors import StaleUnit

Latest: TypeAlias = dict[bytes, tuple[int, bytes | None, bytes | None]]
"""By key: its place among the unit's messages of that partition, headers, value."""


class Group:
    """Collects units, writes them, and takes what they changed over into the ledger once it is durable."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self._commits: dict[tuple[str, int], int] = {}
        self._stores: dict[tuple[str, int], int] = {}
        self._rows: dict[int, int] = {}
        self._chunk_rows: list[tuple[int, int, int, int, bool, bytes]] = []
        self._latest: list[tuple[int, int, int, Latest]] = []
        self._changes: list[sqlite_state.Changes] = []

    def add(
        self,
        timestamp_ms: int,
        chunks: Mapping[int, Sequence[Chunk]],
        latest: Mapping[int, tuple[int, Latest]],
        advances: Sequence[tuple[str, int, int | None, int]],
        changes: Sequence[sqlite_state.Changes],
    ) -> dict[int, int] | StaleUnit:
        """Take a unit in, or refuse it; gives the first offset in each slot that it appends to."""
        moved: dict[tuple[str, int], int] = {}
        for consumer, slot, expected, to in advances:
            key = consumer, slot
            stands = moved.get(key, self._commits.get(key, self._ledger.commits.get(key)))
            if stands != expected:
                return StaleUnit(
                    f"{consumer} stands at {stands} in {self._ledger.name(slot)}; the unit goes from {expected} to {to}"
                )
            moved[key] = to
        self._commits.update(moved)
        firsts = {}
        for slot, packed in chunks.items():
            at = firsts[slot] = self._take(slot, 0)
            size = 0
            for chunk in packed:
                row_id = slot << OFFSET_BITS | at
                crc = seal(chunk, row_id, timestamp_ms)
                self._chunk_rows.append((row_id, chunk.length, timestamp_ms, crc, chunk.headed, chunk.body))
                at += chunk.length
                size += len(chunk.body)
            self._next[slot] = at
            self._bytes[slot] = self._bytes.get(slot, self._ledger.bytes[slot]) + size
        for slot, (count, newest) in latest.items():
            firsts[slot] = self._take(slot, count)
            self._latest.append((slot, firsts[slot], timestamp_ms, newest))
        self._changes.extend(changes)
        return firsts

    def _take(self, slot: int, count: int) -> int:
        first = self._next.get(slot)
        if first is None:
            first = self._ledger.next[slot]
        self._next[slot] = first + count
        return first

    def insert(self, con: sqlite3.Connection) -> None:
        """Write all of it, inside the writer's transaction."""
        sqlite_rows.insert(con, "INSERT INTO chunks(id, length, ts_ms, crc, headed, body) VALUES", 6, self._chunk_rows)
        for slot, first, timestamp_ms, newest in self._latest:
            self._replace(con, slot, first, timestamp_ms, newest)
        for changes in self._changes:
            slot = self._store_slot(con, changes.store, changes.partition)
            self._rows[slot] += sqlite_state.apply(con, slot, changes.newest)
        point("log.insert")
        moved = [
            (slot, *self._ledger.places[slot], following, self._size(slot)) for slot, following in self._next.items()
        ]
        sqlite_rows.insert(con, "INSERT OR REPLACE INTO partitions(slot, topic, number, next, bytes) VALUES", 5, moved)
        commits = [(*key, offset) for key, offset in self._commits.items()]
        sqlite_rows.insert(con, "INSERT OR REPLACE INTO commits(consumer, slot, offset) VALUES", 3, commits)
        for slot, rows in self._rows.items():
            con.execute("UPDATE stores SET rows = ? WHERE slot = ?", (rows, slot))

    def _size(self, slot: int) -> int:
        return self._bytes.get(slot, self._ledger.bytes[slot])

    def _replace(self, con: sqlite3.Connection, slot: int, first: int, timestamp_ms: int, newest: Latest) -> None:
        """Put the newest message of each key in the place of the one before."""
        size = self._size(slot)
        for places, keys in sqlite_rows.blocks(list(newest)):
            at = f"FROM latest WHERE slot = ? AND key IN ({places})"
            old = con.execute(
                "SELECT count(*), total(length(key) + length(value) + coalesce(length(headers), 0)) " + at,
                (slot, *keys),
            ).fetchone()
            if old[0]:
                con.execute("DELETE " + at, (slot, *keys))
                size -= int(old[1])
        rows = []
        for key, (position, headers, value) in newest.items():
            if value is not None:
                size += len(key) + len(value) + len(headers or b"")
                row_id = slot << OFFSET_BITS | first + position
                crc = sqlite_rows.checksum(row_id, timestamp_ms, key + (headers or b"") + value)
                rows.append((row_id, slot, key, timestamp_ms, crc, headers, value))
        sqlite_rows.insert(con, "INSERT INTO latest(id, slot, key, ts_ms, crc, headers, value) VALUES", 7, rows)
        self._bytes[slot] = size

    def _store_slot(self, con: sqlite3.Connection, store: str, partition: int) -> int:
        slot = self._stores.get((store, partition), self._ledger.stores.get((store, partition)))
        if slot is None:
            slot = 1 + max([0, *self._ledger.rows, *self._rows])
            con.execute("INSERT INTO stores(slot, name, number, rows) VALUES (?, ?, ?, 0)", (slot, store, partition))
            self._stores[store, partition] = slot
            self._rows[slot] = 0
        self._rows.setdefault(slot, self._ledger.rows.get(slot, 0))
        return slot

    def take_over(self, ledger: Ledger) -> None:
        """Bring the ledger up to date. For a group whose transaction is durable."""
        ledger.next.update(self._next)
        ledger.bytes.update(self._bytes)
        ledger.commits.update(self._commits)
        ledger.rows.update(self._rows)
        ledger.stores.update(self._stores)
