"""Time as the rest of the code sees it: integer milliseconds UTC from a clock that is passed in."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time. Tests pass a clock of their own (`heartbeat.testing`)."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC. May jump either way: callers keep their own order."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000
