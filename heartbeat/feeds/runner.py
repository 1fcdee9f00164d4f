"""Runs one feed against the log: each delivery becomes one unit of posts, heartbeats, dead letters and the cursor.

Whatever the feed raises, it is started again from its durable cursor, with backoff; nothing it does reaches other
feeds. What its heartbeats say, and when, is decided in `promises`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.log import Log, UnitWrite
from heartbeat.errors import FeedError, FeedUnreachable, HeartbeatError, LogUnavailable
from heartbeat.feeds.base import Delivery, Feed, FeedState
from heartbeat.feeds.cursors import standing
from heartbeat.feeds.known import Known
from heartbeat.feeds.owed import Owed
from heartbeat.feeds.promises import Promises, Says
from heartbeat.feeds.status import FeedInfo, FeedStatus
from heartbeat.feeds.units import Lateness, Unit, Units
from heartbeat.health import HealthBoard, State
from heartbeat.settings import Settings
from heartbeat.tasks import Task
from heartbeat.topics import INGEST
from heartbeat.windows.ids import Layout

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.05
_TELL_AFTER_S: Final = 5.0
"""Waiting for the agents is how a replay at full speed works; only a longer wait is told."""
_ANSWER_WITHIN_S: Final = 30.0
_TELL_AGAIN_S: Final = 60.0
"""Trouble that comes and goes is logged this often."""


class _Stopped(Exception):
    """Ends a session from inside a wait."""


class FeedRunner:
    """Runs one feed until it ends or is stopped. Has to be made on the event loop.

    Args:
        feed: what to run.
        tasks: all tasks; those that list the feed are served.
        log: where units are written.
        codec: encodes records with the log's schema ids.
        clock: for event times; waits are measured on the event loop.
        health: gets `feed/NAME`.
        settings: grace_s, heartbeat_s, duplicate_horizon_s, content_hours and max_lag_posts are used.
        lag: how many messages the slowest stage has not read yet.
        paused_reason: why nothing may be written now (a cap is reached), or None.
        backoff_s: the first wait after a failure; doubles up to a minute.
    """

    def __init__(
        self,
        feed: Feed,
        tasks: Sequence[Task],
        *,
        log: Log,
        codec: Codec,
        clock: Clock,
        health: HealthBoard,
        settings: Settings,
        lag: Callable[[], int] = lambda: 0,
        paused_reason: Callable[[], str | None] = lambda: None,
        backoff_s: float = 1.0,
    ) -> None:
        served = [task for task in tasks if feed.name in task.feeds]
        self.feed, self.tasks = feed, tuple(task.name for task in served)
        self._log, self._health = log, health
        self._lag, self._paused_reason = lag, paused_reason
        self._most_lag, self._heartbeat_s = settings.max_lag_posts, settings.heartbeat_s
        self._part = f"feed/{feed.name}"
        self._timer = asyncio.get_running_loop().time
        self._promises = Promises(
            live=feed.live,
            grace_ms=round(settings.grace_s * 1000),
            heartbeat_s=settings.heartbeat_s,
            partitions=log.partitions(INGEST.name),
            clock=clock,
            timer=self._timer,
        )
        lateness = Lateness(
            grace_ms=round(settings.grace_s * 1000),
            lateness_ms=settings.allowed_lateness_s * 1000,
            layout=Layout(settings.window_sizes_s),
        )
        known = None
        if getattr(feed, "knows_authors", False):
            owed = Owed(log, clock, content_ms=settings.content_ms)
            known = Known(log, feed.name, horizon_ms=settings.remembered_ms, now_ms=clock.now_ms, owed=owed)
        self._units = Units(
            feed, served, log=log, codec=codec, clock=clock, promises=self._promises, lateness=lateness, known=known
        )
        self._status = FeedStatus(clock, self._timer)
        self._standing = standing(log, feed.name)
        self._first_backoff_s, self._failures = backoff_s, 0
        self._stopping = asyncio.Event()
        self._told_at: dict[str, float] = {}

    async def run(self) -> None:
        """Feed the log until the feed has ended, is stopped, or says that its files cannot be used.

        Raises nothing but cancellation, and that only between writes.
        """
        if self._standing.state is FeedState.ENDED:
            self._status.show("ended")
            return
        while not self._stopping.is_set():
            try:
                await self._session()
                return
            except _Stopped:
                break
            except Exception as error:  # a feed is a plug-in: whatever it raises stays with it
                if await self._failed(error):
                    return
        self._status.show("stopped")

    def stop(self) -> None:
        """Ask `run` to return after the write that is under way."""
        self._stopping.set()

    def info(self) -> FeedInfo:
        """How the feed is doing now."""
        durable, status = self._standing, self._status
        fraction = getattr(self.feed, "fraction", None)
        return FeedInfo(
            name=self.feed.name,
            live=self.feed.live,
            tasks=self.tasks,
            state=status.state,
            since_ms=status.since_ms,
            why=status.why,
            watermark_ms=durable.watermark_ms,
            posts=durable.posts,
            matched=durable.matched,
            rejected=durable.rejected,
            posts_per_s=status.posts_per_s,
            written_bytes=status.written_bytes,
            last_error=status.last_error,
            fraction=None if fraction is None else fraction(durable.cursor),
        )

    async def _session(self) -> None:
        """One life of the feed's iterator, from the durable cursor on."""
        self._standing = standing(self._log, self.feed.name)
        for unit in self._units.unfinished():
            await self._room()
            await self._write(unit)
        iterator = self.feed.open(self._standing.cursor)
        opened_at = self._timer()
        stopping = asyncio.ensure_future(self._stopping.wait())
        pending = asyncio.ensure_future(_next(iterator))
        try:
            while True:
                await asyncio.wait({pending, stopping}, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    raise _Stopped
                if not pending.done():
                    await self._idle(self._timer() - opened_at)
                    continue
                delivery = pending.result()
                if delivery is None:
                    raise HeartbeatError("the feed ended without saying so")
                if delivery.state is not FeedState.ENDED:
                    pending = asyncio.ensure_future(_next(iterator))
                await self._room()
                await self._deliver(delivery)
                if delivery.state is FeedState.ENDED:
                    return
        finally:
            for waiting in (pending, stopping):
                waiting.cancel()
            await asyncio.gather(pending, stopping, return_exceptions=True)
            close = getattr(iterator, "aclose", None)
            if close is not None:
                with suppress(Exception):
                    await close()

    async def _deliver(self, delivery: Delivery) -> None:
        """Write one delivery, again and again while the log cannot."""
        if self.feed.live and not getattr(self.feed, "makes_up", True):
            delivery = replace(delivery, unheard=self._promises.missed(self._standing.watermark_ms))
        for unit in self._units.of(delivery, self._standing):
            await self._write(unit)
            if unit.after is None:
                await self._room()
                continue
            self._standing, self._failures = unit.after, 0
            self._promises.delivered(len(delivery.posts), unit.says)
            self._status.delivered(len(delivery.posts))
        match delivery.state:
            case FeedState.ENDED:
                self._status.show("ended")
                self._health.forget(self._part)
            case FeedState.DISCONNECTED:
                why = delivery.why or "the other side is away"
                self._trouble("disconnected", State.WAITING, why, "it connects again by itself")
            case FeedState.BEHIND if self.feed.live:
                self._status.show("behind", delivery.why)
                self._health.report(self._part, State.WAITING, delivery.why or "is working off a backlog")
            case _:
                self._status.show(delivery.state.value, delivery.why)
                self._health.report(self._part, State.OK, delivery.why)

    async def _write(self, unit: Unit) -> None:
        """Write a unit, again and again while the log cannot."""
        wait_s = self._first_backoff_s
        while True:
            try:
                await self._durable(unit.write)
                break
            except LogUnavailable as error:
                self._trouble("paused", State.WAITING, str(error), "it is tried again until it succeeds")
                await self._pause(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_BACKOFF_S)
        self._status.written(unit.write)

    async def _idle(self, open_for_s: float) -> None:
        """Nothing arrives: a feed that is caught up goes on promising; one that never answered is told as away."""
        if self._promises.said is None:
            if open_for_s >= _ANSWER_WITHIN_S:
                why = f"has not answered for {_ANSWER_WITHIN_S:.0f} s"
                self._trouble("disconnected", State.WAITING, why, "it is waited for")
                await self._tell(Says(connected=False, caught_up=False))
        elif self._status.state == FeedState.CAUGHT_UP and self._promises.idle_due() and not self._held():
            await self._tell(Says(connected=True, caught_up=True))

    async def _tell(self, says: Says) -> None:
        """Write heartbeats alone. If the log cannot now, the next ones will say as much."""
        after = replace(self._standing, tasks=self.tasks)
        if says.caught_up:
            after = replace(after, watermark_ms=self._promises.idle_watermark(after.watermark_ms))
        try:
            await self._durable(self._units.closed([], after, says))
        except LogUnavailable as error:
            self._health.report(self._part, State.WAITING, str(error), "it is tried again until it succeeds")
            return
        self._standing = after
        self._promises.delivered(0, says)
        if says.connected:
            self._health.report(self._part, State.OK, self._status.why)

    async def _durable(self, unit: UnitWrite) -> None:
        """Wait until a unit is durable. Its outcome is always waited for, also when this task is cancelled."""
        future = self._log.write(unit)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    def _held(self) -> str | None:
        """Why nothing may be written now, or None."""
        if reason := self._paused_reason():
            return reason
        waiting = self._lag()
        return f"waits for the agents: {waiting:,} messages are not read yet" if waiting > self._most_lag else None

    async def _room(self) -> None:
        """Wait until there is room for another delivery."""
        since = self._timer()
        while (reason := self._held()) is not None:
            if self._paused_reason() or self._timer() - since >= _TELL_AFTER_S:
                self._trouble("paused", State.WAITING, reason, "it goes on by itself when there is room")
            await self._pause(_LOOK_AGAIN_S)

    async def _failed(self, error: Exception) -> bool:
        """Tell what happened, say that the feed is away, and wait before its next life. Whether there is none."""
        wait_s = min(self._first_backoff_s * 2**self._failures, _LONGEST_BACKOFF_S)
        self._failures = min(self._failures + 1, 16)
        # Only messages of our own are known to hold nothing of a post.
        why = str(error) if isinstance(error, HeartbeatError) else f"it raised {type(error).__name__}"
        unreachable = isinstance(error, FeedUnreachable | LogUnavailable)
        final = not self.feed.live and isinstance(error, FeedError) and not unreachable
        self._status.last_error = why
        if unreachable:
            self._trouble("disconnected", State.WAITING, why, f"it is tried again in {wait_s:.0f} s")
        elif final:
            self._trouble("failed", State.FAILED, why, "start the replay again")
        else:
            self._trouble("failed", State.FAILED, why, "it is started again by itself")
            logger.debug("%s failed", self._part, exc_info=error)
        if self._promises.said is None or self._promises.said.connected:
            with suppress(Exception):  # that this feed is in trouble has been told already
                # The write that failed may have taken place: an older cursor must not be put over a newer one.
                self._standing = standing(self._log, self.feed.name)
                await self._tell(Says(connected=False, caught_up=False))
        if not final:
            with suppress(_Stopped):
                await self._pause(wait_s)
        return final

    def _trouble(self, shown: str, state: State, why: str, remedy: str) -> None:
        before = self._health.get(self._part)
        other = before is not None and before.state is state and self._status.state != shown
        self._status.show(shown, why)
        self._health.report(self._part, state, why, remedy)
        if other and self._timer() - self._told_at.get(shown, -math.inf) >= _TELL_AGAIN_S:
            # as for health it waits as before, and says nothing of it
            self._told_at[shown] = self._timer()
            logger.warning("%s is %s: %s", self._part, shown, why)

    async def _pause(self, seconds: float) -> None:
        """Wait. Raises `_Stopped` as soon as the runner is stopped."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise _Stopped


async def _next(iterator: AsyncIterator[Delivery]) -> Delivery | None:
    return await anext(iterator, None)
