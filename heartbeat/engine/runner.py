"""Runs agents: what the pipelines of one agent share, and all agents over one log.

Whoever binds the engine to a worker (`faust`, or a test's driver) makes one `Engine` and calls, in this order:
`prepare` (topics, tables, consumer groups), `load` (recovery), `start`, and at the end `pause` and `drain`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.breaker import Breaker
from heartbeat.engine.log import TP, Log
from heartbeat.engine.observer import Observer, Unobserved
from heartbeat.engine.pipeline import Pipeline
from heartbeat.health import HealthBoard, State
from heartbeat.topics import ALL, DEADLETTERS, Topic

logger = logging.getLogger(__name__)

SAY_EVERY_S: Final = 2.0
"""How often it is said how far a recovery is."""
GRACE_S = 3.0
"""How long a handler may go on once the worker has to stop."""


@dataclass(slots=True)
class Stats:
    """An agent's counters since its start; read by pages and metrics. Seconds are sums over batches and partitions."""

    batches: int = 0
    messages: int = 0
    emitted: int = 0
    ticks: int = 0
    handler_s: float = 0.0
    commit_s: float = 0.0
    dead_letters: int = 0
    retries: int = 0
    halvings: int = 0
    rewinds: int = 0
    failed_ticks: int = 0
    inflight: int = 0


class Partitions(dict[str, int]):
    """How many partitions topics have, asked of the log once for each."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def __missing__(self, topic: str) -> int:
        self[topic] = count = self._log.partitions(topic)
        return count


@dataclass(slots=True)
class Context:
    """What all agents of a process share.

    Attributes:
        log: where messages come from and units go.
        codec: between records and bytes, on the log's schemas.
        clock: tells handlers' ticks the time.
        board: where agents report how they are.
        app_id: the prefix of consumer groups.
        timer: seconds that never jump back; waits and tick intervals are counted in them.
        random: jitter of waits.
        observer: told of each unit.
        raised: kinds of errors of handlers that stop the engine instead of making dead letters (for tests).
    """

    log: Log
    codec: Codec
    clock: Clock
    board: HealthBoard
    app_id: str
    timer: Callable[[], float] = time.monotonic
    random: random.Random = field(default_factory=random.Random)
    observer: Observer = field(default_factory=Unobserved)
    raised: tuple[type[BaseException], ...] = ()
    partitions: Partitions = field(init=False)

    def __post_init__(self) -> None:
        self.partitions = Partitions(self.log)


class AgentRunner:
    """One agent: its pipelines and what they share."""

    def __init__(self, spec: AgentSpec, context: Context) -> None:
        self.spec, self.context = spec, context
        self.group = f"{context.app_id}-{spec.name}"
        self.part = f"agent/{spec.name}"
        self.stats = Stats()
        self.breaker = Breaker()
        self.pipelines: dict[int, Pipeline] = {}
        self._trouble: dict[tuple[int, str], tuple[State, str, str]] = {}

    def prepare(self) -> None:
        """Declare the input topic, tables and the consumer group; the log has to be open."""
        log = self.context.log
        count = log.partitions(self.spec.topic.name)
        for table in self.spec.tables:
            table.bind(self.spec.name, log, count)
        register = getattr(log, "register_group", None)
        if register is not None:
            register(self.group, self.spec.topic.name)

    async def load(self, partitions: Sequence[int]) -> int:
        """Recover the tables of these partitions, and say now and then how far that is. Gives the number of rows."""
        log, loaded = self.context.log, 0
        for table in self.spec.tables:
            progress = _Recovery(self, table.name, sum(table.stored(log, p) for p in partitions))
            for partition in partitions:
                loaded += await table.load(log, partition, progress)
        return loaded

    def pipeline(self, partition: int) -> Pipeline:
        """The pipeline of a partition; made where its group stands in the log."""
        pipeline = self.pipelines.get(partition)
        if pipeline is None:
            pipeline = self.pipelines[partition] = Pipeline(self, TP(self.spec.topic.name, partition))
        return pipeline

    def trouble(self, partition: int, kind: str, state: State, why: str, remedy: str = "") -> None:
        """A partition cannot go on as it should; the worst of all partitions is what the board shows."""
        self._trouble[partition, kind] = state, why, remedy
        self._report()

    def well(self, partition: int, kind: str) -> None:
        """That trouble is over."""
        if self._trouble.pop((partition, kind), None) is not None:
            self._report()

    def lag(self) -> int:
        """How many messages the agent has not finished, over the partitions that run here."""
        return sum(pipeline.lag() for pipeline in self.pipelines.values())

    def _report(self) -> None:
        if not self._trouble:
            self.context.board.report(self.part, State.OK)
            return
        state, why, remedy = max(self._trouble.values(), key=lambda trouble: trouble[0] is State.FAILED)
        self.context.board.report(self.part, state, why, remedy)


class _Recovery:
    """Tells people how far the recovery of a table is, if it takes long."""

    def __init__(self, runner: AgentRunner, table: str, rows: int) -> None:
        self._runner, self._table, self._of, self._done = runner, table, rows, 0
        self._next_s = runner.context.timer() + SAY_EVERY_S

    def __call__(self, rows: int) -> None:
        """So many more rows have been read."""
        self._done += rows
        now_s = self._runner.context.timer()
        if now_s >= self._next_s:
            self._next_s = now_s + SAY_EVERY_S
            how_far = f"recovering {self._table}: {self._done:,} of {self._of:,} rows"
            logger.info("%s", how_far)
            self._runner.context.board.report(self._runner.part, State.WAITING, how_far)


class Engine:
    """All agents of a process over one log."""

    def __init__(self, specs: Sequence[AgentSpec], context: Context) -> None:
        names = [spec.name for spec in specs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"agents have to have names of their own: {', '.join(sorted(twice))}")
        self.context = context
        self.agents: Mapping[str, AgentRunner] = {spec.name: AgentRunner(spec, context) for spec in specs}

    def prepare(self, partitions: int, topics: Iterable[Topic] = ALL) -> None:
        """Declare topics, tables and consumer groups. Topics that exist keep their number of partitions."""
        inputs = [runner.spec.topic for runner in self.agents.values()]
        by_name = {topic.name: topic for topic in (DEADLETTERS, *inputs, *topics)}
        for topic in by_name.values():
            self.context.log.create_topic(topic, partitions)
        for runner in self.agents.values():
            runner.prepare()

    def everything(self) -> set[TP]:
        """Every input partition there is."""
        return {
            TP(runner.spec.topic.name, partition)
            for runner in self.agents.values()
            for partition in range(self.context.partitions[runner.spec.topic.name])
        }

    async def load(self, assigned: Iterable[TP]) -> int:
        """Recover the tables of the assigned partitions. Gives the number of rows."""
        assigned, rows, began = set(assigned), 0, time.monotonic()
        for runner in self.agents.values():
            mine = sorted(tp.partition for tp in assigned if tp.topic == runner.spec.topic.name)
            rows += await runner.load(mine)
        if rows:
            logger.info("recovered %d rows of tables in %.2f s", rows, time.monotonic() - began)
        return rows

    def start(self, assigned: Iterable[TP], crash: Callable[[BaseException], None]) -> None:
        """Start a task for each assigned partition of each agent. `crash` is told of an error that nobody can mend."""
        assigned = set(assigned)
        for runner in self.agents.values():
            for tp in sorted(assigned):
                if tp.topic == runner.spec.topic.name and tp.partition not in runner.pipelines:
                    runner.pipeline(tp.partition).start(crash)
            self.context.board.report(runner.part, State.OK)

    def pause(self) -> None:
        """Begin to stop: nothing new is read; what is idle ends at once."""
        for pipeline in self._pipelines():
            pipeline.interrupt()

    async def drain(self, grace_s: float = GRACE_S) -> None:
        """After `pause`: handlers may finish within the grace, then they are undone; commits are always waited for."""
        tasks = [pipeline.task for pipeline in self._pipelines() if pipeline.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            if late:
                for pipeline in self._pipelines():
                    pipeline.interrupt(force=True)
                await asyncio.wait(late)
        for runner in self.agents.values():
            runner.pipelines.clear()

    def _pipelines(self) -> list[Pipeline]:
        return [pipeline for runner in self.agents.values() for pipeline in runner.pipelines.values()]
