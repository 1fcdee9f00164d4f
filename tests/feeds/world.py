"""A runner's surroundings in memory, and what it wrote into them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from heartbeat import settings, topics
from heartbeat.codec import Codec
from heartbeat.engine.log import TP, LogRecord, UnitWrite
from heartbeat.feeds.base import Feed
from heartbeat.feeds.cursors import Standing, standing
from heartbeat.feeds.runner import FeedRunner
from heartbeat.health import HealthBoard
from heartbeat.records import Heartbeat, Post, Record
from heartbeat.tasks import Task, parse
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.feeds import MemoryFeed
from heartbeat.testing.memory_log import MemoryLog

NOW_MS = 1_700_000_000_000


def task(name: str, query: str = "*", feeds: Sequence[str] = ("memory",)) -> Task:
    return Task(name, name, parse(query), tuple(feeds))


def post(number: int | str, content: str = "coffee", **more: Any) -> Post:
    values: dict[str, Any] = {
        "id": str(number),
        "source": "x",
        "feed": "memory",
        "tasks": (),
        "op": "upsert",
        "rev": 0,
        "content": content,
        "time_ms": NOW_MS,
        "received_ms": NOW_MS,
    }
    return Post(**{**values, **more})


class World:
    """One log and what belongs to it; runners can come and go."""

    def __init__(self, partitions: int = 4, heartbeat_s: float = 60.0, max_lag_posts: int = 100) -> None:
        self.clock = FakeClock(NOW_MS)
        self.log = MemoryLog(self.clock)
        for topic in topics.ALL:
            self.log.create_topic(topic, partitions)
        self.codec = Codec(self.log)
        self.health = HealthBoard(self.clock)
        self.settings = settings.load().model_copy(
            update={"heartbeat_s": heartbeat_s, "grace_s": 5.0, "max_lag_posts": max_lag_posts}
        )
        self.feed = MemoryFeed()
        self.lag = 0
        self.paused: str | None = None

    def runner(
        self, feed: Feed | None = None, tasks: Sequence[Task] = (task("all"), task("tea", "tea"), task("x", "*", ["y"]))
    ) -> FeedRunner:
        return FeedRunner(
            feed or self.feed,
            tasks,
            log=self.log,
            codec=self.codec,
            clock=self.clock,
            health=self.health,
            settings=self.settings,
            lag=lambda: self.lag,
            paused_reason=lambda: self.paused,
            backoff_s=0.005,
        )

    def records(self, topic: str, partition: int | None = None) -> list[LogRecord]:
        chosen = range(self.log.partitions(topic)) if partition is None else [partition]
        return [record for at in chosen for record in self.log._part(TP(topic, at)).records]

    def ingest(self, partition: int | None = None) -> list[Record]:
        return [self.codec.decode(record.value) for record in self.records("ingest", partition)]

    def posts(self, partition: int | None = None) -> list[Post]:
        return [record for record in self.ingest(partition) if isinstance(record, Post)]

    def heartbeats(self, partition: int = 0) -> list[Heartbeat]:
        return [record for record in self.ingest(partition) if isinstance(record, Heartbeat)]

    def standing(self, feed: str = "memory") -> Standing:
        return standing(self.log, feed)

    async def stand(self, feed: str, cursor: bytes) -> None:
        """Have a feed begin at a cursor."""
        await self.log.write(UnitWrite([Standing(feed, cursor).append(self.log.partitions("cursors"))]))


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds; fails if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


class Running:
    """A runner that runs inside an `async with`."""

    def __init__(self, runner: FeedRunner) -> None:
        self.runner = runner

    async def __aenter__(self) -> FeedRunner:
        self.task = asyncio.create_task(self.runner.run())
        return self.runner

    async def __aexit__(self, *_: object) -> None:
        self.runner.stop()
        async with asyncio.timeout(30):
            await self.task
