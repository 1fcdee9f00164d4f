"""A replay from its start to the moment when every window that it filled is closed and kept.

The end is read off what is durable: once the feed has ended, all that is in the log and follows from it has to be done
(`settling`); and `pulse` is through with the task when its changelog holds no window of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from heartbeat import topics
from heartbeat.agents import influx, insight_points
from heartbeat.engine.letters import first_of
from heartbeat.engine.log import TP, Log
from heartbeat.errors import FeedError, HeartbeatError
from heartbeat.feeds.base import FeedState
from heartbeat.feeds.cursors import standing
from heartbeat.feeds.replay import ReplayFeed
from heartbeat.feeds.runner import FeedRunner
from heartbeat.feeds.supervisor import Feeds
from heartbeat.settling import LOOK_EVERY_S, ends, read_up_to, settled
from heartbeat.station import Station
from heartbeat.topics import partition_of
from heartbeat.windows.ids import WindowId

_TELL_EVERY_S: Final = 0.5
REJECTS_SHOWN: Final = 5
_TO_INFLUX: Final = (influx.NAME, insight_points.NAME)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is.

    Attributes:
        state: `reading`, `closing` (all is read, windows are being closed), `through`, or why it waits.
        fraction: of the files, by bytes, from 0 to 1.
        posts: delivered so far, over all runs.
        rejected: items that were no posts.
        posts_per_s: over the last seconds.
        was_through: the files had been replayed before, to the end.
        done: nothing follows.
        troubles: at the end, what is wrong with the outcome, a line each: a file was damaged, or held no post.
        empty: at the end, the files in which there was nothing.
        rejects: at the end, the first items that were no posts: (place, reason).
        lost: at the end, whether the history does not hold all of it any more.
        waits: at the end, what is still to be done by itself, a line each.
    """

    state: str
    fraction: float
    posts: int
    rejected: int
    posts_per_s: float
    was_through: bool = False
    done: bool = False
    troubles: Sequence[str] = ()
    empty: Sequence[str] = ()
    rejects: Sequence[tuple[str, str]] = ()
    lost: bool = False
    waits: Sequence[str] = ()


class Replay:
    """One replay into one task; made by `prepare`."""

    def __init__(self, station: Station, log: Log, feeds: Feeds, feed: ReplayFeed, task: str) -> None:
        self._station, self._log, self._feeds, self._feed, self._task = station, log, feeds, feed, task

    @classmethod
    async def prepare(
        cls,
        station: Station,
        log: Log,
        feeds: Feeds,
        files: Sequence[Path],
        *,
        task: str,
        speed: float | None,
        fast: bool = False,
    ) -> Replay:
        """Read the files once through, to know them again.

        Args:
            station: the worker's, or the command's own.
            log: its open log.
            feeds: its feeds.
            files: what to replay.
            task: the task that every post counts in.
            speed: how many times faster than it happened; None: as fast as it goes.
            fast: have the fast model score its posts.

        Raises:
            FeedError: a file cannot be read.
        """
        grace_s = station.settings.grace_s
        feed = await asyncio.to_thread(
            ReplayFeed.of, files, task, station.clock, speed=speed, fast=fast, grace_s=grace_s
        )
        return cls(station, log, feeds, feed, task)

    async def run(self) -> AsyncIterator[ReplayProgress]:
        """Run to the end, telling of progress twice a second; stops the feed when it is closed early.

        Raises:
            FeedConflict: another feed serves the task.
            FeedError: a file cannot be read any further.
            HeartbeatError: the worker was stopped.
        """
        was_through = standing(self._log, self._feed.name).state is FeedState.ENDED
        runner = self._feeds.replay(self._feed, self._task)
        reading = asyncio.ensure_future(self._feeds.wait(self._feed.name))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=_TELL_EVERY_S)
                if runner.info().state == "failed":
                    raise FeedError(runner.info().last_error)
                yield self._progress(runner, "reading")
            if runner.info().state != "ended":
                raise HeartbeatError("the replay was stopped before its end; start it again and it goes on")
            closing = asyncio.ensure_future(self._settled())
            try:
                while not closing.done():
                    await asyncio.wait([closing], timeout=_TELL_EVERY_S)
                    yield self._progress(runner, "closing")
                closing.result()
            finally:
                closing.cancel()
            yield await self._end(runner, was_through)
        finally:
            await self._feeds.leave(self._feed.name)

    async def _end(self, runner: FeedRunner, was_through: bool) -> ReplayProgress:
        cursor, progress = standing(self._log, self._feed.name).cursor, self._progress(runner, "through")
        letters = await first_of(self._log, self._feed.name, REJECTS_SHOWN) if progress.rejected else []
        return replace(
            progress,
            was_through=was_through,
            done=True,
            troubles=self._feed.troubles(cursor),
            empty=self._feed.empty(cursor),
            rejects=[(letter.place, letter.reason) for letter in letters],
            lost=await self._station.history.has_lost(self._task),
            waits=self._waits(),
        )

    def _progress(self, runner: FeedRunner, state: str) -> ReplayProgress:
        info = runner.info()
        fraction = 1.0 if info.state == "ended" else info.fraction or 0.0
        if info.state in ("paused", "disconnected"):
            state = info.why
        return ReplayProgress(state, fraction, info.posts, info.rejected, info.posts_per_s)

    async def _settled(self) -> None:
        """Wait until everything that is in the log now, and all that follows from it, is done."""

        async def closed() -> None:
            while self._holds_windows():
                await asyncio.sleep(LOOK_EVERY_S)

        await settled(self._station, self._log, before_pulse=closed)
        if self._station.influx is not None:  # it may be away for days, and nobody waits here for that
            for agent in _TO_INFLUX:
                for tp, end in ends(self._log, topics.PULSE.name):
                    while read_up_to(self._log, agent, tp) < end and not self._station.influx.trouble:
                        await asyncio.sleep(LOOK_EVERY_S)

    def _waits(self) -> Sequence[str]:
        """What is still to be done when everything else is: a line each."""
        if self._station.influx is None:
            return ()
        places = ends(self._log, topics.PULSE.name)
        read = {agent: [read_up_to(self._log, agent, tp) for tp, _ in places] for agent in _TO_INFLUX}
        left = max(sum(end - min(at, end) for (_, end), at in zip(places, read[agent], strict=True)) for agent in read)
        if not left:
            return ()
        why = self._station.influx.trouble or "they are being written"
        return [
            f"{left:,} records of windows wait for InfluxDB ({why}); nothing is lost: a worker writes them by itself"
        ]

    def _holds_windows(self) -> bool:
        """Whether a window of the task is in the durable state of `pulse`."""
        changelog = self._station.windows_changelog
        partition = partition_of(self._task, self._log.partitions(changelog))
        rows = self._log.latest(TP(changelog, partition))
        return any(row.key is not None and WindowId.from_bytes(row.key).task == self._task for row in rows)
