"""The topics: what each carries, how it is keyed and how long it is kept.

    feeds ─► ingest ─► language ─► sentiment ─► pulse ─► history
             Post      Detected    Scored       Pulse, Late
             by id     by id       by task      by task

A heartbeat travels along in `ingest`, `language` and `sentiment`. What cannot be used goes to `deadletters`.
`ingest` and `language` are partitioned by (source, id), `sentiment` and `pulse` by task. Every message names its
partition; keys are UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's name and how long the log keeps its messages.

    `retention_ms` counts from the time of append, and never removes what a consumer has not read. A `compact` topic
    keeps the newest message of each key instead. `holds_content` marks topics with posts' texts, whose retention is
    capped by the limit on keeping content. `superseded_ms`: so long after its append a message goes, read or not, once
    a newer one of its key is there; for topics whose readers need the newest of each key alone.
    """

    name: str
    retention_ms: int | None = DAY_MS
    compact: bool = False
    holds_content: bool = False
    superseded_ms: int | None = None


INGEST: Final = Topic("ingest", holds_content=True)
LANGUAGE: Final = Topic("language", holds_content=True)
SENTIMENT: Final = Topic("sentiment", holds_content=True)
PULSE: Final = Topic("pulse", superseded_ms=60_000)
"""A `Pulse` is keyed by its whole window, and replaces the one before; each `Late` has a key of its own."""
LATE_KEY: Final = "late/"
"""What the key of a `Late` begins with; no window's key has two parts."""
DEADLETTERS: Final = Topic("deadletters", retention_ms=7 * DAY_MS, holds_content=True)
CURSORS: Final = Topic("cursors", retention_ms=None, compact=True)
"""Each feed's cursor, keyed by the feed's name, written in the same unit as the posts it covers."""

GROUPS: Final = "heartbeat"
"""The prefix of all consumer groups."""

ALL: Final = (INGEST, LANGUAGE, SENTIMENT, PULSE, DEADLETTERS, CURSORS)


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: CRC-32 of its UTF-8 modulo the number of partitions.

    (librdkafka's `consistent` partitioner. Kafka's own murmur2 exists in Python only as Python, at ten times the
    cost; since every message names its partition, nobody else has to agree.)
    """
    return crc32(key.encode()) % partitions


def post_key(source: str, post_id: str) -> str:
    """The key of everything about one post; a line feed cannot stand in a source's name."""
    return f"{source}\n{post_id}"
