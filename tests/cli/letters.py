"""Data directories with dead letters in them, as an agent that failed would have left them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from heartbeat.clock import SystemClock
from heartbeat.codec import Codec
from heartbeat.engine.deadletters import dead_letter
from heartbeat.engine.log import TP, Advance, Append, LogRecord, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Post
from heartbeat.topics import ALL, DEADLETTERS, INGEST, partition_of, post_key

PARTITIONS = 4
AGENTS = (("ingest", "language"), ("language", "sentiment"), ("sentiment", "pulse"), ("sentiment", "history-posts"))


def open_log(data: Path) -> SqliteLog:
    """The log of a data directory, with the topics and groups of a worker."""
    data.mkdir(mode=0o700, exist_ok=True)
    log = SqliteLog.open(data / "log.db", clock=SystemClock())
    for topic in ALL:
        log.create_topic(topic, PARTITIONS)
    for topic_name, agent in AGENTS:
        log.register_group(f"heartbeat-{agent}", topic_name)
    return log


def fail(data: Path, posts: Sequence[Post], reason: str = "a bug") -> None:
    """Posts that came in, at each of which the agent `language` has failed."""

    async def write(log: SqliteLog) -> None:
        codec = Codec(log)
        for post in posts:
            key = post_key(post.source, post.id)
            tp = TP(INGEST.name, partition_of(key, PARTITIONS))
            value = codec.encode(post)
            (offset,) = await log.write(UnitWrite([Append(*tp, key.encode(), value)]))
            record = LogRecord(offset, 0, key.encode(), value)
            letter = dead_letter(
                record, tp, "language", ValueError(reason), at_ms=SystemClock().now_ms(), partitions=PARTITIONS
            )
            stands = log.committed("heartbeat-language", tp)
            await log.write(UnitWrite([letter], [Advance("heartbeat-language", tp, stands, offset + 1)]))

    log = open_log(data)
    try:
        asyncio.run(write(log))
    finally:
        log.close()


def ends(data: Path, topic: str) -> int:
    """How many messages a topic has ever had."""
    log = SqliteLog.open(data / "log.db", clock=SystemClock(), read_only=True)
    try:
        return sum(log.end_offset(TP(topic, partition)) for partition in range(PARTITIONS))
    finally:
        log.close()


def post(number: int, content: str = "good", time_ms: int = 1_763_794_800_000, task: str = "t") -> Post:
    """A post of a replay."""
    return Post(str(number), "x", "replay:test", [task], "upsert", 0, content, time_ms, 0, author="somebody")


__all__ = ["DEADLETTERS", "ends", "fail", "open_log", "post"]
