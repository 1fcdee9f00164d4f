"""Retention of the embedded log: removes messages that are old enough and that every consumer group has read.

Works in small steps through the log's own writer, between units, so that nothing waits long for it. Age counts from
the time of append. What a registered group has not read stays, whatever its age; feeds pause before that fills the
disk. What is superseded goes all the same (`superseding`). Removed contents are overwritten (`secure_delete`), in the
WAL too, and free pages go back to the disk.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from heartbeat.clock import Clock
from heartbeat.engine.faults import point
from heartbeat.engine.sqlite_ledger import Ledger, StoredTopic
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.engine.sqlite_schema import CHECKPOINT_PAGES, OFFSET_BITS
from heartbeat.engine.sqlite_wal import cut
from heartbeat.engine.sqlite_writer import Work
from heartbeat.engine.superseding import Superseding

logger = logging.getLogger(__name__)

STEP_BYTES: Final = 1_000_000
"""Removed at a time: some milliseconds of the writer's."""
STEP_CHUNKS: Final = 256
VACUUM_PAGES: Final = 256
VACUUM_STEPS: Final = 32
"""Given back to the disk in one run, at the most: 32 MB."""
SPARE_PAGES: Final = 4_096
"""Free pages that are kept for what comes next; a fifth of the file if that is more."""
TRUNCATE_EVERY_MS: Final = 600_000
"""How often erased contents are taken out of the WAL as well, at the least; or after a twentieth of their time."""
FULL: Final = 0.9
"""Where the caps on size begin to take what has been read, before feeds have to pause."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one run removed, of it `superseded` messages before their time; `freed_bytes` went back to the disk."""

    messages: int = 0
    bytes: int = 0
    freed_bytes: int = 0
    superseded: int = 0


@dataclass(frozen=True, slots=True)
class _Step:
    """Chunks of one partition that may go: the rows from `low` to `high`."""

    slot: int
    low: int
    high: int
    messages: int
    bytes: int


class Retention:
    """Call `run_once` now and then, every minute or so."""

    def __init__(
        self,
        log: SqliteLog,
        clock: Clock,
        *,
        content_ms: int,
        max_topic_bytes: int | None = None,
        max_log_bytes: int | None = None,
        superseded_ms: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Prepare to keep this log within limits.

        Args:
            log: a log that this process owns.
            clock: the clock that the log was opened with.
            content_ms: how long topics that hold posts' texts keep messages, at the most.
            max_topic_bytes: a topic that comes near it loses its oldest messages before their time.
            max_log_bytes: the same for all topics together, the largest first.
            superseded_ms: by topic, how long after its append a message goes that a newer one has replaced.
        """
        self._log, self._clock = log, clock
        self._content_ms, self._max_topic, self._max_log = content_ms, max_topic_bytes, max_log_bytes
        self._truncate_every_ms = min(TRUNCATE_EVERY_MS, content_ms // 20)
        self._superseding = Superseding(log, clock, superseded_ms)
        self._cut_ms: int | None = None

    async def run_once(self) -> Removed:
        """Remove what may go now.

        Raises:
            LogUnavailable: the file cannot be written; what was removed so far stays removed.
            LogDamaged: the file is not whole.
        """
        superseded, size = await self._superseding.run_once()
        messages = superseded
        caps = self._caps()
        for topic in list(self._log.topics().values()):
            if topic.compact:
                continue
            for step in self._steps(topic, caps.get(topic.name)):
                await self._log.submit(_remove(step))
                messages += step.messages
                size += step.bytes
        freed = await self._give_back()
        if messages:
            logger.debug("retention removed %d messages (%d bytes)", messages, size)
        return Removed(messages, size, freed, superseded)

    def _steps(self, topic: StoredTopic, cap: int | None) -> Iterator[_Step]:
        """Each is looked for when the one before it has been done."""
        age = topic.retention_ms
        if topic.holds_content:
            age = self._content_ms if age is None else min(age, self._content_ms)
        slots = [self._log.ledger().slots[topic.name, number] for number in range(topic.partitions)]
        if age is not None:
            for slot in slots:
                while step := self._expired(topic, slot, self._clock.now_ms() - age):
                    yield step
        if cap is not None:
            stuck: set[int] = set()
            while len(stuck) < len(slots) and (excess := self._size(slots) - cap) > 0:
                slot = max((slot for slot in slots if slot not in stuck), key=self._log.ledger().bytes.__getitem__)
                step = self._oldest(topic, slot, min(excess, STEP_BYTES))
                if step is None:
                    stuck.add(slot)
                else:
                    yield step

    def _size(self, slots: list[int]) -> int:
        return sum(self._log.ledger().bytes[slot] for slot in slots)

    def _caps(self) -> Mapping[str, int]:
        """How large each topic may be before it loses what has been read."""
        sizes = self._log.sizes()
        level = max(sizes.values(), default=0)
        if self._max_log is not None:
            room = int(self._max_log * FULL)
            ordered = sorted(sizes.values())
            for rank, size in enumerate(ordered):
                if size * (len(ordered) - rank) > room:
                    level = room // (len(ordered) - rank)
                    break
                room -= size
        if self._max_topic is not None:
            level = min(level, int(self._max_topic * FULL))
        return {name: level for name, size in sizes.items() if size > level}

    def _floor(self, topic: StoredTopic, slot: int) -> int:
        """The first offset that some group has not read."""
        ledger = self._log.ledger()
        groups = self._log.groups(topic.name)
        return min((ledger.commits.get((group, slot), 0) for group in groups), default=ledger.next[slot])

    def _expired(self, topic: StoredTopic, slot: int, until_ms: int) -> _Step | None:
        """What was appended by then.

        Times of append need not rise, since clocks jump: what precedes an old message is old as well.
        """
        low = slot << OFFSET_BITS
        high = low + self._floor(topic, slot)
        head = self._log.query("SELECT ts_ms FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", (low, high))
        if not head or until_ms < head[0][0] <= self._clock.now_ms():
            return None
        window = STEP_CHUNKS if head[0][0] <= until_ms else -1
        last = self._log.query(
            "SELECT max(id) FROM (SELECT id, ts_ms FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?) "
            "WHERE ts_ms <= ?",
            (low, high, window, until_ms),
        )[0][0]
        return None if last is None else self._span(slot, low, high, STEP_BYTES, last)

    def _oldest(self, topic: StoredTopic, slot: int, size: int) -> _Step | None:
        low = slot << OFFSET_BITS
        high = low + self._floor(topic, slot)
        return self._span(slot, low, high, size, high)

    def _span(self, slot: int, low: int, high: int, size: int, until: int) -> _Step | None:
        """The first chunks, as far as `until`, that lie in [low, high) as a whole; about so many bytes of them."""
        rows = self._log.query(
            "SELECT id, length, length(body) FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (low, high, STEP_CHUNKS),
        )
        messages = taken = 0
        last = low
        for row_id, length, body in rows:
            if taken >= size or row_id > until or row_id + length > high:
                break
            messages, taken, last = messages + length, taken + body, row_id
        return _Step(slot, low, last, messages, taken) if messages else None

    async def _give_back(self) -> int:
        """Free pages to the disk; erased contents out of the WAL."""
        freed = 0
        for _ in range(VACUUM_STEPS):
            pages = await self._log.submit(_vacuum, alone=True)
            freed += pages * 4096
            if pages < VACUUM_PAGES:
                break
        now_ms = self._clock.now_ms()
        due = self._cut_ms is None or not 0 <= now_ms - self._cut_ms < self._truncate_every_ms
        # whoever erases cuts the WAL too, but somebody may have been reading it
        if (due and self._log.wal_bytes()) or self._log.wal_bytes() > 4 * CHECKPOINT_PAGES * 4096:
            busy = await self._log.submit(cut, alone=True)
            if not busy:
                self._cut_ms = now_ms
        return freed


def _remove(step: _Step) -> Work[None]:
    def work(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], None]:
        con.execute("DELETE FROM chunks WHERE id BETWEEN ? AND ?", (step.low, step.high))
        con.execute("UPDATE partitions SET bytes = bytes - ? WHERE slot = ?", (step.bytes, step.slot))
        point("retention.step")

        def take_over(ledger: Ledger) -> None:
            ledger.bytes[step.slot] -= step.bytes

        return take_over

    return work


def _vacuum(con: sqlite3.Connection, ledger: Ledger) -> Callable[[Ledger], int]:
    free: int = con.execute("PRAGMA freelist_count").fetchone()[0]
    pages: int = con.execute("PRAGMA page_count").fetchone()[0]
    wanted = min(VACUUM_PAGES, free - max(SPARE_PAGES, pages // 5))
    freed = 0
    if wanted > 0:
        con.executescript(f"PRAGMA incremental_vacuum({wanted})")  # execute() would stop after the first page
        freed = pages - con.execute("PRAGMA page_count").fetchone()[0]
    return lambda _: freed
