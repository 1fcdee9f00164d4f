"""One data directory and what works on it: opened and closed as a whole, by a worker or by a command alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from heartbeat import topics
from heartbeat.agents import history as _history
from heartbeat.agents import influx as _influx
from heartbeat.agents import insight_points
from heartbeat.agents.corrections import CorrectionsAgent
from heartbeat.agents.influx_tables import WRITTEN, InfluxTables
from heartbeat.agents.insight_points import InsightPoints
from heartbeat.agents.pulse_view import PulseView
from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.corrections import file as _corrections_file
from heartbeat.corrections.store import Corrections
from heartbeat.engine import sqlite_schema
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.log import TP
from heartbeat.engine.ownership import Ownership, own
from heartbeat.engine.retention import Retention
from heartbeat.engine.runner import Context, Engine
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import CorrectionsUnusable, StartError
from heartbeat.health import HealthBoard
from heartbeat.history_start import hold_against
from heartbeat.models.configured import ConfiguredModels
from heartbeat.models.overload import Overload
from heartbeat.settings import Settings
from heartbeat.sinks import history_file
from heartbeat.sinks.history import History
from heartbeat.sinks.history_reader import HistoryReader
from heartbeat.sinks.influx import InfluxSink
from heartbeat.sinks.influx_client import InfluxPlace
from heartbeat.sinks.influx_forgetting import InfluxForgetting
from heartbeat.sinks.influx_lines import insight_line
from heartbeat.sinks.insight_fields import InsightFields, Window
from heartbeat.sinks.places import Place
from heartbeat.sinks.telling import Telling
from heartbeat.tasks import Task, feeds_by_task
from heartbeat.topics import DAY_MS, GROUPS, HOUR_MS, Topic, partition_of

logger = logging.getLogger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""Beside a busy event loop, the threads of models and files wait this long for the interpreter instead of 5 ms."""
COLLECT_AFTER: Final = 30_000, 20, 50
"""Records are many, and never refer to each other in circles. With Python's own 700 the search for circles among those
that are on their way took a sixth of all processor time, with 10,000 a tenth; most are gone before they are 30,000."""


@dataclass
class Station:
    """Everything that agents and feeds share.

    Attributes:
        agents: in the order of the flow; those of `history`, `corrections` and, if it is configured, `influx` last.
        windows_changelog: the topic that holds the windows of `pulse` which are not sealed.
        overload: says when live posts go to the fast model.
        places: what keeps something outside of log and history, and is told what was forgotten.
        telling: tells them.
        history: made here, opened by `open`.
        influx: what writes to InfluxDB; None if the settings name none.
    """

    settings: Settings
    clock: Clock
    board: HealthBoard
    tasks: Sequence[Task]
    models: ConfiguredModels
    view: PulseView
    stream_agents: Sequence[AgentSpec]
    windows_changelog: str
    overload: Overload
    places: list[Place] = field(default_factory=list)
    agents: Sequence[AgentSpec] = field(init=False)
    history: History = field(init=False)
    influx: InfluxSink | None = field(init=False)
    telling: Telling = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.history = History(
            settings.data_dir / history_file.NAME,
            clock=self.clock,
            content_hours=settings.content_hours,
            history_days=settings.history_days,
            days_by_size=settings.history_days_by_size,
            durable=settings.durable,
        )
        corrections = CorrectionsAgent(lambda: self.corrections, settings.corrections_days)
        self.agents = [
            *self.stream_agents,
            *_history.specs(self.history, max_messages=settings.batch_posts, retracted=corrections.retracted),
            corrections.spec(max_messages=settings.batch_posts),
        ]
        self._opened_corrections: Corrections | None = None
        place = InfluxPlace.of(settings)
        self.influx = None if place is None else InfluxSink(place, self.clock, self.board)
        if self.influx is not None:
            keep_ms = 1000 * (settings.longest_wait_s + settings.allowed_lateness_s)
            agent = _influx.InfluxAgent(
                self.influx, self.history, InfluxTables.made(), self.clock, keep_ms=keep_ms, read=self._history_read
            )
            points = InsightPoints(
                self._insights,
                self._write_insights,
                self.clock,
                read=self._history_read,
                unheard=partial(self._unfinished, _history.POSTS, topics.SENTIMENT.name),
            )
            self.agents = [*self.agents, agent.spec(), points.spec()]
            self.places.append(
                InfluxForgetting(
                    self.influx,
                    self.history.path,
                    feeds=feeds_by_task(self.tasks),
                    unwritten=partial(self._unfinished, _influx.NAME),
                    unstored=partial(self._unfinished, _history.WINDOWS),
                    amend=lambda task, change: agent.amend(partition_of(task, settings.partitions), change),
                )
            )
        self.telling = Telling(self.history, self.places, self.clock, self.board)
        self._ownership: Ownership | None = None
        self._log: SqliteLog | None = None
        self._opened_history = False
        self._reader: HistoryReader | None = None

    def open(self) -> SqliteLog:
        """Take the data directory, load the models, open the files. What was opened is closed again on failure.

        Raises:
            HeartbeatError: says what is in the way and what to do.
        """
        settings = self.settings
        if said := settings.influx_unused:
            logger.warning("%s", said)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.set_threshold(*COLLECT_AFTER)
        self._ownership = own(settings.data_dir)
        try:
            self.models.load()
            path = sqlite_schema.place(settings.broker, settings.data_dir)
            log = SqliteLog.open(path, clock=self.clock, durable=settings.durable)
            try:
                self._check_partitions(log)
                self._opened_corrections = Corrections(settings.data_dir / _corrections_file.NAME, writing=True)
                self.history.start()
                self._opened_history = True
                if self.influx is None:  # one that is not wanted any more would have the log keep everything for it
                    if any(store == WRITTEN for store, _ in log.ledger().stores):
                        self.telling.absent = (InfluxForgetting.name,)
                    log.forget_group(f"{GROUPS}-{_influx.NAME}", topics.PULSE.name)
                    log.forget_group(f"{GROUPS}-{insight_points.NAME}", topics.PULSE.name)
                    log.empty(InfluxTables.AGAIN_CHANGELOG)  # else its old values are written when it is wanted again
                self.history_start = hold_against(log, self.history, self.board, prefix=GROUPS)
            except BaseException:
                self.history.close()
                if self._opened_corrections is not None:
                    self._opened_corrections.close()
                log.close()
                raise
        except BaseException:
            self._ownership.release()
            raise
        gc.collect()
        gc.freeze()  # what has been loaded stays: it need not be looked through again
        self._log = log
        return log

    def _check_partitions(self, log: SqliteLog) -> None:
        there = log.topics().get(topics.INGEST.name)
        if there is not None and there.partitions != self.settings.partitions:
            raise StartError(
                f"partitions is {self.settings.partitions}, but the log in {self.settings.data_dir} has "
                f"{there.partitions}, and keeps them; set partitions to {there.partitions} (in heartbeat.yaml or "
                "HEARTBEAT_PARTITIONS), or name another data directory"
            )

    def _insights(self) -> InsightFields:
        """Opened when first asked for: the history's file is there by then."""
        if self._reader is None:
            self._reader = HistoryReader(self.history.path)
        return InsightFields(self._reader, feeds_by_task(self.tasks))

    def _unfinished(self, agent: str, topic: str = topics.PULSE.name) -> Callable[[], int]:
        """Gives how many of the messages that are in a topic now an agent has not durably finished."""
        log, group = self._log, f"{GROUPS}-{agent}"
        assert log is not None
        places = [TP(topic, partition) for partition in range(log.partitions(topic))]
        ends = {tp: log.end_offset(tp) for tp in places}
        return lambda: sum(max(end - (log.committed(group, tp) or log.begin_offset(tp)), 0) for tp, end in ends.items())

    def _history_read(self, tp: TP) -> int:
        """Up to where history has read a partition of `pulse`."""
        return 0 if self._log is None else self._log.committed(f"{GROUPS}-{_history.WINDOWS}", tp) or 0

    async def _write_insights(
        self, partition: int, found: Mapping[Window, Mapping[str, float]]
    ) -> Mapping[Window, str]:
        assert self.influx is not None
        lines = {window: insight_line(window, numbers) for window, numbers in found.items() if numbers}
        if not lines:
            return {}
        refused = await self.influx.lane(f"insights {partition}").write(list(lines.values()))
        windows = list(lines)
        return {windows[refusal.at]: refusal.why for refusal in refused}

    async def close(self) -> None:
        """Close what `open` opened, but the log, which its owner closes first."""
        await self.models.close()
        if self.influx is not None:
            await self.influx.close()
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
        if self._opened_history:
            await asyncio.to_thread(self.history.close)
        if self._opened_corrections is not None:
            await asyncio.to_thread(self._opened_corrections.close)
        if self._ownership is not None:
            self._ownership.release()

    @property
    def corrections(self) -> Corrections:
        """What people say of labels and languages.

        Raises:
            CorrectionsUnusable: the station is not open.
        """
        if self._opened_corrections is None:
            raise CorrectionsUnusable("the corrections are not open yet")
        return self._opened_corrections

    def watch(self, engine: Engine) -> None:
        """Have the choice of models follow how much waits to be scored, and health say how much waits for InfluxDB."""
        self.overload.lag = engine.agents["sentiment"].lag
        if self.influx is not None:
            self.influx.waiting = engine.agents[_influx.NAME].lag

    def models_changed(self, settings: Settings) -> None:
        """Name the model that scores under load as it is named now."""
        self.overload.model = settings.sentiment_fast_model

    def topics(self) -> list[Topic]:
        """The topics, kept for as long as the settings say."""
        keep_ms = round(self.settings.retention_hours * HOUR_MS)
        return [replace(topic, retention_ms=keep_ms) if topic.retention_ms == DAY_MS else topic for topic in topics.ALL]

    def retention(self, log: SqliteLog) -> Retention:
        """What makes the log forget."""
        settings = self.settings
        return Retention(
            log,
            self.clock,
            content_ms=round(settings.content_hours * HOUR_MS),
            max_topic_bytes=settings.max_topic_bytes,
            max_log_bytes=settings.max_log_bytes,
            superseded_ms={topic.name: topic.superseded_ms for topic in topics.ALL if topic.superseded_ms is not None},
        )

    def engine(self, log: SqliteLog) -> Engine:
        """The agents over the open log, for a command that runs them without Faust."""
        context = Context(log=log, codec=Codec(log), clock=self.clock, board=self.board, app_id=GROUPS)
        engine = Engine(self.agents, context)
        engine.prepare(self.settings.partitions, self.topics())
        return engine
