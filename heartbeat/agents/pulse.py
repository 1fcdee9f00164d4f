"""The agent `pulse`: adds scores up in windows of event time, and publishes them.

sentiment (Scored, by task) ─► pulse (Pulse, Late), in the same partition. What holds is in docs/semantics.md.

A batch is added up first and each of its windows touched once. Closing, sealing and publishing are done in slices: so
many windows between two turns of the event loop, and so many in a unit, since sealing and packing a unit cannot be
interrupted; the rest comes with the next batch, or with a tick that follows at once. A window is one record and one row
with all its parts, and what is due stays due until it is done: so where a unit ends changes no window.
"""

from __future__ import annotations

import asyncio
from typing import Final

from heartbeat import topics
from heartbeat.agents.pulse_part import SLICE, PulsePart, PulseTables
from heartbeat.clock import Clock
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.records import Heartbeat, Late, Scored
from heartbeat.windows import state as life
from heartbeat.windows.ids import Layout, WindowId, WindowKey
from heartbeat.windows.state import WindowState
from heartbeat.windows.tally import Tally

TICK_S: Final = 0.25
_WINDOWS_A_UNIT: Final = 1000


class _Budget:
    """How many more windows this unit may touch; lets the event loop turn after each slice."""

    __slots__ = ("left",)

    def __init__(self, windows: int) -> None:
        self.left = windows

    async def spend(self) -> None:
        self.left -= 1
        if not self.left % SLICE:
            await asyncio.sleep(0)


class PulseAgent:
    """Adds scores up in event-time windows for each task, and closes them.

    Args:
        tables: only this agent writes them.
        clock: for the intervals of publishing and the longest wait; watermarks come from heartbeats alone.
        partitions: of the topics `ingest` and `sentiment`.
        layout: the sizes of the windows.
        publish_ms: the least time between two publications of a window that is not closing.
        lateness_ms: how long after its end a closed window takes corrections.
        longest_wait_ms: after its last change, by the clock, a window is sealed whatever its feeds do.
        windows_a_unit: how many windows a unit closes, seals and publishes at most, beside those of its batch.
    """

    def __init__(
        self,
        tables: PulseTables,
        clock: Clock,
        *,
        partitions: int,
        layout: Layout,
        publish_ms: int,
        lateness_ms: int,
        longest_wait_ms: int,
        windows_a_unit: int = _WINDOWS_A_UNIT,
    ) -> None:
        self._tables, self._clock, self._layout = tables, clock, layout
        self._partitions, self._publish_ms = partitions, publish_ms
        self._lateness_ms, self._longest_wait_ms = lateness_ms, longest_wait_ms
        self._windows_a_unit = windows_a_unit
        self._parts: dict[int, PulsePart] = {}

    def spec(self, *, max_messages: int) -> AgentSpec:
        """The agent as the engine runs it."""
        return AgentSpec(
            "pulse",
            topics.SENTIMENT,
            self,
            tick=self.tick,
            tick_s=TICK_S,
            max_messages=max_messages,
            tables=self._tables.all(),
        )

    def part(self, partition: int) -> PulsePart:
        """One partition, as its rows have it."""
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = PulsePart(
                self._tables,
                partition,
                partitions=self._partitions,
                layout=self._layout,
                publish_ms=self._publish_ms,
                lateness_ms=self._lateness_ms,
            )
        part.refresh()
        return part

    async def __call__(self, batch: Batch[Scored | Heartbeat], emit: Emit) -> None:
        """Add a batch up, then close, seal and publish what is due."""
        part, now_ms = self.part(batch.partition), self._clock.now_ms()
        part.begin()
        tally, late = Tally(self._layout, part.spans, part.layout.pane_ms), _LatePosts()
        sealed: dict[str, int] = {}
        for event in batch:
            value = event.value
            if isinstance(value, Heartbeat):
                part.hear(value)
                sealed.clear()
                continue
            task = value.task
            through_ms = sealed.get(task)
            if through_ms is None:
                through_ms = sealed[task] = part.progress(task).sealed_through_ms
            if value.late or value.time_ms < through_ms:
                late.add(value, event.offset)
            else:
                tally.count(value)
        await self._apply(part, tally, now_ms)
        await self._publish_late(part, late, now_ms, batch.partition, emit)
        await self._work(part, now_ms, batch.partition, emit)
        await part.write()

    async def tick(self, partition: int, now_ms: int, emit: Emit) -> bool:
        """Go on with what is due, and seal what has waited for the longest time. Gives whether there is more to do."""
        part = self.part(partition)
        waited = part.waited(now_ms, self._longest_wait_ms)
        if not (waited or part.pending or part.schedule.waits_to_publish(now_ms) or part.through()):
            return False
        part.begin()
        for task, end_ms in waited:
            part.seal_through(task, end_ms)
        more = await self._work(part, now_ms, partition, emit)
        await part.write()
        return more

    async def _apply(self, part: PulsePart, tally: Tally, now_ms: int) -> None:
        """Change the windows of a batch; nothing is published yet."""
        for count, (window, delta) in enumerate(tally.deltas().items(), 1):
            before = part.window(window)
            after = life.changed(before, delta, now_ms)
            if after is None:
                if before is not None:
                    part.drop(window)
            elif after is not before:
                part.keep(window, after)
                part.pending[window[0]] = None
            if not count % SLICE:
                await asyncio.sleep(0)

    async def _publish_late(self, part: PulsePart, late: _LatePosts, now_ms: int, partition: int, emit: Emit) -> None:
        """Pass on what came for sealed windows, after the last word on those windows: history corrects that."""
        budget = _Budget(0)
        for offset, post, own in late.posts:
            if post.op == "retract" and not own:
                for window in part.layout.windows_of(post.task, post.time_ms):
                    if part.window(window) is not None:
                        self._seal(part, window, now_ms, partition, emit)
                        await budget.spend()
            emit(topics.PULSE, post, key=f"{topics.LATE_KEY}{offset}", partition=partition)
        for task, posts in late.counts.items():
            part.count_late(task, posts)

    async def _work(self, part: PulsePart, now_ms: int, partition: int, emit: Emit) -> bool:
        """Close, seal and publish what is due, as far as the budget goes. Gives whether it ran out."""
        budget, schedule = _Budget(self._windows_a_unit), part.schedule
        for task in part.due():
            watermark_ms = part.closing_ms(task)
            through_ms = part.progress(task).sealed_through_ms
            while budget.left > 0 and (window := schedule.next_sealing(task, through_ms)) is not None:
                self._seal(part, window, now_ms, partition, emit)
                await budget.spend()
            while budget.left > 0 and (window := schedule.pop_closing(task, watermark_ms)) is not None:
                state = part.window(window)
                if state is not None and not state.final:
                    self._publish(part, window, life.closed(state, now_ms), partition, emit)
                    await budget.spend()
            if budget.left <= 0:
                return True
            part.done(task)
        while budget.left > 0 and (window := schedule.pop_publishing(now_ms)) is not None:
            state = part.window(window)
            if state is not None and state.dirty:
                self._publish(part, window, life.published(state, now_ms), partition, emit)
                await budget.spend()
        for feed in part.through():
            part.forget(feed)
        return budget.left <= 0

    def _publish(self, part: PulsePart, window: WindowKey, state: WindowState, partition: int, emit: Emit) -> None:
        part.put(window, state)
        self._tell(part, window, state, partition, emit)

    def _seal(self, part: PulsePart, window: WindowKey, now_ms: int, partition: int, emit: Emit) -> None:
        """Say the last word on a window, unless it has been said, and remove it."""
        state = part.window(window)
        if state is not None and (state.dirty or not state.final):
            last = life.published(state, now_ms) if state.final else life.closed(state, now_ms)
            self._tell(part, window, last, partition, emit)
        part.drop(window)

    def _tell(self, part: PulsePart, window: WindowKey, state: WindowState, partition: int, emit: Emit) -> None:
        late = part.progress(window[0]).late
        emit(topics.PULSE, state.pulse(window, late), key=str(WindowId._make(window)), partition=partition)


class _LatePosts:
    """What came for sealed windows in a batch, in order, and how many posts of each task."""

    __slots__ = ("counts", "posts")

    def __init__(self) -> None:
        self.posts: list[tuple[int, Late, bool]] = []
        """With the offset, which names the record for good (one post may have several), and with whether the post
        itself had come too late: its windows then never held it."""
        self.counts: dict[str, int] = {}

    def add(self, post: Scored, offset: int) -> None:
        self.posts.append((offset, Late._make(post[:-2]), post.late))
        if post.op == "add":
            self.counts[post.task] = self.counts.get(post.task, 0) + 1
        elif post.late:
            self.counts[post.task] = self.counts.get(post.task, 0) - 1
