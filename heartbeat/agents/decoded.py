"""Open windows as they were last written.

An open window changes some times a second, and reading its row takes as long as changing it. (A closed one seldom
changes again, and when thousands close at once nothing of them shall stay for the garbage collector.)

Whatever happened to the table in between, units that were undone included, what is remembered here is right as long as
the table holds the very same row: the object, which cannot be another one's while it is referred to.
"""

from __future__ import annotations

from typing import Final

from heartbeat.windows.ids import WindowKey
from heartbeat.windows.state import WindowState

MOST_WINDOWS: Final = 8_192
MOST_BYTES: Final = 4_000_000
"""Of rows, in all partitions together; as objects they take about eight times as much."""


class DecodedWindows:
    """The open windows of one partition that were written last: two generations of them.

    Args:
        partitions: as many share the bounds.
    """

    def __init__(self, partitions: int) -> None:
        self._most, self._most_bytes = max(MOST_WINDOWS // 2 // partitions, 1), MOST_BYTES // 2 // partitions
        self._newer: dict[WindowKey, tuple[bytes, WindowState]] = {}
        self._older: dict[WindowKey, tuple[bytes, WindowState]] = {}
        self._newer_bytes = 0

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def state(self, window: WindowKey, row: bytes) -> WindowState:
        """What a row says."""
        known = self._newer.get(window) or self._older.get(window)
        return known[1] if known is not None and known[0] is row else WindowState.from_bytes(row)

    def remember(self, window: WindowKey, row: bytes, state: WindowState) -> None:
        """A window has this row now."""
        if state.final:
            self.forget(window)
            return
        before = self._newer.get(window)
        if before is not None:
            self._newer_bytes -= len(before[0])
        elif len(self._newer) >= self._most or self._newer_bytes + len(row) > self._most_bytes:
            self._older, self._newer, self._newer_bytes = self._newer, {}, 0
        self._newer[window] = row, state
        self._newer_bytes += len(row)

    def forget(self, window: WindowKey) -> None:
        """A window is gone."""
        self._older.pop(window, None)
        before = self._newer.pop(window, None)
        if before is not None:
            self._newer_bytes -= len(before[0])
