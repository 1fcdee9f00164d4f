"""What the pages see of a worker: its tables, its history, its feeds, and the stream of what becomes durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, TypeVar

from heartbeat.corrections import desk
from heartbeat.corrections.desk import Desk
from heartbeat.corrections.rows import SeenPost
from heartbeat.engine.faust import HeartbeatApp
from heartbeat.errors import HistoryError, PostNotThere, TextNotKept
from heartbeat.feeds.status import FeedInfo as RunnerInfo
from heartbeat.insights.company import Company
from heartbeat.insights.insight import Past, Span
from heartbeat.insights.voice import Said
from heartbeat.metrics import Metrics, Readings
from heartbeat.records import BEFORE_TIME_MS, Pulse
from heartbeat.services import FeedsService
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary
from heartbeat.station import Station
from heartbeat.tasks import LANGUAGES, Task
from heartbeat.topics import GROUPS
from heartbeat.web.hub import Hub
from heartbeat.web.sources import FeedInfo, LiveRecord
from heartbeat.web.tail import LogTail
from heartbeat.windows.ids import WindowId

T = TypeVar("T")

HISTORY_GROUPS: Final = {"pulse": f"{GROUPS}-history-windows", "sentiment": f"{GROUPS}-history-posts"}
"""Where the stream of the pages begins, by topic: where history stands."""


class Views:
    """The `WebSources` of a worker."""

    def __init__(self, app: HeartbeatApp, station: Station, feeds: FeedsService, metrics: Metrics) -> None:
        self._app, self._station, self._feeds, self._metrics = app, station, feeds, metrics
        self.settings, self.clock, self.health = station.settings, station.clock, station.board
        self.history = HistoryView(station, self.ready)
        self.corrections = Desk(lambda: station.corrections, self.history.seen, station.clock)

    async def close(self) -> None:
        """Let go of the history's file, before its writer closes it: the last one to close it takes the WAL away."""
        await asyncio.to_thread(self.history.close)

    def tasks(self) -> Sequence[Task]:
        """The configured tasks, in the order of the file."""
        return self._station.tasks

    def languages(self) -> Sequence[str]:
        """What a post's language may be corrected to."""
        models = self._station.models.loaded.values()
        return desk.languages([model.card.languages for model in models] or [sorted(LANGUAGES)])

    def ready(self) -> bool:
        """Whether recovery is complete and agents are at work."""
        return self._app.ready

    def open_windows(self, task: str, size_s: int) -> Iterable[Pulse]:
        """The windows in the live table that are not sealed."""
        return self._station.view.open_windows(task, size_s) if self.ready() else ()

    def live_window(self, task: str, size_s: int, start_ms: int) -> Pulse | None:
        """One of these."""
        return self._station.view.live_window(WindowId(task, size_s, start_ms)) if self.ready() else None

    def watermark_ms(self, task: str) -> int:
        """Up to where the task's windows are closed."""
        return self._station.view.watermark_ms(task) if self.ready() else BEFORE_TIME_MS

    def feeds(self) -> Sequence[FeedInfo]:
        """Every feed that runs, or has run since the worker started."""
        return [_shown(info) for info in self._feeds.infos()]

    def lag(self) -> Mapping[str, int]:
        """Messages that each agent has still to read."""
        return {name: agent.lag() for name, agent in self._app.engine.agents.items()} if self.ready() else {}

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The page for Prometheus, and its content type."""
        return self._metrics.page(accept)

    def readings(self, hub: Hub) -> Readings:
        """What is read off this worker for that page; `hub` is that of its pages."""

        def topic_bytes() -> Mapping[str, int]:
            log = self._app.record_log_or_none
            return log.sizes() if log is not None and self.ready() else {}

        return Readings(
            self.settings,
            self.clock,
            self.health,
            agents=lambda: self._app.engine.agents if self.ready() else {},
            feeds=self._feeds.infos,
            topic_bytes=topic_bytes,
            overloaded=lambda: self._station.overload.is_on,
            readers=lambda: hub.clients,
            dropped=lambda: hub.dropped,
        )

    def tail(self) -> AsyncIterator[LiveRecord]:
        """What becomes durable from here on."""
        return self._tail()

    @cached_property
    def _tail(self) -> LogTail:
        return LogTail(self._app.record_log, self._app.engine.context.codec, history_group=HISTORY_GROUPS)


class HistoryView:
    """The `HistorySource` of a worker: reads in threads, so that no chart holds up the event loop."""

    def __init__(self, station: Station, ready: Callable[[], bool]) -> None:
        self._station, self._ready = station, ready
        self._lock = threading.Lock()
        self._opened: HistoryReader | None = None
        self._closed = False

    @property
    def _reader(self) -> HistoryReader:
        with self._lock:
            if self._closed:
                raise HistoryError("the history is closed: the worker stops")
            if self._opened is None:
                self._opened = HistoryReader(self._station.history.path, clock=self._station.clock)
            return self._opened

    def close(self) -> None:
        """Close the file, once what is being read is through."""
        with self._lock:
            self._closed = True
            if self._opened is not None:
                self._opened.close()

    async def tasks(self) -> Sequence[Summary]:
        """Every task that has ever had a window."""
        return await self._read(self._tasks, ())

    async def windows(self, task: str, size_s: int, from_ms: int, to_ms: int, by: By) -> Sequence[FiguresRow]:
        """Rows of the windows that begin in [from_ms, to_ms)."""

        def read() -> list[FiguresRow]:
            return list(self._reader.figures(task, size_s, from_ms=from_ms, to_ms=to_ms, by=by))

        return await self._read(read, [])

    async def unheard(self, feeds: Sequence[str], from_ms: int, to_ms: int) -> Sequence[Span]:
        """What any of these feeds has not heard of [from_ms, to_ms)."""
        return await self._read(lambda: self._reader.unheard(feeds, from_ms, to_ms), [])

    async def posts(self, task: str, limit: int) -> Sequence[PostRow]:
        """The newest posts by event time, newest first."""

        def read() -> list[PostRow]:
            return list(self._reader.posts(task, limit=limit, newest_first=True, content=True))

        return await self._read(read, [])

    def seen(self, task: str, time_ms: int, source: str, post_id: str) -> SeenPost:
        """A post as it is shown; blocks.

        Raises:
            PostNotThere: it is not there.
            TextNotKept: its text is not there any more.
        """
        row = self._reader.post(task, time_ms, source, post_id) if self._ready() else None
        if row is None:
            raise PostNotThere
        if row.content is None:
            raise TextNotKept
        return SeenPost(
            source, post_id, row.rev, row.content, task, time_ms,
            row.label, row.lang, row.lang_confidence, row.pos, row.neu, row.neg, row.model,
        )  # fmt: skip

    async def past(self, task: str, size_s: int, company: Company, spans: Sequence[Span]) -> Past:
        """What insights into a task are made from."""
        nothing = Past(size_s, {}, {}, None)
        return await self._read(lambda: self._reader.around(size_s).past(task, company, spans), nothing)

    async def said(self, tasks: Sequence[str], size_s: int, from_ms: int, to_ms: int) -> Sequence[Said]:
        """The posts of each window of these tasks that begins in [from_ms, to_ms)."""
        return await self._read(lambda: self._reader.around(size_s).said(tasks, from_ms, to_ms), [])

    async def newest(self, tasks: Sequence[str], size_s: int) -> int | None:
        """The start of the newest closed window of any of these tasks."""
        return await self._read(lambda: self._reader.around(size_s).newest(tasks), None)

    async def _read(self, read: Callable[[], T], nothing: T) -> T:
        return await asyncio.to_thread(read) if self._ready() else nothing

    def _tasks(self) -> list[Summary]:
        summaries = (self._reader.summary(task) for task in self._reader.tasks())
        return [summary for summary in summaries if summary is not None]


def _shown(info: RunnerInfo) -> FeedInfo:
    return FeedInfo(
        name=info.name,
        live=info.live,
        tasks=info.tasks,
        state=info.state,
        watermark_ms=info.watermark_ms,
        posts=info.posts,
        rejected=info.rejected,
        why=info.why,
        progress=info.fraction,
        since_ms=info.since_ms,
    )
