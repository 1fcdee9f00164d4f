"""An agent that gives closed windows their insights: fields beside the points that a sink writes of them.

pulse (Pulse) ─► a sink. It writes no points of its own but fields of the points that are there, or will be: the same
series and time. So neither waits for the other, and to write them again changes nothing.

A share of voice needs what all tasks say, and their windows close in other partitions; so a window is written when it
is `SETTLE_MS` old, and not before the history, which everything is read from, has stored its record, and what feeds
said before it of times that they have not heard. When a window is corrected its fields are written again. When only
others are that it is held against, they are not: such changes are small, and writing the history again (a command of
the sink) makes them good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from heartbeat.clock import Clock
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.deadletters import set_aside
from heartbeat.engine.log import TP
from heartbeat.errors import HistoryError, InfluxError, Retry
from heartbeat.records import Late, Pulse
from heartbeat.sinks.insight_fields import InsightFields, Window
from heartbeat.topics import PULSE

NAME: Final = "insight-points"
MAX_MESSAGES: Final = 1_000
SETTLE_MS: Final = 5_000
"""How long after one window of a time has closed those of all tasks have, as a rule: watermarks come each second."""
HISTORY_AFTER_S: Final = 0.5
"""How long to wait for history, which reads the same topic."""

Write: TypeAlias = Callable[[int, Mapping[Window, Mapping[str, float]]], Awaitable[Mapping[Window, str]]]
"""Writes the fields of windows of a partition; returns when they are there, and raises `Retry` where that may pass.

Gives the windows whose fields will never be taken, and why."""


def window_of(pulse: Pulse) -> Window:
    """Which window a record is about."""
    return pulse.task, pulse.size_s, pulse.start_ms


class InsightPoints:
    """See the top of the module.

    Args:
        fields: what is written; asked in a thread, by one batch at a time.
        write: how.
        clock: tells how old a window is.
        read: up to where history has read a partition; what is not for it leaves no trace in its file.
        unheard: begins to wait; gives how many of the messages that are there now, and may tell of times that were not
            heard, history has not stored.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        fields: Callable[[], InsightFields],
        write: Write,
        clock: Clock,
        *,
        read: Callable[[TP], int] = lambda _: 0,
        unheard: Callable[[], Callable[[], int]] = lambda: lambda: 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fields, self._write, self._clock, self._sleep = fields, write, clock, sleep
        self._history_read, self._unheard = read, unheard
        self._waits: dict[int, tuple[int, Callable[[], int]]] = {}
        self._one = asyncio.Lock()

    def spec(self) -> AgentSpec:
        """The agent as the engine runs it."""
        return AgentSpec(NAME, PULSE, self, max_messages=MAX_MESSAGES, linger_s=1.0, max_inflight=1)

    async def __call__(self, batch: Batch[Pulse | Late], emit: Emit) -> None:
        """Write the fields of the batch's closed windows."""
        closed = [event for event in batch if type(event.value) is Pulse and event.value.final]
        if not closed:
            return
        known = self._waits.get(batch.partition)
        if known is None or known[0] != closed[-1].offset:  # else it comes again, and waits for no more than it did
            known = self._waits[batch.partition] = closed[-1].offset, self._unheard()
        young_ms = closed[-1].timestamp_ms + SETTLE_MS - self._clock.now_ms()
        if 0 < young_ms <= SETTLE_MS:
            await self._sleep(young_ms / 1000)
        if known[1]():
            raise Retry(
                "waits for the history, which has not stored what feeds have missed yet", after_s=HISTORY_AFTER_S
            )
        windows: Sequence[Window] = list(
            dict.fromkeys(window_of(event.value) for event in closed if isinstance(event.value, Pulse))
        )
        async with self._one:
            try:
                found = await asyncio.to_thread(self._read, batch, closed[-1].offset, windows)
            except HistoryError as error:
                raise Retry(str(error)) from error
        if found is None:
            raise Retry("waits for the history, which has not stored a window yet", after_s=HISTORY_AFTER_S)
        if not found:
            return
        refused = await self._write(batch.partition, found)
        newest = {window_of(event.value): event for event in closed if isinstance(event.value, Pulse)}
        for window, why in refused.items():
            refusal = InfluxError(f"{why} (fields of insights were refused)")
            set_aside(newest[window], refusal, at_ms=self._clock.now_ms())

    def _read(
        self, batch: Batch[Pulse | Late], offset: int, windows: Sequence[Window]
    ) -> dict[Window, dict[str, float]] | None:
        fields = self._fields()
        stored = self._history_read(batch.tp) > offset or fields.has_stored(batch.tp.topic, batch.partition, offset)
        return fields.of(windows) if stored else None
