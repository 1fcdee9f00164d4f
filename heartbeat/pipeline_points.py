"""The pipeline's own health as points of InfluxDB: measurement `pipeline`, one point a part, every ten seconds.

Best effort, beside the log: what cannot be written is kept for an hour, then the oldest is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from heartbeat.clock import Clock
from heartbeat.engine.runner import AgentRunner
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import LogError, Retry
from heartbeat.feeds.status import FeedInfo
from heartbeat.health import HealthBoard, State
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_lines import pipeline_line

EVERY_S: Final = 10.0
MOST_KEPT: Final = 360
"""Moments that are kept while InfluxDB is away."""
LANE: Final = "pipeline"
_STATES: Final = {State.OK: 0, State.WAITING: 1, State.FAILED: 2}


class PipelinePoints:
    """Measures and writes.

    Args:
        sink: where to.
        clock: dates the points.
        board: the state of each part.
    """

    def __init__(self, sink: InfluxSink, clock: Clock, board: HealthBoard) -> None:
        self._sink, self._clock, self._board = sink, clock, board
        self._kept: deque[Sequence[str]] = deque(maxlen=MOST_KEPT)

    async def write(self, agents: Mapping[str, AgentRunner], feeds: Iterable[FeedInfo], log: SqliteLog) -> None:
        """Measure now, and write what is kept as far as that goes."""
        self._kept.append(self._measured(agents, feeds, log))
        try:
            while self._kept:
                await self._sink.lane(LANE).write(self._kept[0])
                self._kept.popleft()
                await asyncio.sleep(0)
        except Retry:
            return

    def _measured(self, agents: Mapping[str, AgentRunner], feeds: Iterable[FeedInfo], log: SqliteLog) -> Sequence[str]:
        now_ms = self._clock.now_ms()
        points: dict[tuple[str, str], dict[str, int | float]] = {}
        for status in self._board:
            part, _, name = status.part.partition("/")
            points[part, name or part] = {"state": _STATES[status.state]}
        for name, agent in agents.items():
            stats = agent.stats
            points.setdefault(("agent", name), {}).update(
                lag=agent.lag(), messages=stats.messages, dead_letters=stats.dead_letters, retries=stats.retries
            )
        for feed in feeds:
            fields = points.setdefault(("feed", feed.name), {})
            fields.update(messages=feed.posts, dead_letters=feed.rejected, paused=int(feed.state == "paused"))
            if BEFORE_TIME_MS < feed.watermark_ms < END_OF_TIME_MS and feed.live:
                fields["watermark_delay_ms"] = max(now_ms - feed.watermark_ms, 0)
        try:
            for topic, size in log.sizes().items():
                points.setdefault(("topic", topic), {})["bytes"] = size
            points.setdefault(("log", "file"), {})["bytes"] = log.file_bytes()
        except (LogError, OSError):
            pass
        points.setdefault(("sink", "influx"), {}).update(points=self._sink.points, refused=self._sink.refused)
        return [pipeline_line(part, name, fields, now_ms) for (part, name), fields in points.items()]
