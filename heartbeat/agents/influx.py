"""The agent `influx`: windows and their corrections into InfluxDB, without loss.

pulse (Pulse, Late) ─► InfluxDB. A batch is written before its handler returns, so the offset moves on only when
InfluxDB has the points. Points are keyed by the start of their window: to write one again changes nothing.

That is not enough where a request's outcome is unknown (it hung, its connection broke, we were killed): it may still
be written later, over newer values of the same windows. So these windows are written again some seconds and once more
a minute after the server has answered (`influx_again`). What a killed life had under way is not known, so the first
messages of each life count as of unknown outcome.

A late retraction changes windows that are sealed. History works that out (it knows which posts were counted); this
agent waits until history has stored the retraction, and writes what history says then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from heartbeat.agents.influx_again import SLICE, Amend, WritingAgain
from heartbeat.agents.influx_changes import Change, Doubts, after, both, is_in, newest, shown
from heartbeat.agents.influx_tables import InfluxTables, Written
from heartbeat.clock import Clock
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.engine.deadletters import set_aside
from heartbeat.engine.log import TP
from heartbeat.errors import HistoryError, InfluxError, Retry
from heartbeat.records import Late, Pulse
from heartbeat.sinks.history import History
from heartbeat.sinks.influx import InfluxSink, Refusal, Unwritten
from heartbeat.sinks.influx_lines import NO_NAMES, Names, names_of, window_lines
from heartbeat.topics import PULSE
from heartbeat.windows.ids import WindowKey

NAME: Final = "influx"
MAX_MESSAGES: Final = 1_000
LINGER_S: Final = 1.0
FORGET_EVERY_MS: Final = 10_000
FORGOTTEN_AT_ONCE: Final = 500
HISTORY_WAIT_S: Final = 2.0
"""How long to wait within a batch for history, which reads the same topic: as a rule that is enough."""
HISTORY_LOOK_S: Final = 0.05
SHOWN_POINTS: Final = 3
"""Points that a dead letter names."""


class _Part:
    """What is remembered of a partition between units; a restart begins anew."""

    def __init__(self, first: int) -> None:
        self.doubts = Doubts(first)
        self.failing = False
        """The last batch could not be written; it comes again by itself."""
        self.forget_ms = 0


class InfluxAgent:
    """Writes windows; see the top of the module.

    Args:
        sink: where they go.
        history: knows what late retractions do to sealed windows.
        tables: only this agent writes them.
        clock: for when windows are written again.
        keep_ms: how long a window may change after it was last written.
        read: up to where history has read a partition of `pulse`. What is not for it (a message given back to this
            agent alone) or went to its dead letters leaves no trace in its file, so that the file cannot tell.
        max_messages: of a batch.
        linger_s: how long a batch may take to fill.
        history_wait_s: how long a batch waits for history before it is put off.
    """

    def __init__(
        self,
        sink: InfluxSink,
        history: History,
        tables: InfluxTables,
        clock: Clock,
        *,
        keep_ms: int,
        read: Callable[[TP], int] = lambda _: 0,
        max_messages: int = MAX_MESSAGES,
        linger_s: float = LINGER_S,
        history_wait_s: float = HISTORY_WAIT_S,
    ) -> None:
        self._sink, self._history, self._tables, self._clock = sink, history, tables, clock
        self._keep_ms, self._max_messages, self._linger_s = keep_ms, max_messages, linger_s
        self._read = read
        self._history_looks = max(round(history_wait_s / HISTORY_LOOK_S), 1)
        self._again = WritingAgain(sink, tables.again, clock)
        self._parts: dict[int, _Part] = {}

    def spec(self) -> AgentSpec:
        """The agent as the engine runs it. Never two units on their way: what is in doubt is then one batch."""
        return AgentSpec(
            NAME,
            PULSE,
            self,
            tick=self.tick,
            max_messages=self._max_messages,
            linger_s=self._linger_s,
            max_inflight=1,
            tables=self._tables.all(),
        )

    def _part(self, partition: int) -> _Part:
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = _Part(self._max_messages)
        return part

    # -- batches --------------------------------------------------------------------------------------------------

    async def __call__(self, batch: Batch[Pulse | Late], emit: Emit) -> None:
        """Write the newest values of the batch's windows; returns when InfluxDB has them."""
        part = self._part(batch.partition)
        in_doubt = part.doubts.cover(batch)
        changes = newest(batch)
        for window, corrected in (await self._corrections(batch)).items():
            changes[window] = after(changes.get(window), corrected)
        if not changes:
            return
        now_ms = self._clock.now_ms()
        written = self._tables.written.part(batch.partition)
        known = written.get_many(list(changes))
        lines: list[str] = []
        ends: list[int] = []
        for count, (window, change) in enumerate(changes.items(), 1):
            row = known.get(window)
            before = both(row.names if row else NO_NAMES, change.gone)
            lines += window_lines(change.pulse, before=before, late=change.knows_late)
            ends.append(len(lines))
            names = both(before, names_of(change.pulse))
            if row is None or row.names != names or now_ms - row.at_ms > self._keep_ms // 2:
                written.put(window, Written(names, now_ms), expires_ms=now_ms + 2 * self._keep_ms)
            if not count % SLICE:
                await asyncio.sleep(0)
        try:
            refused = await self._sink.lane(str(batch.partition)).write(lines)
        except Unwritten as error:
            part.failing = True
            if error.unsure:
                part.doubts.add(batch)
            raise Retry("waits for InfluxDB (sink/influx says why)", after_s=error.after_s) from error
        except asyncio.CancelledError:
            part.doubts.add(batch)
            raise
        part.failing = False
        self._set_aside(list(changes.values()), ends, refused, lines)
        await self._again.note(batch.partition, changes, ends, lines, in_doubt)

    async def _corrections(self, batch: Batch[Pulse | Late]) -> dict[WindowKey, Change]:
        """What late retractions have made of windows that are sealed, as history has it."""
        late = [event for event in batch if type(event.value) is Late and event.value.op == "retract"]
        posts = [event.value for event in late if isinstance(event.value, Late)]
        if not posts:
            return {}
        last = late[-1]
        found = {}
        # the whole batch: what history says replaces what the batch says, also of a window that is still open
        for pulse in await self._history_after(batch, batch.events[-1].offset, posts):
            inside = [post for post in posts if post.task == pulse.task and is_in(post, pulse)]
            models = {post.model for post in inside if post.model is not None}
            gone = Names(tuple({post.lang for post in inside}), tuple({post.source for post in inside}), tuple(models))
            found[pulse.task, pulse.size_s, pulse.start_ms] = Change(last, pulse, False, gone)
        return found

    async def _history_after(self, batch: Batch[Pulse | Late], offset: int, posts: list[Late]) -> list[Pulse]:
        """The windows of these posts once history has stored everything up to this offset."""
        for look in range(self._history_looks):
            if look:
                await asyncio.sleep(HISTORY_LOOK_S)
            through = -1 if self._read(batch.tp) > offset else offset
            try:
                windows = await self._history.holding(batch.tp, through, posts)
            except HistoryError as error:
                raise Retry(str(error)) from error
            if windows is not None:
                return windows
        raise Retry("waits for the history, which has not stored a retraction yet")

    def _set_aside(
        self, changes: Sequence[Change], ends: Sequence[int], refused: Sequence[Refusal], lines: Sequence[str]
    ) -> None:
        """What InfluxDB will never take goes to dead letters: one for each message, with the points and the reason."""
        if not refused:
            return
        indexes = {refusal.at: refusal.why for refusal in refused}
        now_ms, begin = self._clock.now_ms(), 0
        for change, end in zip(changes, ends, strict=True):
            mine = [index for index in range(begin, end) if index in indexes]
            begin = end
            if mine:
                points = "; ".join(shown(lines[index]) for index in mine[:SHOWN_POINTS])
                more = f" and {len(mine) - SHOWN_POINTS} more" if len(mine) > SHOWN_POINTS else ""
                error = InfluxError(f"{indexes[mine[0]]} (points refused: {points}{more})")
                set_aside(change.event, error, at_ms=now_ms)

    # -- ticks ----------------------------------------------------------------------------------------------------

    async def tick(self, partition: int, now_ms: int, emit: Emit) -> None:
        """Write windows again that are due, and forget what can change no more."""
        part = self._part(partition)
        if not 0 < part.forget_ms - now_ms <= FORGET_EVERY_MS:
            part.forget_ms = now_ms + FORGET_EVERY_MS
            written = self._tables.written.part(partition)
            for window, _ in written.expired(now_ms, FORGOTTEN_AT_ONCE):
                written.delete(window)
        self._again.obey(partition)
        if not part.failing:
            await self._again.write(partition, now_ms)

    async def amend(self, partition: int, change: Amend) -> None:
        """Have windows that are still to be written again follow this; returns when they durably do."""
        await self._again.amend(partition, change)
