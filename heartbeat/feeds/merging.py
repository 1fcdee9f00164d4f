"""Several files as one stream by time, and the pace at which a stream is given out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from heartbeat.clock import Clock
from heartbeat.feeds.files import Item, Position, PostFile
from heartbeat.records import END_OF_TIME_MS, Post

_LINES: Final = 1000
_MOST_BYTES: Final = 1_000_000
_PACED_STEP_S: Final = 0.05


class MergedFiles:
    """Several files as one stream of (number of the file, item), by time; equal times by the order of the files.

    What comes next depends on the files' positions alone, so it does not matter where a stream is cut and begun again.
    """

    def __init__(self, files: Sequence[PostFile], clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._lines = max(_LINES // len(files), 50)
        self._ready: list[list[Item]] = [[] for _ in files]  # reversed: the next one is the last
        self._heads: list[tuple[int, int]] | None = None

    def open(self) -> None:
        """Open all files."""
        for file in self._files:
            file.open()

    def skip(self) -> bool:
        """Go on towards the files' positions. Whether they are all reached."""
        return all(file.skip() for file in self._files)

    def take(self, most: int) -> list[tuple[int, Item]]:
        """The next items of all files, at most so many, or about so many bytes; none at the end."""
        if self._heads is None:
            self._heads = [(items[-1].time_ms, at) for at, items in enumerate(self._ready) if self._fill(at)]
            heapify(self._heads)
        heads = self._heads
        taken: list[tuple[int, Item]] = []
        size = 0
        while heads and len(taken) < most and size < _MOST_BYTES:
            _, at = heappop(heads)
            until = heads[0] if heads else (END_OF_TIME_MS, 0)
            items = self._ready[at]
            while (
                len(taken) < most
                and size < _MOST_BYTES
                and (items or self._fill(at))
                and (items[-1].time_ms, at) <= until
            ):
                item = items.pop()
                size += len(item.value.content if isinstance(item.value, Post) else item.value.raw)
                taken.append((at, item))
            if items or self._fill(at):
                heappush(heads, (items[-1].time_ms, at))
        return taken

    def bytes_at(self, positions: Sequence[Position]) -> int:
        """How much of all files lies before these positions, as they are on the disk."""
        return sum(file.bytes_at(position) for file, position in zip(self._files, positions, strict=True))

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files:
            file.close()

    def _fill(self, at: int) -> bool:
        """Read on in a file. Whether there is more."""
        items = self._files[at].read(self._lines, self._clock.now_ms())
        while not items and not self._files[at].ended:
            items = self._files[at].read(self._lines, self._clock.now_ms())
        self._ready[at][:] = reversed(items)
        return bool(items)


class Pace:
    """Waits until posts are due: the time that passed among them, divided by the speed. Made on the event loop."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first_ms: int | None = None
        self._newest_ms = 0
        self._began = self._due = asyncio.get_running_loop().time()

    def parts(self, items: Sequence[tuple[int, Item]]) -> Iterator[list[tuple[int, Item]]]:
        """The items in parts that are due together; `wait` waits for the part that was given last."""
        part: list[tuple[int, Item]] = []
        part_due = 0.0
        for numbered in items:
            due = self._due_of(numbered[1])
            if part and due >= part_due + _PACED_STEP_S:
                self._due = part_due
                yield part
                part = []
            if not part:
                part_due = due
            part.append(numbered)
        if part:
            self._due = part_due
            yield part

    async def wait(self) -> None:
        """Wait until the part is due."""
        delay = self._due - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)

    def _due_of(self, item: Item) -> float:
        newest_ms = item.after.newest_ms
        if newest_ms is None:
            return self._due
        if self._first_ms is None:
            self._first_ms = self._newest_ms = newest_ms
            self._began = asyncio.get_running_loop().time()
        self._newest_ms = max(self._newest_ms, newest_ms)
        return self._began + (self._newest_ms - self._first_ms) / 1000 / self._speed
