"""Times of which live feeds have heard nothing: windows that lie there are not known, however few posts they hold.

Feeds tell of them in their heartbeats, which come once for each origin partition and are read from every partition: so
a row is written many times, and stands as its widest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from heartbeat.records import Heartbeat
from heartbeat.sinks.history_names import Names
from heartbeat.sinks.history_statements import read_page

_WRITE: Final = (
    "INSERT INTO unheard VALUES (?, ?, ?, ?) ON CONFLICT (feed, from_ms)"
    " DO UPDATE SET to_ms = max(to_ms, excluded.to_ms), stored_ms = excluded.stored_ms"
)


def store_unheard(connection: sqlite3.Connection, names: Names, beats: Iterable[Heartbeat], now_ms: int) -> None:
    """Keep what heartbeats say of times that were not heard, in the transaction that is open."""
    for beat in beats:
        if beat.unheard_from_ms is not None:
            connection.execute(_WRITE, (names[beat.feed], beat.unheard_from_ms, beat.unheard_to_ms, now_ms))


def unheard(connection: sqlite3.Connection, feeds: Sequence[str], from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """What any of these feeds has not heard of [from_ms, to_ms), as (from, to) in ms, ascending; some may overlap."""
    rows = read_page(
        connection,
        "from_ms, to_ms",
        "FROM unheard WHERE feed IN (SELECT n.id FROM json_each(?) j JOIN names n ON n.name = j.value)"
        " AND to_ms > ? AND from_ms < ? ORDER BY from_ms, to_ms",
        (orjson.dumps(list(feeds)).decode(), from_ms, to_ms),
    )
    return [(first, last) for first, last in rows]
