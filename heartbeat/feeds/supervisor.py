"""All feeds of a worker: starts the live ones that tasks name, takes replays while it runs, stops them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.log import Log, UnitWrite
from heartbeat.errors import FeedConflict, LogUnavailable
from heartbeat.feeds.base import Feed
from heartbeat.feeds.bluesky import BlueskyFeed
from heartbeat.feeds.cursors import check_replay, standings
from heartbeat.feeds.demo import DemoFeed
from heartbeat.feeds.encoder import Encoder
from heartbeat.feeds.runner import FeedRunner
from heartbeat.feeds.status import FeedInfo
from heartbeat.health import HealthBoard
from heartbeat.settings import Settings
from heartbeat.tasks import EVERYTHING, Matcher, Task
from heartbeat.topics import CURSORS, INGEST

_TRY_AGAIN_S: Final = 5.0
_BUILDERS: dict[str, Callable[[Clock, Settings], Feed]] = {
    DemoFeed.name: lambda clock, _: DemoFeed(clock),
    BlueskyFeed.name: lambda clock, settings: BlueskyFeed(
        settings.bluesky_hosts, clock, grace_ms=round(settings.grace_s * 1000)
    ),
}


def live_feeds(tasks: Sequence[Task], clock: Clock, settings: Settings) -> list[Feed]:
    """The live feeds that some task names, each once."""
    names = dict.fromkeys(name for task in tasks for name in task.feeds)
    return [_BUILDERS[name](clock, settings) for name in names if name in _BUILDERS]


def replay_task(name: str, feed: str) -> Task:
    """The task of a replay: every post of its files belongs to it."""
    return Task(name, name, EVERYTHING, (feed,))


class Feeds:
    """Runs any number of feeds side by side; what happens to one does not reach the others.

    Arguments are those of `FeedRunner`; `tasks` are the configured tasks.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        log: Log,
        codec: Codec,
        clock: Clock,
        health: HealthBoard,
        settings: Settings,
        lag: Callable[[], int] = lambda: 0,
        paused_reason: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._tasks = tuple(tasks)
        self._log, self._codec, self._clock, self._health, self._settings = log, codec, clock, health, settings
        self._lag, self._paused_reason = lag, paused_reason
        self._runners: dict[str, FeedRunner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._callers: dict[str, int] = {}
        self._retiring: asyncio.Task[None] | None = None

    async def start(self, feeds: Sequence[Feed] | None = None) -> None:
        """Start the configured live feeds (or those given), and tell the stream about those that are no more."""
        feeds = live_feeds(self._tasks, self._clock, self._settings) if feeds is None else feeds
        for feed in feeds:
            self._start(feed, self._tasks)
        self._retiring = asyncio.create_task(self._retire({feed.name for feed in feeds}), name="feeds/retire")

    def replay(self, feed: Feed, task: str) -> FeedRunner:
        """Start a replay into a task of its own, or give the one that is running already; then `leave` it.

        Raises:
            FeedConflict: another feed serves that task.
        """
        running = self._runners.get(feed.name)
        if running is not None and not self._running[feed.name].done():
            self._callers[feed.name] += 1
            return running
        check_replay(self._log, feed.name, task, self._tasks)
        for other in self._runners.values():
            if task in other.tasks and other.feed.name != feed.name:
                raise FeedConflict(
                    f"the task {task!r} is being fed by {other.feed.name}; choose another name with --task NAME"
                )
        self._callers[feed.name] = 1
        return self._start(feed, [replay_task(task, feed.name)])

    async def leave(self, name: str) -> None:
        """Say that one of those who asked for a replay needs it no more; with the last of them it stops.

        It stops after the write that is under way, and can be started again.
        """
        self._callers[name] -= 1
        if not self._callers[name]:
            self._runners[name].stop()
            await self.wait(name)

    async def wait(self, name: str) -> None:
        """Wait until a feed has ended or was stopped."""
        await asyncio.shield(self._running[name])

    async def stop(self) -> None:
        """Stop all feeds after the writes that are under way."""
        for runner in self._runners.values():
            runner.stop()
        tasks = [*self._running.values()]
        if self._retiring is not None:
            self._retiring.cancel()
            tasks.append(self._retiring)
        await asyncio.gather(*tasks, return_exceptions=True)

    def infos(self) -> list[FeedInfo]:
        """How each feed is doing, by name."""
        return [self._runners[name].info() for name in sorted(self._runners)]

    def _start(self, feed: Feed, tasks: Sequence[Task]) -> FeedRunner:
        runner = FeedRunner(
            feed,
            tasks,
            log=self._log,
            codec=self._codec,
            clock=self._clock,
            health=self._health,
            settings=self._settings,
            lag=self._lag,
            paused_reason=self._paused_reason,
        )
        self._runners[feed.name] = runner
        self._running[feed.name] = asyncio.create_task(runner.run(), name=f"feed/{feed.name}")
        return runner

    async def _retire(self, names: set[str]) -> None:
        """Live feeds that ran once and are not configured any more serve nothing: nobody may wait for them."""
        partitions, cursor_partitions = self._log.partitions(INGEST.name), self._log.partitions(CURSORS.name)
        for gone in standings(self._log).values():
            if gone.feed in names or gone.feed.startswith("replay:") or not gone.tasks:
                continue
            encoder = Encoder(gone.feed, Matcher(()), self._codec, partitions)
            beats = encoder.heartbeats(gone.watermark_ms, connected=False, caught_up=False, tasks=())
            unit = UnitWrite([*beats, gone.without_tasks().append(cursor_partitions)])
            while True:
                try:
                    await asyncio.shield(self._log.write(unit))
                    break
                except LogUnavailable:
                    await asyncio.sleep(_TRY_AGAIN_S)
