"""How far feeds and tasks are, as the heartbeats of one `sentiment` partition tell.

A feed's watermark is the minimum over its origin partitions; one that has not been heard of yet has promised nothing.
A task closes windows by the minimum over its connected feeds, and seals them by the minimum over all its feeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Heartbeat


class FeedOrigin(NamedTuple):
    """A feed and one of the `ingest` partitions that it writes to."""

    feed: str
    origin: int

    def to_bytes(self) -> bytes:
        """The key of its rows."""
        return f"{self.origin}/{self.feed}".encode()

    @classmethod
    def from_bytes(cls, key: bytes) -> FeedOrigin:
        """What gave this key."""
        origin, feed = key.decode().split("/", 1)
        return cls(feed, int(origin))


class Mark(NamedTuple):
    """The newest promise of a feed for one origin partition; the watermark never falls."""

    watermark_ms: int
    caught_up: bool
    connected: bool

    def to_bytes(self) -> bytes:
        """The row of the changelog."""
        return orjson.dumps(tuple(self))

    @classmethod
    def from_bytes(cls, row: bytes) -> Mark:
        """The mark that gave these bytes."""
        return cls._make(orjson.loads(row))


def tasks_to_bytes(tasks: Sequence[str]) -> bytes:
    """The row of what a feed serves."""
    return orjson.dumps(list(tasks))


def tasks_from_bytes(row: bytes) -> tuple[str, ...]:
    """What `tasks_to_bytes` was given."""
    return tuple(orjson.loads(row))


class FeedProgress(NamedTuple):
    """A feed as `pulse` sees it, for pages."""

    feed: str
    watermark_ms: int
    caught_up: bool
    connected: bool
    tasks: tuple[str, ...]

    def and_(self, other: FeedProgress) -> FeedProgress:
        """The same feed in two partitions of `sentiment`: what both know."""
        return FeedProgress(
            self.feed,
            min(self.watermark_ms, other.watermark_ms),
            self.caught_up and other.caught_up,
            self.connected or other.connected,
            tuple(dict.fromkeys(self.tasks + other.tasks)),
        )


class _Feed:
    """One feed: its marks by origin partition and what they add up to."""

    __slots__ = ("connected", "marks", "served", "tasks", "watermark_ms")

    def __init__(self) -> None:
        self.marks: dict[int, Mark] = {}
        self.served: dict[int, tuple[str, ...]] = {}
        self.tasks: tuple[str, ...] = ()
        self.watermark_ms = BEFORE_TIME_MS
        self.connected = True

    def refresh(self, origins: int) -> None:
        marks = self.marks.values()
        complete = len(marks) >= origins
        self.watermark_ms = min(mark.watermark_ms for mark in marks) if complete else BEFORE_TIME_MS
        # It is away only when it has said so in every partition: until then posts may be on their way.
        self.connected = not complete or any(mark.connected for mark in marks)


class Watermarks:
    """All feeds that have been heard of.

    Args:
        origins: how many `ingest` partitions there are.
    """

    def __init__(self, origins: int) -> None:
        self._origins = origins
        self._feeds: dict[str, _Feed] = {}
        self._serving: dict[str, list[_Feed]] = {}

    def restore(
        self, marks: Iterable[tuple[FeedOrigin, Mark]], served: Iterable[tuple[FeedOrigin, tuple[str, ...]]]
    ) -> None:
        """Take over rows as they were kept."""
        for (feed, origin), mark in marks:
            self._feeds.setdefault(feed, _Feed()).marks[origin] = mark
        for (feed, origin), tasks in served:
            self._feeds.setdefault(feed, _Feed()).served[origin] = tasks
        for known in self._feeds.values():
            known.tasks = _union(known.served.values())
            known.refresh(self._origins)
        self._index()

    def hear(self, heartbeat: Heartbeat) -> tuple[Mark, bool]:
        """Take in a heartbeat; gives the mark to be kept, and whether the feed moved or came or went."""
        feed = self._feeds.get(heartbeat.feed)
        if feed is None:
            feed = self._feeds[heartbeat.feed] = _Feed()
        before = feed.marks.get(heartbeat.origin_partition)
        watermark_ms = heartbeat.watermark_ms
        if before is not None and before.watermark_ms > watermark_ms:
            watermark_ms = before.watermark_ms
        mark = Mark(watermark_ms, heartbeat.caught_up, heartbeat.connected)
        feed.marks[heartbeat.origin_partition] = mark
        stood = feed.watermark_ms, feed.connected
        feed.refresh(self._origins)
        return mark, stood != (feed.watermark_ms, feed.connected)

    def feed_ms(self, feed: str) -> int:
        """A feed's watermark; `BEFORE_TIME_MS` as long as it is not known for every origin partition."""
        known = self._feeds.get(feed)
        return known.watermark_ms if known else BEFORE_TIME_MS

    def tasks_of(self, feed: str) -> tuple[str, ...]:
        """What a feed serves."""
        known = self._feeds.get(feed)
        return known.tasks if known else ()

    def serves(self, feed: str, origin: int) -> tuple[str, ...] | None:
        """What the feed said last that it serves; None if it never said."""
        known = self._feeds.get(feed)
        return known.served.get(origin) if known else None

    def serve(self, feed: str, origin: int, tasks: tuple[str, ...]) -> None:
        """Learn what a feed serves."""
        known = self._feeds.setdefault(feed, _Feed())
        known.served[origin] = tasks
        known.tasks = _union(known.served.values())
        self._index()

    def is_served(self, task: str) -> bool:
        """Whether some feed serves a task."""
        return task in self._serving

    def closing_ms(self, task: str) -> int:
        """Windows that end at or before this are to be closed. With no connected feed, nothing moves."""
        return min(
            (feed.watermark_ms for feed in self._serving.get(task, ()) if feed.connected), default=BEFORE_TIME_MS
        )

    def passed_ms(self, task: str) -> int:
        """What the watermarks of all its feeds have passed, disconnected ones included."""
        return min((feed.watermark_ms for feed in self._serving.get(task, ())), default=BEFORE_TIME_MS)

    def progress(self) -> list[FeedProgress]:
        """Every feed, by name."""
        return [
            FeedProgress(
                name,
                feed.watermark_ms,
                bool(feed.marks) and all(mark.caught_up for mark in feed.marks.values()),
                feed.connected,
                feed.tasks,
            )
            for name, feed in sorted(self._feeds.items())
        ]

    def ended(self) -> list[tuple[str, tuple[str, ...]]]:
        """Feeds that have ended in every origin partition, with the tasks they served."""
        return [(name, feed.tasks) for name, feed in self._feeds.items() if feed.watermark_ms >= END_OF_TIME_MS]

    def forget(self, feed: str) -> list[FeedOrigin]:
        """Drop a feed; gives the keys of its rows."""
        known = self._feeds.pop(feed)
        self._index()
        return [FeedOrigin(feed, origin) for origin in known.marks.keys() | known.served.keys()]

    def _index(self) -> None:
        self._serving = {}
        for feed in self._feeds.values():
            for task in feed.tasks:
                self._serving.setdefault(task, []).append(feed)


def _union(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task for part in parts for task in part))
