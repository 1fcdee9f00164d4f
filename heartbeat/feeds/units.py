"""From a delivery to the unit that is written: posts with their tasks, dead letters, heartbeats, the cursor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from heartbeat.clock import Clock
from heartbeat.codec import Codec
from heartbeat.engine.log import Append, Log, Put, UnitWrite
from heartbeat.errors import UnencodableRecord
from heartbeat.feeds.base import Delivery, Feed, Rejected, Unheard
from heartbeat.feeds.cursors import Standing
from heartbeat.feeds.known import Known
from heartbeat.feeds.promises import Promises, Says, says_of
from heartbeat.records import Heartbeat, Post
from heartbeat.tasks import Matcher, Task
from heartbeat.topics import CURSORS, DEADLETTERS, INGEST, partition_of, post_key
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


_TASKS: Final = Post._fields.index("tasks")


class Encoder:
    """Makes messages of one feed's posts and heartbeats."""

    def __init__(self, feed: str, tasks: Matcher, codec: Codec, partitions: int) -> None:
        self._feed, self._match, self._codec, self._partitions = feed, tasks.match, codec, partitions

    def posts(self, posts: Iterable[Post], place: str) -> tuple[list[Append], list[Rejected]]:
        """Messages for the posts that belong to a task, and for every edit and deletion; what cannot be written."""
        match = self._match
        matched = [(post, match(post.content)) for post in posts]
        return self._written(
            [(post, tasks) for post, tasks in matched if tasks or post.rev or post.op == "delete"], place
        )

    def posts_of_authors(
        self, posts: Sequence[Post], known: Known, place: str
    ) -> tuple[list[Append], list[Rejected], list[Put]]:
        """The same, but of edits and deletions only those of known posts; and what becomes known."""
        match = self._match
        matched = [(post, match(post.content) if post.op == "upsert" else ()) for post in posts]
        concerned = [(post, tasks) for post, tasks in matched if tasks or post.rev or post.op == "delete"]
        unit = known.open(post.author or "" for post, _ in concerned)
        passed: list[tuple[Post, Sequence[str]]] = []
        for post, tasks in concerned:
            author = post.author or ""
            if post.op == "delete" and not post.id:
                passed += [(post._replace(id=post_id), ()) for post_id in unit.take(author, post.received_ms)]
            elif tasks or unit.has(author, post.id, post.received_ms):
                passed.append((post, tasks))
                if post.op == "upsert":
                    unit.add(author, post.id, post.received_ms)
        return (*self._written(passed, place), unit.puts())

    def _written(self, posts: Iterable[tuple[Post, Sequence[str]]], place: str) -> tuple[list[Append], list[Rejected]]:
        appends: list[Append] = []
        rejected: list[Rejected] = []
        encode, partitions = self._codec.encode, self._partitions
        for post, tasks in posts:
            try:
                if not post.id or not post.source or "\n" in post.source:
                    raise UnencodableRecord("a post without a usable id or source")
                key = post_key(post.source, post.id)
                value = encode(Post._make((*post[:_TASKS], [*tasks], *post[_TASKS + 1 :])))  # `_replace`, faster
                appends.append(Append(INGEST.name, partition_of(key, partitions), key.encode(), value))
            except (UnencodableRecord, UnicodeEncodeError) as error:
                reason = str(error) if isinstance(error, UnencodableRecord) else "text that is no Unicode"
                raw = json.dumps(post._asdict(), default=str).encode()
                rejected.append(Rejected(raw, reason, place))
        return appends, rejected

    def heartbeats(
        self,
        watermark_ms: int,
        connected: bool,
        caught_up: bool,
        *,
        tasks: Sequence[str] | None,
        unheard: Unheard | None = None,
    ) -> list[Append]:
        """One message for every partition."""
        key = self._feed.encode()
        beat = Heartbeat(self._feed, 0, watermark_ms, caught_up, connected, tasks, *(unheard or (None, None)))
        return [
            Append(INGEST.name, partition, key, self._codec.encode(beat._replace(origin_partition=partition)))
            for partition in range(self._partitions)
        ]


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

    def of(self, delivery: Delivery, before: Standing) -> tuple[UnitWrite, Standing, Says | None]:
        """What to write for a delivery, where the feed stands then, and what its heartbeats say, if there are any."""
        posts = (
            [clamped(post) for post in delivery.posts]
            if self._feed.live
            else self._lateness.marked(delivery.posts, before.watermark_ms)
        )
        place = delivery.cursor.decode(errors="backslashreplace")
        puts: list[Put] = []
        if self._known is None:
            appends, unusable = self._encoder.posts(posts, place)
        else:
            appends, unusable, puts = self._encoder.posts_of_authors(posts, self._known, place)
        partitions, now_ms = self._log.partitions(DEADLETTERS.name), self._clock.now_ms()
        rejected = [*delivery.rejected, *unusable]
        letters = [dead_letter(self._feed.name, item, partitions, now_ms) for item in rejected]
        after = Standing(
            feed=self._feed.name,
            cursor=delivery.cursor,
            state=delivery.state,
            tasks=self._tasks,
            watermark_ms=self._promises.watermark(delivery, posts, before.watermark_ms),
            posts=before.posts + len(delivery.posts),
            matched=before.matched + len(appends),
            rejected=before.rejected + len(rejected),
        )
        says = says_of(delivery.state) if delivery.unheard or self._promises.due(delivery) else None
        if says is not None and self._known is not None:
            puts = [*self._known.forgotten(), *puts]  # of one row the last word counts
        return self.closed([*appends, *letters], after, says, puts, delivery.unheard), after, says

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
