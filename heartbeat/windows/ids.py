"""The names of windows, and how they lie on the line of event time."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, lcm
from typing import NamedTuple, TypeAlias

WindowKey: TypeAlias = tuple[str, int, int]
"""A `WindowId` as a plain tuple, which hashes and compares the same.

Where there may be hundreds of thousands they are kept like this: the garbage collector does not look at plain tuples of
texts and numbers again, but at named ones each time.
"""


class WindowId(NamedTuple):
    """A task's window [start_ms, start_ms + 1000 × size_s), aligned to the epoch: start_ms divides by the size."""

    task: str
    size_s: int
    start_ms: int

    @property
    def end_ms(self) -> int:
        """The first millisecond that is no longer in it."""
        return self.start_ms + 1000 * self.size_s

    def __str__(self) -> str:
        """`size/start/task`: the key of its messages and rows."""
        return f"{self.size_s}/{self.start_ms}/{self.task}"

    @classmethod
    def parse(cls, text: str) -> WindowId:
        """The window that `str` gave this text for. Raises ValueError on any other text."""
        size_s, start_ms, task = text.split("/", 2)
        return cls(task, int(size_s), int(start_ms))

    def to_bytes(self) -> bytes:
        """The key of its row."""
        return str(self).encode()

    @classmethod
    def from_bytes(cls, key: bytes) -> WindowId:
        """The window that has this key."""
        return cls.parse(key.decode())


class Layout:
    """The sizes of the windows, and the blocks in which they seal.

    A block is the least common multiple of the sizes (with 10 s, 1 min and 15 min: 15 min). No window crosses a
    block's border. All windows of a task within a block seal together: so a post is either in all of its windows or
    late for all of them, and a retraction finds either all of its windows or none.

    Attributes:
        sizes: pairs of (seconds, milliseconds), ascending.
        block_ms: how long a block is.
        pane_ms: the longest stretch that lies in one window of each size, wherever it begins at a multiple of itself.
    """

    def __init__(self, sizes_s: Sequence[int]) -> None:
        if not sizes_s or min(sizes_s) < 1:
            raise ValueError("there has to be a size, and each at least a second")
        self.sizes = tuple((size, size * 1000) for size in sorted(set(sizes_s)))
        self.block_ms = 1000 * lcm(*sizes_s)
        self.pane_ms = 1000 * gcd(*sizes_s)

    def windows_of(self, task: str, time_ms: int) -> list[WindowId]:
        """The windows that a post of this time is in, one of each size."""
        return [WindowId(task, size_s, time_ms - time_ms % size_ms) for size_s, size_ms in self.sizes]

    def block_end(self, time_ms: int) -> int:
        """The end of the block that this time lies in; of a window, give its start."""
        return time_ms - time_ms % self.block_ms + self.block_ms

    def whole_blocks(self, time_ms: int) -> int:
        """The last border of blocks at or before a time: what is sealed when `time_ms` may be."""
        return time_ms - time_ms % self.block_ms
