"""What is read off the worker when somebody asks: counters that others keep anyway, and how things stand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from heartbeat import __version__
from heartbeat.clock import Clock
from heartbeat.engine.runner import AgentRunner
from heartbeat.feeds.status import FeedInfo
from heartbeat.health import HealthBoard, State
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.settings import Settings

STATES: Final = tuple(State)
_AWAY: Final = ("disconnected", "failed")


class Readings(Collector):
    """The client's collector of a worker; asked before the worker has started, it tells what there is.

    Args:
        settings: its caps, and where its data are.
        clock: the worker's.
        board: its health.
        agents: those that run, by name; none before recovery.
        feeds: how each is doing.
        topic_bytes: what each topic holds; nothing while the log is not open.
        overloaded: whether the fast model scores live posts.
        readers: how many follow the stream of events.
        dropped: how many of them were sent away since they did not keep up.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        board: HealthBoard,
        *,
        agents: Callable[[], Mapping[str, AgentRunner]],
        feeds: Callable[[], Sequence[FeedInfo]],
        topic_bytes: Callable[[], Mapping[str, int]],
        overloaded: Callable[[], bool],
        readers: Callable[[], int],
        dropped: Callable[[], int],
    ) -> None:
        self._settings, self._clock, self._board = settings, clock, board
        self._agents, self._feeds, self._topic_bytes = agents, feeds, topic_bytes
        self._overloaded, self._readers, self._dropped = overloaded, readers, dropped

    def collect(self) -> Iterator[Metric]:
        """Every family, with or without samples."""
        yield InfoMetricFamily("heartbeat_build", "The version that runs", {"version": __version__})
        yield from self._of_feeds(self._feeds())
        yield from self._of_agents(self._agents())
        yield from self._of_disk()
        yield from self._of_health()
        yield _gauge("model_overload", "1 while live posts go to the fast model", [((), self._overloaded())])
        yield _gauge("sse_clients", "Readers of the stream of events", [((), self._readers())])
        yield _counter("sse_dropped", "Readers sent away since they did not keep up", [((), self._dropped())])

    def _of_feeds(self, feeds: Sequence[FeedInfo]) -> Iterator[Metric]:
        now_ms = self._clock.now_ms()
        delays = [
            ((feed.name,), max(now_ms - feed.watermark_ms, 0) / 1000)
            for feed in feeds
            if feed.live and BEFORE_TIME_MS < feed.watermark_ms < END_OF_TIME_MS
        ]
        yield _counter("feed_posts", "Posts delivered, ever", [((f.name,), f.posts) for f in feeds], "feed")
        yield _counter("feed_matched_posts", "Those that a task took", [((f.name,), f.matched) for f in feeds], "feed")
        yield _counter(
            "feed_bytes", "Written to the log since the start", [((f.name,), f.written_bytes) for f in feeds], "feed"
        )
        yield _counter(
            "feed_rejected", "Items that were no posts, ever", [((f.name,), f.rejected) for f in feeds], "feed"
        )
        yield _gauge(
            "feed_up", "0 while disconnected or failed", [((f.name,), f.state not in _AWAY) for f in feeds], "feed"
        )
        yield _gauge(
            "feed_paused", "1 while it may not write", [((f.name,), f.state == "paused") for f in feeds], "feed"
        )
        yield _gauge("watermark_delay_seconds", "How far a live feed's watermark is behind the clock", delays, "feed")

    def _of_agents(self, agents: Mapping[str, AgentRunner]) -> Iterator[Metric]:
        stats = [((name,), agent.stats) for name, agent in agents.items()]
        yield _gauge(
            "topic_lag_messages",
            "Messages that an agent has not finished",
            [
                ((name, pipeline.tp.topic, str(pipeline.tp.partition)), pipeline.lag())
                for name, agent in agents.items()
                for pipeline in agent.pipelines.values()
            ],
            *("agent", "topic", "partition"),
        )
        yield _gauge(
            "units_inflight", "Units of work that wait to be durable", [(n, s.inflight) for n, s in stats], "agent"
        )
        yield _counter("agent_messages", "Messages done", [(n, s.messages) for n, s in stats], "agent")
        yield _counter(
            "dead_letters", "Messages that could not be used", [(n, s.dead_letters) for n, s in stats], "agent"
        )
        yield _counter("retries", "Batches tried again later", [(n, s.retries) for n, s in stats], "agent")
        yield _counter("halvings", "Batches halved to find a bad message", [(n, s.halvings) for n, s in stats], "agent")
        yield _counter("failed_commits", "Commits that failed", [(n, s.rewinds) for n, s in stats], "agent")
        yield _counter("failed_ticks", "Ticks that failed", [(n, s.failed_ticks) for n, s in stats], "agent")
        yield _gauge(
            "breaker_open",
            "1 while it throws nothing out and waits",
            [((n,), a.breaker.is_open) for n, a in agents.items()],
            "agent",
        )
        tables = [((table.name,), len(table)) for agent in agents.values() for table in agent.spec.tables]
        yield _gauge("table_rows", "Rows of a table", tables, "table")

    def _of_disk(self) -> Iterator[Metric]:
        settings = self._settings
        topics = self._topic_bytes()
        yield _gauge(
            "topic_bytes", "Messages that a topic holds", [((n,), size) for n, size in topics.items()], "topic"
        )
        yield _gauge("topic_max_bytes", "Where feeds pause for one topic", [((), settings.max_topic_bytes)])
        yield _gauge("log_max_bytes", "Where feeds pause for all topics together", [((), settings.max_log_bytes)])
        files = {name: settings.data_dir / name for name in ("log.db", "history.db", "corrections.db")}
        yield _gauge("file_bytes", "A file on disk", [((n,), _size(path)) for n, path in files.items()], "file")
        wal = [((name,), _size(path.with_name(f"{name}-wal"))) for name, path in files.items()]
        yield _gauge("wal_bytes", "What has yet to be copied into that file", wal, "file")
        try:
            free: list[tuple[tuple[str, ...], float]] = [((), shutil.disk_usage(settings.data_dir).free)]
        except OSError:
            free = []
        yield _gauge("disk_free_bytes", "Room on the disk of the data directory", free)

    def _of_health(self) -> Iterator[Metric]:
        states = [((each.part, state.value), each.state is state) for each in self._board for state in STATES]
        yield _gauge("part_state", "1 for the state that a part is in", states, "part", "state")


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, help: str, samples: Samples, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"heartbeat_{name}", help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, help: str, samples: Samples, *labels: str) -> Metric:
    family = CounterMetricFamily(f"heartbeat_{name}", help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
