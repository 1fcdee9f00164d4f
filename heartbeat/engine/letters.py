"""Reading dead letters: what stands in their headers. Their contents, which may be posts, are never looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from heartbeat.engine.log import TP, Log, LogRecord
from heartbeat.topics import DEADLETTERS, partition_of

PAGE: Final = 100
"""Letters read at a time; each may hold 64 KiB."""
MOST_SEARCHED: Final = 20_000


STORE: Final = "letters"
"""The state store that says which letters have been replayed, by their offset."""


class LetterId(NamedTuple):
    """Where a letter lies in `deadletters`; written `PARTITION/OFFSET`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """The id that is written so.

        Raises:
            ValueError: it is none.
        """
        partition, slash, offset = text.partition("/")
        if not slash or not all(part.isascii() and part.isdigit() and len(part) < 13 for part in (partition, offset)):
            raise ValueError(f"{text!r} is no letter: one is named PARTITION/OFFSET, as `deadletters list` shows it")
        return cls(int(partition), int(offset))


class Letter(NamedTuple):
    """One message that could not be used.

    Attributes:
        partition: where the letter itself lies in `deadletters`, with `offset`.
        at_ms: when it was set aside.
        topic: the topic that it was read from, or the feed that it came by.
        agent: who could not use it; `feed` for items that are no posts.
        reason: why not.
        error: the kind of error, where it was one.
        place: where it stood: `FILE:LINE`, or the offset in its topic's partition.
        source: the partition and offset in its topic; None if it never was in one.
    """

    partition: int
    offset: int
    at_ms: int
    topic: str
    agent: str
    reason: str
    error: str | None
    place: str
    source: tuple[int, int] | None

    @property
    def id(self) -> LetterId:
        """What it is called."""
        return LetterId(self.partition, self.offset)


def letter(partition: int, record: LogRecord) -> Letter:
    """What a message of `deadletters` says of itself."""
    said = {name: value.decode(errors="backslashreplace") for name, value in record.headers}
    place = said.get("place") or f"partition {said.get('partition', '?')}, offset {said.get('offset', '?')}"
    at_ms = said.get("at_ms", "")
    stood = [int(said[name]) for name in ("partition", "offset") if said.get(name, "").isdigit()]
    return Letter(
        partition,
        record.offset,
        int(at_ms) if at_ms.isdigit() else record.timestamp_ms,
        said.get("topic", "?"),
        said.get("agent", "?"),
        said.get("reason", "?"),
        said.get("error"),
        place,
        (stood[0], stood[1]) if len(stood) == 2 else None,
    )


def is_letter(record: LogRecord) -> bool:
    """Whether a message of `deadletters` still is one: of those that were erased only the offset is left."""
    return bool(record.headers)


async def newest(log: Log, limit: int) -> list[Letter]:
    """The newest letters of all partitions, oldest first.

    Raises:
        LogError: the log cannot be read.
    """
    found: list[Letter] = []
    for partition in range(log.partitions(DEADLETTERS.name)):
        tp = TP(DEADLETTERS.name, partition)
        begin, until = log.begin_offset(tp), log.end_offset(tp)
        own: list[Letter] = []
        while until > begin and len(own) < limit:  # of those that were erased only the offset is left
            back = max(begin, until - max(limit, PAGE))
            own = [one async for one in letters(log, partition, back, until)] + own
            until = back
        found += own
    return sorted(found, key=lambda one: (one.at_ms, one.partition, one.offset))[-limit:]


async def first_of(log: Log, feed: str, limit: int) -> list[Letter]:
    """The first letters of one feed that are still kept, looked for among some thousand.

    Raises:
        LogError: the log cannot be read.
    """
    found: list[Letter] = []
    searched = 0
    async for one in letters(log, partition_of(feed, log.partitions(DEADLETTERS.name)), 0):
        if one.topic == feed:
            found.append(one)
        searched += 1
        if len(found) == limit or searched == MOST_SEARCHED:
            break
    return found


async def letters(log: Log, partition: int, offset: int, until: int | None = None) -> AsyncIterator[Letter]:
    """The letters of a partition from an offset on, up to its end or before another offset."""
    tp = TP(DEADLETTERS.name, partition)
    offset = max(offset, log.begin_offset(tp))
    while (until is None or offset < until) and (records := await log.fetch(tp, offset, PAGE, 0.0)):
        for record in records:
            if is_letter(record) and (until is None or record.offset < until):
                yield letter(partition, record)
        offset = records[-1].offset + 1
        await asyncio.sleep(0)
