"""From a delivery to the units that are written: posts with their tasks, dead letters, heartbeats, the cursor.

A delivery is one unit, unless accounts are gone in it that have written much: their posts are deleted in units of their
own, of a bounded size, before anything that came after. The cursor moves with the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.log import Append, Log, Put, UnitWrite
from heartbeat.feeds.base import Delivery, Feed, Rejected, Unheard
from heartbeat.feeds.cursors import Standing
from heartbeat.feeds.encoder import Encoder, Passed
from heartbeat.feeds.known import Known
from heartbeat.feeds.promises import Promises, Says, says_of
from heartbeat.records import Post
from heartbeat.tasks import Matcher, Task
from heartbeat.topics import CURSORS, DEADLETTERS, INGEST, partition_of
from heartbeat.windows.ids import Layout

EARLIEST_MS: Final = 15 * 60_000
"""How far before its receipt a live post's own time is believed."""
LATEST_MS: Final = 60_000
"""How far after its receipt a live post's own time is believed."""


def clamped(post: Post) -> Post:
    """The post with a time that can be believed: its own near the time of receipt, else that."""
    if post.received_ms - EARLIEST_MS <= post.time_ms <= post.received_ms + LATEST_MS:
        return post
    return post._replace(time_ms=post.received_ms, time_clamped=True)


def dead_letter(feed: str, rejected: Rejected, partitions: int, now_ms: int) -> Append:
    """An item that is no post, as a message: its original bytes, and in headers where it stood and why.

    The headers are those of the engine's dead letters, with the feed in the place of the topic and `feed` in that of
    the agent; instead of partition and offset there is a `place`.
    """
    headers = (
        ("topic", feed.encode()),
        ("agent", b"feed"),
        ("reason", rejected.reason.encode(errors="backslashreplace")),
        ("place", rejected.place.encode(errors="backslashreplace")),
        ("at_ms", str(now_ms).encode()),
    )
    return Append(DEADLETTERS.name, partition_of(feed, partitions), feed.encode(), rejected.raw, headers)


class Unit(NamedTuple):
    """What is written at once; where the feed stands then (None: as before), and what its heartbeats say, if any."""

    write: UnitWrite
    after: Standing | None = None
    says: Says | None = None


class Lateness:
    """Which posts of a replay come too late for their windows: a function of its files alone.

    Where a post is seen to be late only once its window is sealed, that depends on how fast each partition was read.
    The feed knows the order of the whole: a post is late if the newest time before it, less grace and allowed lateness,
    has passed its block. For live feeds that would be too strict: a task waits for all of its feeds.

    Args:
        grace_ms: how far the watermark stays behind the newest time.
        lateness_ms: how long after its end a closed window takes corrections.
        layout: of the windows.
    """

    def __init__(self, *, grace_ms: int, lateness_ms: int, layout: Layout) -> None:
        self._behind_ms, self._grace_ms, self._layout = grace_ms + lateness_ms, grace_ms, layout

    def marked(self, posts: Sequence[Post], watermark_ms: int) -> list[Post]:
        """The posts of a delivery, before which the feed had promised this watermark."""
        newest_ms = watermark_ms + self._grace_ms
        sealed_ms = self._sealed(newest_ms)
        out = []
        for post in posts:
            out.append(post._replace(late=True) if post.time_ms < sealed_ms else post)
            if post.time_ms > newest_ms and post.op == "upsert":
                newest_ms = post.time_ms
                sealed_ms = self._sealed(newest_ms)
        return out

    def _sealed(self, newest_ms: int) -> int:
        return self._layout.whole_blocks(newest_ms - self._behind_ms)


class Units:
    """Makes the units of one feed.

    Args:
        lateness: marks late posts, where the feed is one that can tell.
        known: of a feed that knows authors: which posts were passed on. None: edits and deletions all go on.
    """

    def __init__(
        self,
        feed: Feed,
        tasks: Sequence[Task],
        *,
        log: Log,
        codec: Codec,
        clock: Clock,
        promises: Promises,
        lateness: Lateness,
        known: Known | None = None,
    ) -> None:
        self._lateness, self._known = lateness, known
        self._feed, self._tasks = feed, tuple(task.name for task in tasks)
        self._log, self._clock, self._promises = log, clock, promises
        self._encoder = Encoder(feed.name, Matcher(tasks), codec, log.partitions(INGEST.name))

    def of(self, delivery: Delivery, before: Standing) -> Iterator[Unit]:
        """What to write for a delivery. A unit has to be durable before the next one is asked for."""
        posts = (
            [clamped(post) for post in delivery.posts]
            if self._feed.live
            else self._lateness.marked(delivery.posts, before.watermark_ms)
        )
        place = delivery.cursor.decode(errors="backslashreplace")
        if self._known is None:
            yield self._last(delivery, before, posts, Passed(*self._encoder.posts(posts, place), []))
            return
        matched = rejected = 0
        for part in self._encoder.posts_of_authors(posts, self._known, place):
            if part.last:
                counted = replace(before, matched=before.matched + matched, rejected=before.rejected + rejected)
                yield self._last(delivery, counted, posts, part)
            else:
                matched, rejected = matched + len(part.appends), rejected + len(part.rejected)
                yield self._part(part)

    def unfinished(self) -> Iterator[Unit]:
        """What is left of an account whose deletion was cut off. As with `of`, one after the other."""
        gone = None if self._known is None else self._known.unfinished()
        if gone is not None and self._known is not None:
            for part in self._encoder.gone(gone, self._known, ""):
                yield self._part(part)

    def _part(self, part: Passed) -> Unit:
        return Unit(UnitWrite([*part.appends, *self._letters(part.rejected)], puts=part.puts))

    def _last(self, delivery: Delivery, before: Standing, posts: Sequence[Post], part: Passed) -> Unit:
        """The unit that moves the cursor."""
        rejected = [*delivery.rejected, *part.rejected]
        after = Standing(
            feed=self._feed.name,
            cursor=delivery.cursor,
            state=delivery.state,
            tasks=self._tasks,
            watermark_ms=self._promises.watermark(delivery, posts, before.watermark_ms),
            posts=before.posts + len(delivery.posts),
            matched=before.matched + len(part.appends),
            rejected=before.rejected + len(rejected),
        )
        puts, says = part.puts, says_of(delivery.state) if delivery.unheard or self._promises.due(delivery) else None
        if says is not None and self._known is not None:
            puts = [*self._known.forgotten(), *puts]  # of one row the last word counts
        return Unit(
            self.closed([*part.appends, *self._letters(rejected)], after, says, puts, delivery.unheard), after, says
        )

    def _letters(self, rejected: Iterable[Rejected]) -> list[Append]:
        partitions, now_ms = self._log.partitions(DEADLETTERS.name), self._clock.now_ms()
        return [dead_letter(self._feed.name, item, partitions, now_ms) for item in rejected]

    def closed(
        self,
        appends: list[Append],
        after: Standing,
        says: Says | None,
        puts: Sequence[Put] = (),
        unheard: Unheard | None = None,
    ) -> UnitWrite:
        """A unit of these messages, behind them heartbeats that say this (None: none), and the cursor."""
        if says is not None:
            tasks = self._tasks if self._promises.said is None else None
            appends += self._encoder.heartbeats(after.watermark_ms, *says, tasks=tasks, unheard=unheard)
        appends.append(after.append(self._log.partitions(CURSORS.name)))
        return UnitWrite(appends, puts=puts)
