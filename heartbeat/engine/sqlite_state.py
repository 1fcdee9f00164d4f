"""State stores in the embedded log's file: large keyed tables, changed in the same transaction as the log.

Rows lie in the order in which they were put, found through an index on a 32-bit hash of the key: a unit then changes
few pages, where rows in the order of their keys would have it change a page for each. Rows whose hashes are equal are
told apart by their keys.

Changes come as `Put`s of a unit and are applied by the writer; reads go through a connection of their own and see
what is durable, nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

from heartbeat.engine import sqlite_rows
from heartbeat.engine.log import Put
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_rows import checksum
from heartbeat.engine.sqlite_schema import damaged
from heartbeat.errors import LogDamaged

Query: TypeAlias = Callable[[str, Sequence[Any]], list[Any]]
"""Runs a SELECT and gives all its rows, so that no snapshot outlives the call."""


class Changes(NamedTuple):
    """A unit's changes of one partition of one store: of each key the last one."""

    store: str
    partition: int
    newest: dict[bytes, Put]


def prepare(puts: Sequence[Put]) -> list[Changes]:
    """Sort a unit's changes by store and partition."""
    parts: dict[tuple[str, int], dict[bytes, Put]] = {}
    for put in puts:
        place = put[0], put[1]
        keys = parts.get(place)
        if keys is None:
            keys = parts[place] = {}
        keys[put[2]] = put
    return [Changes(store, partition, newest) for (store, partition), newest in parts.items()]


def apply(con: sqlite3.Connection, slot: int, newest: dict[bytes, Put]) -> int:
    """Make the changes, inside the writer's transaction; gives by how many keys the partition grew."""
    hashes = {key: crc32(key) for key in newest}
    old = []
    for places, block in sqlite_rows.blocks(list(hashes.values())):
        rows = con.execute(
            f"SELECT id, key FROM state WHERE slot = ? AND hash IN ({places})", (slot, *block)
        ).fetchall()
        old += [row_id for row_id, key in rows if key in newest]
    for places, block in sqlite_rows.blocks(old):
        con.execute(f"DELETE FROM state WHERE id IN ({places})", block)
    new = [
        (slot, hashes[key], put.expires_ms, checksum(hashes[key], put.expires_ms or 0, put.value), key, put.value)
        for key, put in newest.items()
        if put.value is not None
    ]
    sqlite_rows.insert(con, "INSERT INTO state(slot, hash, expires_ms, crc, key, value) VALUES", 6, new)
    return len(new) - len(set(old))


class SqliteState:
    """A state store. See `engine.log.StateStore`."""

    def __init__(self, name: str, path: Path, ledger: Callable[[], Ledger], query: Query) -> None:
        self.name = name
        self._path, self._ledger, self._query = path, ledger, query

    def get_many(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are there. Raises `LogDamaged` where a row is not what was put."""
        slot = self._ledger().stores.get((self.name, partition))
        found: dict[bytes, bytes] = {}
        if slot is None:
            return found
        wanted = dict(zip(keys, map(crc32, keys), strict=True))
        for places, block in sqlite_rows.blocks(list(wanted.values())):
            sql = f"SELECT key, value, expires_ms, crc FROM state WHERE slot = ? AND hash IN ({places})"
            for key, value, expires_ms, crc in self._query(sql, (slot, *block)):
                if checksum(wanted.get(key) or crc32(key), expires_ms or 0, value) != crc:
                    raise self._damaged(partition)
                if key in wanted:
                    found[key] = value
        return found

    def expired(self, partition: int, now_ms: int, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` (key, value) pairs whose `expires_ms` is at or before `now_ms`, oldest first."""
        slot = self._ledger().stores.get((self.name, partition))
        if slot is None:
            return []
        rows = self._query(
            "SELECT key, value, expires_ms, crc FROM state WHERE slot = ? AND expires_ms <= ? "
            "ORDER BY expires_ms LIMIT ?",
            (slot, now_ms, limit),
        )
        if any(checksum(crc32(key), expires_ms, value) != crc for key, value, expires_ms, crc in rows):
            raise self._damaged(partition)
        return [(key, value) for key, value, _, _ in rows]

    def _damaged(self, partition: int) -> LogDamaged:
        return damaged(self._path, f"wrong checksum in the state store {self.name}/{partition}")

    def count(self, partition: int) -> int:
        """How many keys there are; kept, not counted."""
        ledger = self._ledger()
        slot = ledger.stores.get((self.name, partition))
        return 0 if slot is None else ledger.rows[slot]
