"""What the web side is made from. The worker hands in one bundle; nothing here knows where figures are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from heartbeat.clock import Clock
from heartbeat.corrections.desk import Desk
from heartbeat.health import HealthBoard
from heartbeat.insights.company import Company
from heartbeat.insights.insight import Past, Span
from heartbeat.insights.voice import Said
from heartbeat.records import Heartbeat, Late, Pulse, Scored
from heartbeat.settings import Settings
from heartbeat.sinks.history_rows import By, FiguresRow, PostRow, Summary
from heartbeat.tasks import Task

LiveRecord: TypeAlias = Pulse | Scored | Late | Heartbeat


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """A feed as the page shows it.

    Attributes:
        name: unique (`demo`, `replay:HASH`).
        live: it serves the configured tasks; else it is a replay with a task of its own.
        tasks: whom it serves.
        state: caught up, behind, disconnected or ended; starting, paused, failed or stopped where it is so.
        watermark_ms: nothing below follows, except what is late; None before its first promise.
        posts: delivered since the worker started.
        rejected: items that were no posts, since the worker started.
        why: for people, when it is disconnected or waits.
        progress: of a replay, from 0 to 1, where it is known.
        since_ms: since when it is in that state, where it is known.
    """

    name: str
    live: bool
    tasks: Sequence[str]
    state: str
    watermark_ms: int | None = None
    posts: int = 0
    rejected: int = 0
    why: str = ""
    progress: float | None = None
    since_ms: int | None = None


class HistorySource(Protocol):
    """What is kept for charts. Reads never block the event loop."""

    async def tasks(self) -> Sequence[Summary]:
        """Every task that has ever had a window, in no particular order."""
        ...

    async def windows(self, task: str, size_s: int, from_ms: int, to_ms: int, by: By) -> Sequence[FiguresRow]:
        """Rows of the windows that begin in [from_ms, to_ms). Windows without posts have none.

        Every source knows the configured sizes, hours and days.
        """
        ...

    async def unheard(self, feeds: Sequence[str], from_ms: int, to_ms: int) -> Sequence[Span]:
        """What any of these feeds has not heard of [from_ms, to_ms), by its beginning; some may overlap."""
        ...

    async def posts(self, task: str, limit: int) -> Sequence[PostRow]:
        """The newest posts by event time, newest first; retracted ones are gone."""
        ...

    async def past(self, task: str, size_s: int, company: Company, spans: Sequence[Span]) -> Past:
        """What insights into a task are made from (see `sinks.history_insights`)."""
        ...

    async def said(self, tasks: Sequence[str], size_s: int, from_ms: int, to_ms: int) -> Sequence[Said]:
        """The posts of each window of these tasks that begins in [from_ms, to_ms)."""
        ...

    async def newest(self, tasks: Sequence[str], size_s: int) -> int | None:
        """The start of the newest closed window of any of these tasks."""
        ...


class WebSources(Protocol):
    """Everything that the web side asks of the worker."""

    @property
    def settings(self) -> Settings:
        """The worker's settings."""
        ...

    @property
    def clock(self) -> Clock:
        """The worker's clock."""
        ...

    @property
    def health(self) -> HealthBoard:
        """The state of every part."""
        ...

    @property
    def history(self) -> HistorySource:
        """What is kept for charts."""
        ...

    @property
    def corrections(self) -> Desk:
        """Takes corrections of posts."""
        ...

    def tasks(self) -> Sequence[Task]:
        """The configured tasks, in the order of the file."""
        ...

    def languages(self) -> Sequence[str]:
        """What a post's language may be corrected to."""
        ...

    def ready(self) -> bool:
        """Whether recovery is complete and agents are at work."""
        ...

    def open_windows(self, task: str, size_s: int) -> Iterable[Pulse]:
        """The windows in the live table, as they stand now: open ones, and closed ones that are not sealed yet."""
        ...

    def live_window(self, task: str, size_s: int, start_ms: int) -> Pulse | None:
        """One of these; None if it has no posts or is sealed."""
        ...

    def watermark_ms(self, task: str) -> int:
        """Up to where the task's windows are closed; `BEFORE_TIME_MS` where nothing has been promised."""
        ...

    def feeds(self) -> Sequence[FeedInfo]:
        """Every feed that runs, or has run since the worker started."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Messages that each agent has still to read."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Figures for Prometheus in the form that is accepted, and the content type."""
        ...

    def tail(self) -> AsyncIterator[LiveRecord]:
        """Records that became durable since, in the order of each partition.

        Of heartbeats only those that tell of times which were not heard.

        The hard case: together with `history` as it is at the moment of the call, nothing may be missing. So the place
        is taken at the call, not at the first iteration, and lies where history's own reading stands. Windows come
        without gaps; of posts it may leave out all but the newest.
        """
        ...
