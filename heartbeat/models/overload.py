"""When there is no time for slow models: live posts then go to the fast one, until it has caught up.

There are two bounds, and the way back asks for a tenth of each and for a minute's patience: a stream that a slow model
cannot keep up with in the long run changes models at most twice a minute instead of with every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from heartbeat.clock import Clock
from heartbeat.health import HealthBoard, State

PART: Final = "models/sentiment"
LEAST_FAST_MS: Final = 60_000
"""How long the fast model scores at least, once it has begun to."""
CAUGHT_UP: Final = 10
"""What waits has to be this many times less than what is too much."""


class Overload:
    """Decides it from what waits to be scored.

    Args:
        clock: for ages; one that jumps back makes nothing older.
        board: is told while the fast model scores.
        most_posts: so many waiting are too many; 0: never is there no time.
        longest_s: so long a wait of the oldest is too long.
        model: the fast model's name, for people.

    Attributes:
        lag: how many messages wait, to be set by who knows it.
        model: as given; to be set when the settings name another.
    """

    def __init__(self, clock: Clock, board: HealthBoard, *, most_posts: int, longest_s: float, model: str) -> None:
        self._clock, self._board, self.model = clock, board, model
        self._most, self._longest_ms = most_posts, round(longest_s * 1000)
        self._since_ms: int | None = None
        self._ages_ms: dict[int, int] = {}
        self.lag: Callable[[], int] = lambda: 0

    @property
    def is_on(self) -> bool:
        """Whether the fast model scores live posts."""
        return self._since_ms is not None

    def look(self, partition: int, oldest_ms: int | None) -> bool:
        """Decide anew, before a batch is scored or when there is none.

        Args:
            partition: whose turn it is.
            oldest_ms: when the first live post of the batch was appended; None: no live post waits for another.

        Returns:
            Whether live posts go to the fast model now.
        """
        if not self._most:
            return False
        now_ms, waiting = self._clock.now_ms(), 0 if oldest_ms is None else self.lag()
        self._ages_ms[partition] = 0 if oldest_ms is None else now_ms - oldest_ms
        age_ms = max(self._ages_ms.values())
        if self._since_ms is None:
            if waiting >= self._most or age_ms >= self._longest_ms:
                self._since_ms = now_ms
                self._board.report(
                    PART,
                    State.WAITING,
                    f"live posts are scored by {self.model}: more wait than the other model can score in time",
                    "it goes back by itself once it has caught up; overload_posts: 0 lets posts wait instead",
                )
        elif now_ms < self._since_ms:
            self._since_ms = now_ms  # the clock has jumped back
        elif (
            waiting <= self._most // CAUGHT_UP
            and age_ms <= self._longest_ms // CAUGHT_UP
            and now_ms - self._since_ms >= LEAST_FAST_MS
        ):
            self._since_ms = None
            self._board.report(PART, State.OK)
        return self.is_on
