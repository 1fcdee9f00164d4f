"""Which window is next to be closed, sealed or published, found without looking at all of them.

It holds names and times only, is made from the rows when a worker starts, and made again when a unit was undone. What
it names is still to be held against the row: a name may have become stale, but none is ever missing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from heartbeat.windows.ids import Layout, WindowKey
from heartbeat.windows.state import Times


class _Block:
    """The live windows of a task that seal together."""

    __slots__ = ("changed_ms", "windows")

    def __init__(self) -> None:
        self.windows: dict[WindowKey, None] = {}
        self.changed_ms = 0


class _Task:
    __slots__ = ("blocks", "ends", "open")

    def __init__(self) -> None:
        self.open: list[tuple[int, int, int]] = []
        """A heap of (end_ms, size_s, start_ms)."""
        self.ends: list[int] = []
        self.blocks: dict[int, _Block] = {}


class Schedule:
    """The windows of one partition.

    Args:
        layout: sizes and blocks.
        publish_ms: how long after a publication a window's next may come.
    """

    def __init__(self, layout: Layout, publish_ms: int) -> None:
        self._layout, self._publish_ms = layout, publish_ms
        self._tasks: dict[str, _Task] = {}
        self._due: list[tuple[int, WindowKey]] = []
        self._queued: set[WindowKey] = set()
        self._now_ms: int | None = None

    def tasks(self) -> list[str]:
        """Tasks that have live windows."""
        return list(self._tasks)

    def has(self, task: str) -> bool:
        """Whether a task has live windows."""
        return task in self._tasks

    def windows(self, task: str) -> list[WindowKey]:
        """The live windows of a task, by block, else in the order they came."""
        known = self._tasks.get(task)
        return [window for end in known.ends for window in known.blocks[end].windows] if known else []

    def touched(self, window: WindowKey, state: Times) -> None:
        """A window is new or has changed."""
        name, size_s, start_ms = window
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = _Task()
        end_ms = self._layout.block_end(start_ms)
        block = task.blocks.get(end_ms)
        if block is None:
            block = task.blocks[end_ms] = _Block()
            insort(task.ends, end_ms)
        if window not in block.windows:
            block.windows[window] = None
            if not state.final:
                heappush(task.open, (start_ms + 1000 * size_s, size_s, start_ms))
        block.changed_ms = max(block.changed_ms, state.changed_ms)
        if state.dirty:
            self._queue(window, state)

    def gone(self, window: WindowKey) -> None:
        """A window has no row any more."""
        name, _, start_ms = window
        task = self._tasks[name]
        end_ms = self._layout.block_end(start_ms)
        windows = task.blocks[end_ms].windows
        del windows[window]
        if not windows:
            del task.blocks[end_ms]
            task.ends.remove(end_ms)
            if not task.ends:
                del self._tasks[name]

    def pop_closing(self, task: str, watermark_ms: int) -> WindowKey | None:
        """The next window that ends at or before the watermark and may still be open."""
        known = self._tasks.get(task)
        if known is None or not known.open or known.open[0][0] > watermark_ms:
            return None
        _, size_s, start_ms = heappop(known.open)
        return (task, size_s, start_ms)

    def next_sealing(self, task: str, sealed_through_ms: int) -> WindowKey | None:
        """A live window of a block that is sealed; the same again until it is `gone`."""
        known = self._tasks.get(task)
        if known is None or known.ends[0] > sealed_through_ms:
            return None
        return next(iter(known.blocks[known.ends[0]].windows))

    def pop_publishing(self, now_ms: int) -> WindowKey | None:
        """The next window that has changed and may be published by now."""
        if self._now_ms is not None and now_ms < self._now_ms:
            # The clock has jumped back: nobody shall wait for the time it showed before.
            self._due = [(min(due_ms, now_ms + self._publish_ms), window) for due_ms, window in self._due]
            heapify(self._due)
        self._now_ms = now_ms
        if not self._due or self._due[0][0] > now_ms:
            return None
        _, window = heappop(self._due)
        self._queued.discard(window)
        return window

    def waits_to_publish(self, now_ms: int) -> bool:
        """Whether `pop_publishing` may give something."""
        return bool(self._due) and (self._due[0][0] <= now_ms or (self._now_ms is not None and now_ms < self._now_ms))

    def waited(self, changed_before_ms: int, tasks: Iterable[str] | None = None) -> list[tuple[str, int]]:
        """Tasks (of these, or of all) with blocks that nothing has changed since then: (task, end of the last of them).

        Blocks go in order: one that still changes keeps those after it, since what comes back late goes on to them.
        """
        out = []
        for name in self._tasks if tasks is None else tasks:
            last, task = None, self._tasks[name]
            for end_ms in task.ends:
                if task.blocks[end_ms].changed_ms > changed_before_ms:
                    break
                last = end_ms
            if last is not None:
                out.append((name, last))
        return out

    def _queue(self, window: WindowKey, state: Times) -> None:
        if window not in self._queued:
            self._queued.add(window)
            # (A time of publication after that of the change was told by a clock that has jumped back since.)
            due_ms = (
                state.changed_ms
                if state.published_ms is None
                else min(state.published_ms, state.changed_ms) + self._publish_ms
            )
            heappush(self._due, (due_ms, window))
