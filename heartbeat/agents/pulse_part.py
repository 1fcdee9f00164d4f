"""One partition of `pulse`: its rows, and what is made from them to find things fast.

Watermarks and the schedule are made from rows and never written. When a unit is undone, the tables are put back but
these are not; so every unit that changes them leaves a number of its own in a row, and when that row holds another
number than expected, they are made anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from heartbeat.agents.decoded import DecodedWindows
from heartbeat.agents.scored import REPLAY
from heartbeat.engine.agent import Table
from heartbeat.engine.tables import MemoryTable, TableCodec
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Heartbeat
from heartbeat.topics import partition_of
from heartbeat.windows import spans as sizes
from heartbeat.windows.ids import Layout, WindowId, WindowKey
from heartbeat.windows.progress import NO_PROGRESS, Progress
from heartbeat.windows.schedule import Schedule
from heartbeat.windows.spans import Spans
from heartbeat.windows.state import Glance, WindowState
from heartbeat.windows.watermarks import FeedOrigin, Mark, Watermarks, tasks_from_bytes, tasks_to_bytes

SLICE: Final = 25
"""How many windows are dealt with between two turns of the event loop: a millisecond or two, for each partition."""
UNIT_ROW: Final = ""
"""The row of `progress` that holds the number of the newest unit; no task has an empty name."""


@dataclass(frozen=True, slots=True)
class PulseTables:
    """The tables that `pulse` alone writes, all in memory.

    Attributes:
        windows: the windows that are not sealed, each a `WindowState` as bytes.
        watermarks: each feed's newest promise for each origin partition.
        served: the tasks of this partition that a feed serves, as it said in each origin partition.
        progress: of each task.
    """

    windows: Table[WindowKey, bytes]
    watermarks: Table[FeedOrigin, Mark]
    served: Table[FeedOrigin, tuple[str, ...]]
    progress: Table[str, Progress]

    @classmethod
    def in_memory(cls) -> PulseTables:
        """The tables `windows`, `watermarks`, `served` and `progress`, with their changelogs."""
        feed_key = FeedOrigin.to_bytes, FeedOrigin.from_bytes
        return cls(
            MemoryTable(
                "windows",
                TableCodec(window_key_to_bytes, window_key_from_bytes, bytes, bytes),
                help="the windows that are not sealed, with their sums",
            ),
            MemoryTable(
                "watermarks",
                TableCodec(*feed_key, Mark.to_bytes, Mark.from_bytes),
                help="how far each feed has promised to be, for each partition that it writes to",
            ),
            MemoryTable(
                "served",
                TableCodec(*feed_key, tasks_to_bytes, tasks_from_bytes),
                help="the tasks that each feed serves",
            ),
            MemoryTable(
                "progress",
                TableCodec(str.encode, bytes.decode, Progress.to_bytes, Progress.from_bytes),
                help="how far each task's windows are closed and sealed",
            ),
        )

    def all(self) -> tuple[Table[Any, Any], ...]:
        """All of them."""
        return self.windows, self.watermarks, self.served, self.progress


def window_key_to_bytes(window: WindowKey) -> bytes:
    """The key of a window's row."""
    return WindowId._make(window).to_bytes()


def window_key_from_bytes(key: bytes) -> WindowKey:
    """The window that has this key."""
    task, size_s, start_ms = WindowId.from_bytes(key)
    return task, size_s, start_ms


class PulsePart:
    """See the top of the module. `begin` comes first in every unit that changes something."""

    def __init__(
        self, tables: PulseTables, partition: int, *, partitions: int, layout: Layout, publish_ms: int, lateness_ms: int
    ) -> None:
        self._windows = tables.windows.part(partition)
        self._marks = tables.watermarks.part(partition)
        self._served = tables.served.part(partition)
        self._progress = tables.progress.part(partition)
        self._partition, self._partitions = partition, partitions
        self._publish_ms, self._lateness_ms = publish_ms, lateness_ms
        self._sizes = tuple(size_s for size_s, _ in layout.sizes)
        self._unit: int | None = None
        self.spans: dict[str, Spans]
        """Of tasks whose posts do not simply count in all sizes, since these have been changed."""
        self.layout: Layout
        """All sizes that a live window may have: blocks are made of those too that come to their end."""
        self.watermarks: Watermarks
        self.schedule: Schedule
        self.pending: dict[str, None]
        """See `due`."""
        self._made_from_rows()

    def _made_from_rows(self) -> None:
        newest = self._progress.get(UNIT_ROW)
        self._unit = newest.unit if newest is not None else None
        self._kept: dict[WindowKey, WindowState] = {}
        self._decoded = DecodedWindows(self._partitions)
        self.watermarks = Watermarks(self._partitions)
        self.watermarks.restore(self._marks.items(), self._served.items())
        self._changed = self._with_sizes_changed(newest)
        rows = {**dict(self._progress.items()), **self._changed}
        self.spans = {task: row.spans for task, row in rows.items() if row.spans}
        ending = {span.size_s for spans in self.spans.values() for span in spans}
        ending |= {size_s for (_, size_s, _), _ in self._windows.items()}  # some may be sealed, and wait to be told
        self.layout = Layout([*self._sizes, *ending])
        self.schedule = Schedule(self.layout, self._publish_ms)
        for window, row in self._windows.items():
            self.schedule.touched(window, Glance.of(row))
        self.pending = dict.fromkeys(self.schedule.tasks())
        self._moved: dict[str, None] = {}
        self._sealing: dict[str, int] = {}

    def _with_sizes_changed(self, newest: Progress | None) -> dict[str, Progress]:
        """The rows of tasks that are others under this worker's sizes; written with the next unit."""
        rows = {task: row for task, row in self._progress.items() if task != UNIT_ROW}
        before = newest.sizes if newest is not None else self._sizes
        if before == self._sizes:
            rows = {task: row for task, row in rows.items() if row.spans}
            if not rows:
                return {}
        live = sizes.ends(window for window, _ in self._windows.items())
        if not before:  # written by an earlier version
            before = tuple({size_s for of_task in live.values() for size_s in of_task})
        if before != self._sizes:
            rows = {**dict.fromkeys(live, NO_PROGRESS), **rows}
        out = {}
        for task, row in rows.items():
            spans = sizes.changed(row.spans, before, self._sizes, live.get(task, {}), row.sealed_through_ms)
            if spans != row.spans:
                out[task] = row._replace(spans=spans)
        return out

    def refresh(self) -> None:
        """Make sure that what was made from rows fits them."""
        row = self._progress.get(UNIT_ROW)
        if (row.unit if row is not None else None) != self._unit:
            self._made_from_rows()

    def begin(self) -> None:
        """Begin a unit that changes something. Windows are written when it ends, with `write`."""
        self.refresh()
        self._kept.clear()
        self._unit = secrets.randbits(62)
        self._progress[UNIT_ROW] = Progress(unit=self._unit, sizes=self._sizes)
        for task, row in self._changed.items():
            self._progress[task] = row
        self._changed = {}

    def progress(self, task: str) -> Progress:
        """How far a task is."""
        return self._progress.get(task) or NO_PROGRESS

    def window(self, window: WindowKey) -> WindowState | None:
        """A window as it stands, or None if it has no posts or is sealed."""
        state = self._kept.get(window)
        if state is None:
            row = self._windows.get(window)
            state = None if row is None else self._decoded.state(window, row)
        return state

    def keep(self, window: WindowKey, state: WindowState) -> None:
        """Take over a window that is new or has changed."""
        self._kept[window] = state
        self.schedule.touched(window, state)

    def put(self, window: WindowKey, state: WindowState) -> None:
        """The same for one that this unit is done with: its row is written at once, and nothing else is held of it."""
        self._kept.pop(window, None)
        self._write(window, state)
        self.schedule.touched(window, state)

    def drop(self, window: WindowKey) -> None:
        """Remove a window."""
        self._kept.pop(window, None)
        self._decoded.forget(window)
        if window in self._windows:
            del self._windows[window]
        self.schedule.gone(window)

    async def write(self) -> None:
        """Put what was kept into the table: the last thing that a unit does."""
        for count, (window, state) in enumerate(self._kept.items(), 1):
            self._write(window, state)
            if not count % SLICE:
                await asyncio.sleep(0)
        self._kept.clear()

    def _write(self, window: WindowKey, state: WindowState) -> None:
        row = state.to_bytes()
        self._windows[window] = row
        self._decoded.remember(window, row, state)

    def count_late(self, task: str, posts: int) -> None:
        """Add to a task's late posts."""
        progress = self.progress(task)
        self._progress[task] = progress._replace(late=progress.late + posts)

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take in a heartbeat."""
        feed, origin = heartbeat.feed, heartbeat.origin_partition
        if heartbeat.tasks is not None:
            self._serve(feed, origin, heartbeat.tasks)
        mark, moved = self.watermarks.hear(heartbeat)
        self._marks[FeedOrigin(feed, origin)] = mark
        if moved:
            self._moved[feed] = None
            # Sealing goes by blocks: most heartbeats seal nothing, and tasks may be many.
            sealing_ms = self._sealing_ms(self.watermarks.feed_ms(feed))
            if sealing_ms != self._sealing.get(feed):
                self._sealing[feed] = sealing_ms
                self._seal_passed(self.watermarks.tasks_of(feed))

    def _serve(self, feed: str, origin: int, tasks: Sequence[str]) -> None:
        mine = tuple(task for task in tasks if partition_of(task, self._partitions) == self._partition)
        before = self.watermarks.serves(feed, origin)
        if before == mine:
            return
        self._served[FeedOrigin(feed, origin)] = mine
        self.watermarks.serve(feed, origin, mine)
        for task in mine:
            progress = self.progress(task)
            if not progress.served:
                self._progress[task] = progress._replace(served=True)
        # The feed that left a task may have been the one that the others waited for.
        left = [task for task in before or () if task not in mine]
        self._seal_passed([*left, *mine])
        self.pending.update(dict.fromkeys([*left, *mine]))

    def is_deserted(self, task: str) -> bool:
        """Whether feeds have served a task, and none does any more."""
        return not self.watermarks.is_served(task) and self.progress(task).served

    def closing_ms(self, task: str) -> int:
        """Windows that end at or before this are to be closed."""
        return END_OF_TIME_MS if self.is_deserted(task) else self.watermarks.closing_ms(task)

    def waited(self, now_ms: int, longest_ms: int) -> list[tuple[str, int]]:
        """Tasks whose windows have waited long enough, whatever their feeds do: (task, up to where).

        Where no feed is left the wait is short, but longer than a block: nothing is sealed that lies ahead, for another
        feed may take the task over. A replay that rests goes on where it was, whenever that is: its task waits.
        """
        waited = self.schedule.waited(now_ms - longest_ms)
        deserted = [task for task in self.schedule.tasks() if self.is_deserted(task)]
        if deserted:
            shorter_ms = min(longest_ms, self._lateness_ms + self.layout.block_ms)
            waited += self.schedule.waited(now_ms - shorter_ms, deserted)
        if waited:
            resting = {
                task
                for feed in self.watermarks.progress()
                if feed.feed.startswith(REPLAY) and feed.watermark_ms < END_OF_TIME_MS
                for task in feed.tasks
            }
            waited = [(task, end_ms) for task, end_ms in waited if task not in resting]
        return waited

    def _sealing_ms(self, passed_ms: int) -> int:
        """Up to where windows are sealed once watermarks have passed a time."""
        if passed_ms >= END_OF_TIME_MS or passed_ms <= BEFORE_TIME_MS:
            return passed_ms
        return self.layout.whole_blocks(passed_ms - self._lateness_ms)

    def _seal_passed(self, tasks: Sequence[str]) -> None:
        for task in tasks:
            self.seal_through(task, self._sealing_ms(self.watermarks.passed_ms(task)))

    def due(self) -> list[str]:
        """Tasks whose windows may have to be closed or sealed; each stays due until it is `done`."""
        for feed in self._moved:
            self.pending.update(dict.fromkeys(self.watermarks.tasks_of(feed)))
        self._moved.clear()
        return list(self.pending)

    def done(self, task: str) -> None:
        """Nothing is due for this task any more."""
        del self.pending[task]

    def seal_through(self, task: str, time_ms: int) -> None:
        """Seal a task's windows up to a time; one that has been sealed further stays so."""
        progress = self.progress(task)
        if time_ms > progress.sealed_through_ms:
            self._progress[task] = progress._replace(sealed_through_ms=time_ms)
            self.pending[task] = None

    def through(self) -> list[str]:
        """Replays that have ended and have no windows left."""
        return [
            feed
            for feed, tasks in self.watermarks.ended()
            if feed.startswith(REPLAY) and not any(map(self.schedule.has, tasks))
        ]

    def forget(self, feed: str) -> None:
        """Remove a feed's rows; what its tasks have sealed stays so."""
        for key in self.watermarks.forget(feed):
            if key in self._marks:
                del self._marks[key]
            if key in self._served:
                del self._served[key]
