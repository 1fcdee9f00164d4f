"""Writes windows again whose request may still take effect, over newer values: twice, once the server answers.

They are rows of a table, with their newest values. What a killed life had under way is not known, so that rows of
another life are due at once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from heartbeat.agents.influx_tables import AT_ONCE, FIRST, SECOND, Again, pack
from heartbeat.clock import Clock
from heartbeat.engine.agent import Table
from heartbeat.sinks.influx import AGAIN_AFTER_MS, InfluxSink, Unwritten
from heartbeat.windows.ids import WindowKey

FIRST_AFTER_MS, SECOND_AFTER_MS = AGAIN_AFTER_MS
WINDOWS_A_TICK: Final = 500
LONGEST_PAUSE_MS: Final = 30_000
SLICE: Final = 20
"""Windows dealt with between two turns of the event loop."""

Amend: TypeAlias = Callable[[WindowKey], Sequence[str] | None]
"""The points that a window is to be written again with: none if it is not to be; None to leave it as it is."""


class _Order(NamedTuple):
    """An `Amend` that rows have to follow; `done` once they durably do."""

    change: Amend
    done: asyncio.Future[None]


class _Part:
    """What is remembered of a partition between units; a restart begins anew."""

    def __init__(self) -> None:
        self.pause_ms = 0
        self.resume_ms = 0
        """When one may write again, after a time that could not."""
        self.orders: list[_Order] = []


class WritingAgain:
    """The windows that are to be written again. All but `amend` belongs into a unit of the agent.

    Args:
        sink: where they go.
        table: their rows.
        clock: for when they are due.
    """

    def __init__(self, sink: InfluxSink, table: Table[WindowKey, Again], clock: Clock) -> None:
        self._sink, self._table, self._clock = sink, table, clock
        self._life = secrets.randbits(63)
        self._parts: dict[int, _Part] = {}

    def _part(self, partition: int) -> _Part:
        return self._parts.setdefault(partition, _Part())

    async def note(
        self, partition: int, windows: Iterable[WindowKey], ends: Sequence[int], lines: Sequence[str], in_doubt: bool
    ) -> None:
        """Take over what has been written: windows of unknown outcome get a row each, those with one newest values.

        Args:
            partition: whose windows they are.
            windows: in the order of their lines.
            ends: where the lines of each window end.
            lines: of all of them.
            in_doubt: whether an earlier request may still write them.
        """
        again = self._table.part(partition)
        if not in_doubt and not len(again):
            return
        due_ms, begin = self._clock.now_ms() + FIRST_AFTER_MS, 0
        for count, (window, end) in enumerate(zip(windows, ends, strict=True), 1):
            row = again.get(window)
            if in_doubt:
                again[window] = Again(self._life, FIRST, due_ms, pack(lines[begin:end]))
            elif row is not None:
                again[window] = row._replace(packed=pack(lines[begin:end]))
            begin = end
            if not count % SLICE:
                await asyncio.sleep(0)

    async def write(self, partition: int, now_ms: int) -> None:
        """Write what is due, unless a pause is on or the server is away."""
        part, again = self._part(partition), self._table.part(partition)
        if 0 < part.resume_ms - now_ms <= LONGEST_PAUSE_MS or self._sink.shut_for_s() > 0 or not len(again):
            return
        due = [(window, row) for window, row in again.items() if self._is_due(row, now_ms)][:WINDOWS_A_TICK]
        if not due:
            return
        lines = [line for _, row in due for line in row.lines]
        try:
            await self._sink.lane(str(partition)).write(lines)
        except Unwritten as error:
            part.pause_ms = min(max(2 * part.pause_ms, 1000), LONGEST_PAUSE_MS)
            part.resume_ms = now_ms + part.pause_ms
            if error.unsure:  # this request, too, may be written later: all over again for its windows
                for window, row in due:
                    again[window] = row._replace(life=self._life, left=AT_ONCE, due_ms=now_ms)
            return
        part.pause_ms = 0
        now_ms = self._clock.now_ms()
        for window, row in due:
            left = row.left if row.life == self._life else AT_ONCE
            if left == AT_ONCE:
                again[window] = row._replace(life=self._life, left=FIRST, due_ms=now_ms + FIRST_AFTER_MS)
            elif left == FIRST:
                again[window] = row._replace(left=SECOND, due_ms=now_ms + SECOND_AFTER_MS)
            else:
                del again[window]

    async def amend(self, partition: int, change: Amend) -> None:
        """Have rows follow this; returns when they durably do."""
        order = _Order(change, asyncio.get_running_loop().create_future())
        self._part(partition).orders.append(order)
        await order.done

    def obey(self, partition: int) -> None:
        """Follow what was asked for by `amend`.

        Where nothing is left to change, the unit that changed it is durable: ticks wait for each other's.
        """
        part, again = self._part(partition), self._table.part(partition)
        for order in list(part.orders):
            amended = [(window, row, order.change(window)) for window, row in again.items()]
            amended = [one for one in amended if one[2] is not None and list(one[2]) != one[1].lines]
            for window, row, lines in amended:
                if lines:
                    again[window] = row._replace(packed=pack(lines))
                else:
                    del again[window]
            if not amended:
                part.orders.remove(order)
                if not order.done.done():
                    order.done.set_result(None)

    def _is_due(self, row: Again, now_ms: int) -> bool:
        """Whether a window is to be written again now; at once, too, if the clock has jumped back."""
        return row.life != self._life or not now_ms < row.due_ms <= now_ms + SECOND_AFTER_MS
