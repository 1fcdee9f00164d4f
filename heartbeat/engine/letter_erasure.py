"""Takes single messages out of the embedded log, contents and all; their offsets stay as gaps.

A chunk that holds others is written anew in its place, with nothing left of the erased ones; a chunk of which nothing
is left goes. `secure_delete` overwrites what was there; the WAL is cut by the caller (`retention.truncate`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from heartbeat.engine.faults import point
from heartbeat.engine.log import TP, Append
from heartbeat.engine.sqlite_chunks import pack, seal
from heartbeat.engine.sqlite_ledger import Ledger
from heartbeat.engine.sqlite_lookup import chunk_at
from heartbeat.engine.sqlite_writer import Work


def erase(tp: TP, offsets: Collection[int]) -> Work[int]:
    """Erase these messages of a partition; gives how many were there."""

    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], int]:
        slot = ledger.slot(tp)
        erased = size = 0
        wanted, left = set(offsets), sorted(offsets)
        while left:
            stored = chunk_at(con, ledger, slot, left[0])
            if stored is None:
                left.pop(0)
                continue
            left = [offset for offset in left if offset >= stored.first + stored.length]
            kept = [Append(*tp, None, None)] * stored.length
            for record in stored.records:
                if record.offset not in wanted:
                    kept[record.offset - stored.first] = Append(*tp, record.key, record.value, record.headers)
                else:
                    erased += (record.key, record.value, record.headers) != (None, None, ())
            row_id, at_ms = stored.row_id, stored.timestamp_ms
            size -= stored.bytes
            con.execute("DELETE FROM chunks WHERE id = ?", (row_id,))
            if all(append.key is None and append.value is None and not append.headers for append in kept):
                continue
            for chunk in pack(kept):
                crc = seal(chunk, row_id, at_ms)
                row = (row_id, chunk.length, at_ms, crc, chunk.headed, chunk.body)
                con.execute("INSERT INTO chunks(id, length, ts_ms, crc, headed, body) VALUES (?, ?, ?, ?, ?, ?)", row)
                size += len(chunk.body)
                row_id += chunk.length
        con.execute("UPDATE partitions SET bytes = bytes + ? WHERE slot = ?", (size, slot))
        point("letters.erase")

        def take_over(ledger: Ledger) -> int:
            ledger.bytes[slot] += size
            return erased

        return take_over

    return work
