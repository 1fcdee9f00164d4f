"""How a feed is doing, as pages and commands see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from heartbeat.clock import Clock
from heartbeat.engine.log import UnitWrite

_RATE_OVER_S: Final = 10


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """How a feed is doing.

    Attributes:
        name: the feed's name.
        live: whether it serves the configured tasks.
        tasks: names of the tasks that it serves.
        state: starting, caught up, behind, paused, disconnected, failed, ended or stopped.
        since_ms: since when it is in that state.
        why: explains paused, disconnected and failed.
        watermark_ms: what it has promised; `records.BEFORE_TIME_MS` for nothing yet.
        posts: how many it has ever delivered, `matched` of them for a task.
        rejected: how many items were no posts.
        posts_per_s: posts a second over the last ten seconds.
        written_bytes: what it has written into the log since the worker started.
        last_error: the last thing that went wrong, also when it is long over.
        fraction: how much of its files is through, from 0 to 1; None for a feed without an end.
    """

    name: str
    live: bool
    tasks: tuple[str, ...]
    state: str
    since_ms: int
    why: str
    watermark_ms: int
    posts: int
    matched: int
    rejected: int
    posts_per_s: float
    written_bytes: int
    last_error: str
    fraction: float | None


class FeedStatus:
    """The part of it that changes with every delivery. `timer` gives seconds that only go forward."""

    def __init__(self, clock: Clock, timer: Callable[[], float]) -> None:
        self._clock, self._timer = clock, timer
        self._recent: deque[tuple[float, int]] = deque(maxlen=4096)
        self.written_bytes = 0
        self.state, self.since_ms, self.why, self.last_error = "starting", clock.now_ms(), "", ""

    def show(self, state: str, why: str = "") -> None:
        """Enter a state, or stay in it for another reason."""
        if state != self.state:
            self.since_ms = self._clock.now_ms()
        self.state, self.why = state, why

    def written(self, unit: UnitWrite) -> None:
        """A unit has become durable."""
        self.written_bytes += sum(len(append.value or b"") for append in unit.appends)

    def delivered(self, posts: int) -> None:
        """So many posts have become durable."""
        self._recent.append((self._timer(), posts))

    @property
    def posts_per_s(self) -> float:
        """Posts a second over the last ten seconds."""
        since = self._timer() - _RATE_OVER_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()
        return sum(posts for _, posts in self._recent) / _RATE_OVER_S
