"""A feed in memory: tests say what it delivers, and when it goes away, fails or ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from heartbeat.feeds.base import Delivery, FeedState, Rejected
from heartbeat.records import END_OF_TIME_MS, Post


class MemoryFeed:
    """See `feeds.base.Feed`. Deliveries wait until they are fetched; its cursor is how many of them are through.

    Args:
        name: the feed's name; one that begins with `replay:` is a scope of duplicates of its own.
        live: whether it serves the configured tasks and its times are held against the time of receipt.
        makes_up: whether it delivers what was said while it did not run.
    """

    def __init__(self, name: str = "memory", *, live: bool = True, makes_up: bool = True) -> None:
        self.name, self.live, self.makes_up = name, live, makes_up
        self._script: list[Delivery | Exception] = []
        self._more = asyncio.Event()
        self.opened_at: list[bytes | None] = []
        """The cursors that it was opened with."""

    def post(
        self,
        *posts: Post,
        rejected: Sequence[Rejected] = (),
        watermark_ms: int | None = None,
        state: FeedState = FeedState.CAUGHT_UP,
        why: str = "",
    ) -> None:
        """Deliver these posts together (or none: a sign of life)."""
        cursor = str(len(self._script) + 1).encode()
        self._add(Delivery(posts, tuple(rejected), cursor, watermark_ms, state, why))

    def disconnect(self, why: str = "") -> None:
        """Say that the other side is away."""
        self.post(state=FeedState.DISCONNECTED, why=why)

    def fail(self, error: Exception) -> None:
        """Raise this, once; the next life goes on behind it."""
        self._add(error)

    def end(self) -> None:
        """Say that nothing follows."""
        self.post(state=FeedState.ENDED, watermark_ms=END_OF_TIME_MS)

    async def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
        """See `feeds.base.Feed`."""
        self.opened_at.append(cursor)
        at = int(cursor) if cursor else 0
        while True:
            while at >= len(self._script):
                self._more.clear()
                await self._more.wait()
            step = self._script[at]
            if isinstance(step, Exception):
                self._script[at] = Delivery((), (), str(at + 1).encode(), None, FeedState.BEHIND)
                raise step
            yield step
            if step.state is FeedState.ENDED:
                return
            at += 1

    def _add(self, step: Delivery | Exception) -> None:
        self._script.append(step)
        self._more.set()
