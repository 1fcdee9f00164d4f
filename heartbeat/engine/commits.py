"""The commits of one pipeline: units that are on their way to the log, and what is true when one fails.

Why several units may be on their way: each names the offset it comes from, and the log refuses it if its predecessor
is missing. A tick's unit does not move the offset, so nothing could tell that it is missing: a pipeline waits for it
before anything follows, and it counts the ticks in a state store, so that one can see whether it is there.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Final

from heartbeat.engine.log import TP, Log, Put
from heartbeat.engine.unit import Unit
from heartbeat.errors import StaleUnit

STORE: Final = "engine"
"""Where pipelines keep numbers, by agent and partition, written in the units themselves: `ticks`, how many ticks have
become durable, and `row`, how many dead letters in a row there were, so that a restart does not grant a bug 20 more."""


class CommitFailed(Exception):
    """A unit did not become durable: it and those behind it have to be undone."""


class Commits:
    """The units of one partition that are on their way, oldest first.

    Args:
        log: where they go.
        agent: whose they are.
        group: the agent's consumer group.
        tp: the partition.
        counted: told of each unit that became durable, and the seconds that took.

    Attributes:
        expected: where the next unit's step of the offset starts; None if the group has never committed.
        position: the same, or where the partition begins.
        row: dead letters in a row up to the last unit handed over.
        waiting: whether somebody waits for a commit right now.
    """

    def __init__(self, log: Log, agent: str, group: str, tp: TP, counted: Callable[[Unit, float], None]) -> None:
        self._log, self._agent, self._group, self._tp, self._counted = log, agent, group, tp, counted
        self._inflight: deque[tuple[Unit, Future[list[int]], float]] = deque()
        self._ticks, self.row = self._stored("ticks"), self._stored("row")
        self.waiting = False
        self._stand(log.committed(group, tp))

    def __len__(self) -> int:
        return len(self._inflight)

    def _stand(self, committed: int | None) -> None:
        self.expected = committed
        self.position = self._log.begin_offset(self._tp) if committed is None else committed

    def submit(self, unit: Unit) -> None:
        """Hand a sealed unit to the log."""
        if not unit.messages:
            self._ticks += 1
            self._store(unit, "ticks", self._ticks)
        elif unit.dead or (self.row and unit.messages > unit.aside):
            self.row = self.row + 1 if unit.dead else 0
            self._store(unit, "row", self.row)
        self._inflight.append((unit, self._log.write(unit.write), perf_counter()))
        self.expected = self.position = unit.end

    async def settle(self, leave: int = 0) -> None:
        """Wait until at most `leave` units are on their way.

        Raises:
            CommitFailed: the oldest one failed; call `undo`.
        """
        while self._inflight and (len(self._inflight) > leave or self._inflight[0][1].done()):
            unit, outcome, began = self._inflight[0]
            if not outcome.done():
                await self._wait([outcome])
            if error := outcome.exception():
                raise CommitFailed from error
            self._inflight.popleft()
            unit.durable()
            self._counted(unit, perf_counter() - began)

    async def undo(self, failure: CommitFailed) -> int:
        """Roll back every unit on its way, newest first, once all have their outcome. Gives how many they were.

        Raises:
            StaleUnit: it is not true that none of them is durable, or somebody else moved the offset. Only a restart
                knows what is true then.
        """
        outcomes = [outcome for _, outcome, _ in self._inflight]
        await self._wait(outcomes)
        reason, oldest = failure.__cause__, self._inflight[0][0]
        if any(earlier.exception() and not later.exception() for earlier, later in pairwise(outcomes)):
            raise StaleUnit(f"{self._where}: a unit became durable though the one before it did not") from reason
        ticked = not all(unit.messages for unit, _, _ in self._inflight)
        while self._inflight:
            self._inflight.pop()[0].rollback()
        if ticked and self._stored("ticks") == self._ticks:
            raise StaleUnit(f"{self._where}: a tick's unit became durable though its write had failed") from reason
        standing = self._log.committed(self._group, self._tp)
        if standing != oldest.start:
            raise StaleUnit(
                f"{self._where}: {self._group} stands at {standing}, not at {oldest.start}: a unit became durable "
                "whose write had failed, or somebody else reads this partition; a restart goes on from there"
            ) from reason
        self._ticks, self.row = self._stored("ticks"), self._stored("row")
        self._stand(standing)
        return len(outcomes)

    async def _wait(self, outcomes: list[Future[list[int]]]) -> None:
        """Wait for outcomes; unlike awaiting them, being cancelled meanwhile does not cancel them."""
        self.waiting = True
        try:
            await asyncio.wait(outcomes)
        finally:
            self.waiting = False

    @property
    def _where(self) -> str:
        return f"{self._tp.topic}/{self._tp.partition}"

    def _stored(self, name: str) -> int:
        key = f"{self._agent}/{name}".encode()
        return int(self._log.state(STORE).get_many(self._tp.partition, [key]).get(key, b"0"))

    def _store(self, unit: Unit, name: str, value: int) -> None:
        raw = b"%d" % value if value else None
        unit.puts.append(Put(STORE, self._tp.partition, f"{self._agent}/{name}".encode(), raw))
