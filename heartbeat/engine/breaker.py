"""The breaker: stops an agent from throwing a whole topic to dead letters because of a bug in its handler."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

IN_A_ROW: Final = 20
WINDOW: Final = 500
SHARE_OF_WINDOW: Final = 0.2
FIRST_PROBE_S: Final = 30.0
LONGEST_PROBE_S: Final = 300.0


class Breaker:
    """Counts an agent's dead letters and decides when no more may be thrown out.

    It trips at the message that would be the 20th dead letter in a row of a partition, or the 100th among the agent's
    last 500 messages; that message stays unread. Then the whole agent waits; the message is tried again alone after
    30 s, and ever more rarely up to every 5 minutes, by the partition it stands in. Once it goes through, the breaker
    closes and counts from zero. A restart tries at once; it goes on with the rows as they were (`restore`), but counts
    shares anew.

    Times are seconds of whatever clock the caller uses throughout.
    """

    def __init__(self) -> None:
        self._row: defaultdict[int, int] = defaultdict(int)
        self._dead_at: deque[int] = deque()
        self._seen = 0
        self._probe_s = FIRST_PROBE_S
        self._probe_at = 0.0
        self.tripped_by: int | None = None
        """The partition whose message tripped it; None while closed."""

    @property
    def is_open(self) -> bool:
        """Whether the agent has to wait."""
        return self.tripped_by is not None

    def restore(self, partition: int, row: int) -> None:
        """Go on with a row of dead letters that an earlier run left."""
        self._row[partition] = row

    def succeeded(self, partition: int, messages: int) -> None:
        """These messages of a partition went through and are durable."""
        if not messages:
            return
        self._seen += messages
        self._row[partition] = 0
        if self.tripped_by == partition:
            self.tripped_by = None
            self._row.clear()
            self._dead_at.clear()
            self._probe_s = FIRST_PROBE_S

    def died(self, partition: int) -> None:
        """A dead letter of a partition is durable."""
        self._seen += 1
        self._row[partition] += 1
        self._dead_at.append(self._seen)

    def would_trip(self, partition: int) -> str | None:
        """Why one more dead letter would be too many, or None."""
        if self._row[partition] + 1 >= IN_A_ROW:
            return f"{IN_A_ROW} messages in a row failed"
        while self._dead_at and self._dead_at[0] <= self._seen + 1 - WINDOW:
            self._dead_at.popleft()
        if len(self._dead_at) + 1 >= WINDOW * SHARE_OF_WINDOW:
            return f"{SHARE_OF_WINDOW:.0%} of the last {WINDOW} messages failed"
        return None

    def trip(self, partition: int, now_s: float) -> None:
        """Open, or stay open after a probe that failed."""
        if self.is_open:
            self._probe_s = min(self._probe_s * 2, LONGEST_PROBE_S)
        self.tripped_by = partition
        self._probe_at = now_s + self._probe_s

    def wait_s(self, partition: int, now_s: float) -> float:
        """How long a partition has to wait before it may work; 0 when it may."""
        if self.tripped_by is None:
            return 0.0
        if self.tripped_by == partition:
            return max(self._probe_at - now_s, 0.0)
        return max(self._probe_at - now_s, 1.0)
