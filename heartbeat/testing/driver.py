"""Runs agents without a worker, step by step, in whatever order a test chooses.

    driver = Driver(lambda: [language_spec(), pulse_spec()], partitions=4)
    await driver.start()
    await driver.send(topics.INGEST, post, key="demo/1")
    await driver.run_until_idle()
    assert await driver.values(topics.PULSE) == [...]

The agents run on the engine's real pipelines, units and tables over a log in memory (or any other); only time and order
are the test's. Nothing runs between two steps. `crash()` and `restart()` throw away everything that is not in the log,
which is why agents are given as a function that makes them anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from heartbeat.codec import Codec
from heartbeat.engine.agent import AgentSpec
from heartbeat.engine.log import Log
from heartbeat.engine.observer import Observer, Unobserved
from heartbeat.engine.pipeline import Pipeline, Stage, Turn
from heartbeat.engine.runner import AgentRunner, Context, Engine
from heartbeat.engine.tables import MemoryTable, TableMisuse
from heartbeat.health import HealthBoard
from heartbeat.testing.clock import FakeClock
from heartbeat.testing.memory_log import MemoryLog
from heartbeat.testing.messages import Messages
from heartbeat.testing.orders import Choose, Place, evenly
from heartbeat.topics import ALL, Topic


class Driver(Messages):
    """A worker whose time and order of work are the test's.

    Args:
        build: makes the agents, with new tables and no memory; called at each start.
        partitions: of each topic.
        log: by default one in memory.
        clock: by default a `FakeClock`; the driver moves it when it waits.
        topics: declared besides the agents' inputs.
        checked: notice values of memory tables that are changed in place.
        raised: kinds of errors of handlers that are raised to the test instead of making dead letters.
        observer: told of each unit.
    """

    def __init__(
        self,
        build: Callable[[], Sequence[AgentSpec]],
        *,
        partitions: int = 4,
        log: Log | None = None,
        clock: FakeClock | None = None,
        topics: Sequence[Topic] = ALL,
        app_id: str = "test",
        checked: bool = True,
        raised: tuple[type[BaseException], ...] = (TableMisuse,),
        observer: Observer | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.log = log if log is not None else MemoryLog(self.clock)
        self.partitions, self.app_id = partitions, app_id
        self._build, self._topics, self._checked, self._raised = build, topics, checked, raised
        self._observer = observer or Unobserved()
        self._engine: Engine | None = None
        self.steps = 0

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make the agents and recover their tables from the log."""
        specs = self._build()
        self.board = HealthBoard(self.clock)
        self.codec = Codec(self.log)
        context = Context(
            log=self.log,
            codec=self.codec,
            clock=self.clock,
            board=self.board,
            app_id=self.app_id,
            timer=lambda: self.clock.now_ms() / 1000,
            random=random.Random(0),
            raised=self._raised,
            observer=self._observer,
        )
        for spec in specs:
            for table in spec.tables:
                if isinstance(table, MemoryTable):
                    table.checked = self._checked
        self._engine = Engine(specs, context)
        self._engine.prepare(self.partitions, self._topics)
        await self._engine.load(self._engine.everything())
        for place in self.places():
            self._pipeline(place)

    def crash(self, *, durable: int = 0) -> None:
        """Lose everything that is not in the log.

        Of the writes that a log in memory held back, the first `durable` ones have taken place nevertheless.
        """
        self._engine = None
        if isinstance(self.log, MemoryLog):
            self.log.lose_held(durable)

    async def restart(self, log: Log | None = None) -> None:
        """Crash (unless that has happened) and start again, on a log that was opened anew if one is given."""
        if self._engine is not None:
            self.crash()
        self.log = log if log is not None else self.log
        await self.start()

    @property
    def engine(self) -> Engine:
        """The agents that run.

        Raises:
            RuntimeError: not started, or crashed.
        """
        if self._engine is None:
            raise RuntimeError("the driver has not been started")
        return self._engine

    def agent(self, name: str) -> AgentRunner:
        """One agent: its spec, its counters, its breaker."""
        return self.engine.agents[name]

    # -- work -----------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Every partition of every agent."""
        return [
            Place(name, partition)
            for name, runner in self.engine.agents.items()
            for partition in range(self.log.partitions(runner.spec.topic.name))
        ]

    def busy(self) -> list[Place]:
        """The places that have something to read or to finish."""
        return [place for place in self.places() if self.lag(*place) or not self._pipeline(place).is_settled]

    def lag(self, agent: str, partition: int) -> int:
        """How many messages this place has not finished."""
        return self._pipeline(Place(agent, partition)).lag()

    async def step(self, agent: str, partition: int, *, limit: int | None = None, settle: bool = True) -> bool:
        """One turn of one place: a tick if it is due, else one attempt at a batch.

        Args:
            agent: its name.
            partition: of its input.
            limit: the most messages of the batch, if fewer than the agent's own limit.
            settle: wait until the unit is durable; without it, or while a log in memory holds writes back, units may
                be on their way, as in a worker.

        Returns:
            Whether something was done; False when there is nothing to do or the place has to wait.

        Raises:
            StaleUnit: the engine cannot go on without a restart.
            TableMisuse: the agent used a table against its contract.
        """
        pipeline = self._pipeline(Place(agent, partition))
        self.steps += 1
        if isinstance(self.log, MemoryLog) and self.log.holding:
            return (await self._step_held(pipeline, self.log, limit)).done
        turn = await pipeline.turn(limit=limit)
        if settle:
            await pipeline.settle()
        return turn.done

    async def _step_held(self, pipeline: Pipeline, log: MemoryLog, limit: int | None) -> Turn:
        """A turn while writes are held back: the oldest ones are let go as far as the turn has to wait for them."""
        turn = asyncio.ensure_future(pipeline.turn(limit=limit))
        while not turn.done():
            await asyncio.sleep(0)
            if not turn.done() and pipeline.stage is Stage.COMMIT:
                log.release(1)
        return turn.result()

    async def tick(self, agent: str | None = None, partition: int | None = None) -> None:
        """Call the tick of one place, or of all, whether it is due or not."""
        for place in self.places():
            if agent in (None, place.agent) and partition in (None, place.partition):
                await self._pipeline(place).tick()

    async def advance(self, seconds: float, *, tick: bool = True) -> None:
        """Move the clock; by default every agent's tick is called once afterwards."""
        self.clock.advance(seconds)
        if tick:
            await self.tick()

    async def run_until_idle(
        self,
        choose: Choose | None = None,
        *,
        limit: int | Callable[[], int] | None = None,
        max_steps: int = 100_000,
        after_step: Callable[[Place], Awaitable[None]] | None = None,
    ) -> int:
        """Work until every message is read and everything is durable. Gives the number of steps.

        When all that is left has to wait (after a `Retry`, say), the clock moves on. A place whose breaker is open
        never gets idle by itself: it is left alone.

        Args:
            choose: the order; by default evenly.
            limit: the most messages of a batch, or a function that gives it anew for each step.
            max_steps: give up after so many.
            after_step: awaited after each step.

        Raises:
            TimeoutError: still not idle after `max_steps`.
        """
        choose = choose or evenly()
        waiting: set[Place] = set()
        for count in range(max_steps):
            busy = [place for place in self.busy() if not self.agent(place.agent).breaker.is_open]
            if not busy:
                return count
            ready = [place for place in busy if place not in waiting]
            if not ready:
                self.clock.advance(0.25)
                waiting.clear()
                continue
            place = choose(ready)
            if await self.step(*place, limit=limit() if callable(limit) else limit):
                waiting.clear()
            else:
                waiting.add(place)
            if after_step is not None:
                await after_step(place)
        raise TimeoutError(f"not idle after {max_steps} steps: {self.busy()}")

    def _pipeline(self, place: Place) -> Pipeline:
        return self.engine.agents[place.agent].pipeline(place.partition)
