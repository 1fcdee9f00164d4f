"""What a feed promises: its watermark, and when it is said again.

- caught up: now − grace, also while nothing arrives;
- behind, or reading a file: what the feed promises, else (live) the newest time delivered − grace;
- disconnected, failed or paused: it stands still;
- ended: the end of time.

It never goes back: not at a restart, not when the clock does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.feeds.base import Delivery, FeedState, Unheard
from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS, Post

_POSTS_A_PARTITION: Final = 250


class Says(NamedTuple):
    """What a heartbeat says of its feed."""

    connected: bool
    caught_up: bool


class Promises:
    """The promises of one feed, during one life of its runner.

    Args:
        live: whether its times are near the clock's.
        grace_ms: how far the watermark stays behind.
        heartbeat_s: how often it is said.
        partitions: in how many partitions; at full speed it is also said after so many posts for each of them, so that
            windows close on the way.
        clock: for the watermark of a feed that is caught up.
        timer: seconds that only go forward.
    """

    def __init__(
        self,
        *,
        live: bool,
        grace_ms: int,
        heartbeat_s: float,
        partitions: int,
        clock: Clock,
        timer: Callable[[], float],
    ) -> None:
        self._live, self._grace_ms, self._heartbeat_s = live, grace_ms, heartbeat_s
        self._clock, self._timer = clock, timer
        self._posts_between = _POSTS_A_PARTITION * partitions
        self._posts_since = 0
        self._said_at = 0.0
        self._newest_ms: int | None = None
        self.said: Says | None = None
        """What the last heartbeat said; None before the first, which also has to name the feed's tasks."""

    def watermark(self, delivery: Delivery, posts: Iterable[Post], before_ms: int) -> int:
        """The watermark after a delivery; `posts` are its posts with the times that count."""
        for post in posts:
            if self._newest_ms is None or post.time_ms > self._newest_ms:
                self._newest_ms = post.time_ms
        if delivery.state is FeedState.ENDED:
            return END_OF_TIME_MS
        if delivery.state is FeedState.DISCONNECTED:
            return before_ms
        promised = before_ms
        if delivery.watermark_ms is not None:
            promised = delivery.watermark_ms
        elif delivery.state is FeedState.CAUGHT_UP:
            promised = self._clock.now_ms() - self._grace_ms
        elif self._live and self._newest_ms is not None:
            promised = self._newest_ms - self._grace_ms
        if self._live:
            # A live post may lie a minute ahead; a watermark that followed it would make the next minute's posts late.
            promised = min(promised, self._clock.now_ms() - self._grace_ms)
        return max(before_ms, promised)

    def missed(self, before_ms: int) -> Unheard | None:
        """What a feed that makes up for nothing has missed, if its last promise was this: it was there until then."""
        heard_ms, now_ms = before_ms + self._grace_ms, self._clock.now_ms()
        if before_ms == BEFORE_TIME_MS or now_ms - heard_ms < 2000 * self._heartbeat_s:
            return None
        return Unheard(heard_ms, now_ms)

    def idle_watermark(self, before_ms: int) -> int:
        """The watermark of a feed that is caught up while nothing arrives."""
        return max(before_ms, self._clock.now_ms() - self._grace_ms)

    def due(self, delivery: Delivery) -> bool:
        """Whether heartbeats have to go with a delivery: after a while, after many posts, and at every change."""
        says = says_of(delivery.state)
        if self.said is None or self.said.connected != says.connected or delivery.state is FeedState.ENDED:
            return True
        if not says.connected:
            return False
        return self.idle_due() or self._posts_since + len(delivery.posts) >= self._posts_between

    def idle_due(self) -> bool:
        """Whether it was last said long enough ago."""
        return self._timer() - self._said_at >= self._heartbeat_s

    def delivered(self, posts: int, says: Says | None) -> None:
        """So many posts have become durable, and after them heartbeats that say this (None: no heartbeats)."""
        if says is None:
            self._posts_since += posts
        else:
            self.said, self._said_at, self._posts_since = says, self._timer(), 0


def says_of(state: FeedState) -> Says:
    """What heartbeats say of a feed in this state."""
    return Says(state is not FeedState.DISCONNECTED, state in (FeedState.CAUGHT_UP, FeedState.ENDED))
