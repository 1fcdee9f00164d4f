"""One partition of one agent: read, decode, handler, submit; in order, one turn at a time.

A turn does one thing that is due: a tick, or one attempt at the messages at hand. A batch that failed lies at hand as
its halves, until the bad message stands alone and goes to dead letters.

Stages say what may be cut short when the worker stops: idle at once, a handler after a grace, a commit never, since its
outcome has to be known.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from heartbeat.engine.agent import Batch
from heartbeat.engine.commits import CommitFailed, Commits
from heartbeat.engine.handling import HandlerCancelled, Handling
from heartbeat.engine.log import TP, LogRecord
from heartbeat.engine.reader import Reader
from heartbeat.engine.rejection import Rejection
from heartbeat.engine.ticks import Ticks
from heartbeat.engine.unit import Unit
from heartbeat.engine.waiting import Waiting
from heartbeat.errors import LogError, Retry

if TYPE_CHECKING:
    from heartbeat.engine.runner import AgentRunner

PATIENCE_S: Final = 5.0
"""How long a read waits when nothing else is due."""
LONGEST_SLEEP_S: Final = 1.0
"""How long a pipeline sleeps at most while it has to wait: then it looks whether the breaker has closed."""


class Turn(NamedTuple):
    """What came of a turn: something was done, or there is nothing to do, or there is before `wait_s` are over."""

    done: bool
    wait_s: float = 0.0


DONE: Final = Turn(True)
NOTHING: Final = Turn(False)


class Stage(Enum):
    """What a pipeline is about."""

    IDLE = 0
    HANDLER = 1
    COMMIT = 2


class Pipeline:
    """One partition of one agent."""

    def __init__(self, runner: AgentRunner, tp: TP) -> None:
        self.tp = tp
        self.task: Task[None] | None = None
        self._runner, self._spec, self._context = runner, runner.spec, runner.context
        self._commits = Commits(self._context.log, self._spec.name, runner.group, tp, self._count)
        self._reader = Reader(self._context.log, self._context.codec, self._spec.name, tp, self._commits.position)
        self._handling = Handling(runner, tp)
        self._rejection = Rejection(runner, tp)
        self._ticks = Ticks(runner, tp.partition)
        self._waiting = Waiting(runner, tp.partition)
        self._closing = False
        runner.breaker.restore(tp.partition, self._commits.row)

    def lag(self) -> int:
        """How many messages are not finished, counted by offsets."""
        return max(self._context.log.end_offset(self.tp) - self._commits.position, 0)

    @property
    def stage(self) -> Stage:
        """What it is about at the moment."""
        if self._handling.is_under_way:
            return Stage.HANDLER
        return Stage.COMMIT if self._commits.waiting else Stage.IDLE

    @property
    def is_settled(self) -> bool:
        """Whether no unit waits for its commit."""
        return not len(self._commits)

    # -- running by itself ----------------------------------------------------------------------------------------

    def start(self, crash: Callable[[BaseException], None]) -> None:
        """Work until interrupted. `crash` is told of an error that only a restart can mend."""
        self.task = asyncio.create_task(self._run(crash), name=f"{self._spec.name}/{self.tp.partition}")

    def interrupt(self, *, force: bool = False) -> None:
        """Begin to stop; `force` cuts a handler short too."""
        self._closing = True
        if self.task is not None and (self.stage is Stage.IDLE or (force and self.stage is Stage.HANDLER)):
            self.task.cancel()

    async def _run(self, crash: Callable[[BaseException], None]) -> None:
        try:
            try:
                while not self._closing:
                    turn = await self.turn(patience_s=PATIENCE_S, linger_s=self._spec.linger_s)
                    # it may have been asked to stop while it waited for a commit, which is not cut short
                    await asyncio.sleep(0 if turn.done or self._closing else min(turn.wait_s, LONGEST_SLEEP_S))
            except asyncio.CancelledError:
                if not self._closing:
                    raise
            try:
                await self._commits.settle()
            except CommitFailed as error:  # the next start reads these messages again
                await self._commits.undo(error)
        except Exception as error:
            crash(error)

    async def turn(self, *, limit: int | None = None, patience_s: float = 0.0, linger_s: float = 0.0) -> Turn:
        """Do one thing that is due.

        Args:
            limit: the most messages of a batch, if fewer than the agent's own `max_messages`.
            patience_s: how long to wait for a message when there is nothing to do; 0 never waits.
            linger_s: how long to wait for a batch to fill.

        Raises:
            StaleUnit: somebody else moved the offset, or it is not known what became durable: only a restart knows.
        """
        try:
            now = self._context.timer()
            if self._ticks.are_due(now):
                return await self._tick()
            wait_s = self._waiting.left_s(now)
            if wait_s > 0:
                await self._commits.settle()
                return Turn(False, self._ticks.until_next(wait_s))
            limit = limit or self._spec.max_messages
            more = self._ticks.wants_more
            if not self._reader.first and not await self._read(limit, 0.0 if more else patience_s, linger_s):
                return await self._tick() if more else NOTHING
            return await self._attempt()
        except CommitFailed as error:
            return await self._rewind(error)

    async def tick(self) -> Turn:
        """Call the agent's tick now, whether it is due or not."""
        try:
            return await self._tick() if self._spec.tick is not None else NOTHING
        except CommitFailed as error:
            return await self._rewind(error)

    async def settle(self) -> None:
        """Wait until every unit is durable or undone."""
        try:
            await self._commits.settle()
        except CommitFailed as error:
            await self._rewind(error)

    # -- batches --------------------------------------------------------------------------------------------------

    async def _read(self, limit: int, patience_s: float, linger_s: float) -> bool:
        """Have a batch at hand; waits for one only when no unit is on its way."""
        try:
            found = await self._reader.read(limit, linger_s=linger_s)
            if not found:
                await self._commits.settle()
                if self._reader.position > self._commits.position:  # what lay there has been erased
                    await self._pass_over()
                if patience_s > 0 and not self._closing:
                    wait_s = self._ticks.until_next(patience_s)
                    found = await self._reader.read(limit, wait_s=wait_s, linger_s=linger_s)
        except LogError as error:
            self._wait("read", f"the log cannot be read: {error}", self._waiting.handler.next_s())
            return False
        self._runner.well(self.tp.partition, "read")
        return found

    async def _pass_over(self) -> None:
        """Have the offset say that nothing is left to be read: others wait until it does."""
        unit = self._unit(self._reader.position, 0)
        unit.seal()
        self._commits.submit(unit)
        self._runner.stats.inflight += 1
        await self._commits.settle()

    async def _attempt(self) -> Turn:
        """One attempt at the first piece at hand."""
        events, good, bad = self._reader.decode()
        if bad is not None:
            self._reader.split(max(good, 1))
            if not good:
                return await self._throw_out(self._reader.first[0], bad)
        records = self._reader.first
        unit = self._unit(records[-1].offset + 1, len(records))
        if not events:
            unit.seal()
            return await self._submit(unit)
        try:
            await self._handling.call(unit, self._spec.handler(Batch(self.tp, events), unit.emit))
        except self._context.raised:
            raise
        except (Retry, LogError, HandlerCancelled) as error:
            self._runner.stats.retries += 1
            asked = error.after_s if isinstance(error, Retry) else None
            return self._wait("handler", str(error), self._waiting.handler.next_s() if asked is None else asked)
        except Exception as error:
            if len(records) > 1:
                self._runner.stats.halvings += 1
                self._reader.split(len(records) // 2)
                return DONE
            return await self._throw_out(records[0], error)
        return await self._submit(unit)

    async def _throw_out(self, record: LogRecord, error: BaseException) -> Turn:
        """One message goes to dead letters, unless the breaker says that it is not the messages' fault."""
        await self._commits.settle()  # only then has the breaker seen everything before it
        wait_s = self._rejection.stays(record, error)
        if wait_s is not None:
            return Turn(False, self._ticks.until_next(wait_s))
        unit = self._unit(record.offset + 1, 1)
        self._rejection.throw_out(unit, record, error)
        unit.seal()
        return await self._submit(unit)

    # -- ticks ----------------------------------------------------------------------------------------------------

    async def _tick(self) -> Turn:
        """Call the agent's tick as a unit of its own; one that raises is undone, and due again (see `ticks`)."""
        spec, context = self._spec, self._context
        assert spec.tick is not None
        unit = self._unit(self._commits.position, 0)
        self._ticks.wants_more = False
        try:
            more = await self._handling.call(unit, spec.tick(self.tp.partition, context.clock.now_ms(), unit.emit))
        except context.raised:
            raise
        except Exception as error:
            self._ticks.failed(error)
            return DONE
        self._ticks.returned()
        if unit.appends or unit.puts:
            self._commits.submit(unit)
            self._runner.stats.inflight += 1
            await self._commits.settle()  # if that fails, the tick stays due
        self._ticks.done(more=bool(more))
        return DONE

    # -- units ----------------------------------------------------------------------------------------------------

    def _unit(self, end: int, messages: int) -> Unit:
        return self._handling.unit(self._commits.expected, end, messages)

    async def _submit(self, unit: Unit) -> Turn:
        """Hand over a unit of messages; they are done unless its commit fails."""
        self._waiting.handler.reset()
        self._runner.well(self.tp.partition, "handler")
        self._reader.drop()
        self._commits.submit(unit)
        self._runner.stats.inflight += 1
        probing = self._runner.breaker.tripped_by == self.tp.partition
        await self._commits.settle(0 if probing else self._spec.max_inflight - 1)
        return DONE

    def _count(self, unit: Unit, seconds: float) -> None:
        """A unit has become durable."""
        stats, breaker, partition = self._runner.stats, self._runner.breaker, self.tp.partition
        stats.inflight -= 1
        stats.commit_s += seconds
        stats.emitted += len(unit.appends)
        stats.messages += unit.messages
        stats.dead_letters += unit.aside
        stats.batches += 1 if unit.messages else 0
        self._context.observer.committed(unit, seconds)
        if unit.dead:
            stats.dead_letters += 1
            breaker.died(partition)
        elif unit.messages:
            breaker.succeeded(partition, unit.messages - unit.aside)
            if not breaker.is_open:
                self._runner.well(partition, "breaker")
        self._waiting.commit.reset()
        self._runner.well(partition, "commit")

    # -- waiting --------------------------------------------------------------------------------------------------

    async def _rewind(self, error: CommitFailed) -> Turn:
        """Disk full and the like: undo what is not durable, wait, read it again."""
        self._runner.stats.inflight -= await self._commits.undo(error)
        self._runner.stats.rewinds += 1
        self._reader.go_to(self._commits.position)
        wait_s = self._waiting.commit.next_s()
        self._ticks.put_off(wait_s)
        return self._wait("commit", f"cannot write to the log: {error.__cause__}", wait_s)

    def _wait(self, kind: str, why: str, wait_s: float) -> Turn:
        """Not the messages' fault: the same again after a while; only this partition waits."""
        self._waiting.begin(kind, why, wait_s)
        return Turn(False, self._ticks.until_next(wait_s))
