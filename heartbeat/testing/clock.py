"""A clock that stands still until a test moves it."""

from __future__ import annotations

from typing import Final

DEFAULT_NOW_MS: Final = 1_700_000_000_000


class FakeClock:
    """A `Clock` for tests: it moves only when told to, in either direction."""

    def __init__(self, now_ms: int = DEFAULT_NOW_MS) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now_ms

    def advance(self, seconds: float) -> int:
        """Move by some seconds (back, if negative). Gives the new time in ms."""
        self._now_ms += round(seconds * 1000)
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Jump to a time in ms."""
        self._now_ms = now_ms
