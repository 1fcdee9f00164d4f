"""Which of a feed's posts go on, and the messages that they become.

Of a feed that knows authors, edits and deletions go on only of posts that it has passed on before; and an account that
is gone becomes the deletions of its posts, in parts of a bounded size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from heartbeat.codec import Codec
from heartbeat.engine.log import Append, Put
from heartbeat.errors import UnencodableRecord
from heartbeat.feeds.base import Rejected, Unheard
from heartbeat.feeds.known import Gone, Known, KnownUnit
from heartbeat.records import Heartbeat, Post
from heartbeat.tasks import Matcher
from heartbeat.topics import INGEST, partition_of, post_key

TAKEN_AT_ONCE: Final = 500
"""So many posts of accounts that are gone are deleted in one unit, and a page of them more at the most."""
_TASKS: Final = Post._fields.index("tasks")


class Passed(NamedTuple):
    """What goes on of some posts: messages, what cannot be written, what becomes known or is to be forgotten.

    Not the `last`: more of the same delivery follows, once this is durable.
    """

    appends: list[Append]
    rejected: list[Rejected]
    puts: list[Put]
    last: bool = True


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

    def posts_of_authors(self, posts: Sequence[Post], known: Known, place: str) -> Iterator[Passed]:
        """The same, but of edits and deletions only those of known posts; in several parts, where it is much."""
        match = self._match
        matched = [(post, match(post.content) if post.op == "upsert" else ()) for post in posts]
        left = [(post, tasks) for post, tasks in matched if tasks or post.rev or post.op == "delete"]
        while True:
            unit = known.open(post.author or "" for post, _ in left)
            passed, through, gone = self._known_ones(left, unit)
            left = left[through:]
            yield Passed(*self._written(passed, place), unit.puts(), last=gone is None and not left)
            if gone is not None:
                yield from self.gone(gone, known, place, last=not left)
            if not left:
                return

    def gone(self, gone: Gone, known: Known, place: str, *, last: bool = False) -> Iterator[Passed]:
        """The deletion of all that is left of an account that has been taken in part; `last`: nothing follows it."""
        rest: Gone | None = gone
        while rest is not None:
            unit = known.open([gone.author])
            ids, rest = unit.take(rest, TAKEN_AT_ONCE)
            passed = self._written(self._deletions(gone, ids), place)
            yield Passed(*passed, unit.puts(), last=last and rest is None)

    def _known_ones(
        self, posts: Sequence[tuple[Post, Sequence[str]]], unit: KnownUnit
    ) -> tuple[list[tuple[Post, Sequence[str]]], int, Gone | None]:
        """What goes on, how many of the posts that was decided of, and the account that more has to be taken of."""
        passed: list[tuple[Post, Sequence[str]]] = []
        taken = 0
        for at, (post, tasks) in enumerate(posts):
            author = post.author or ""
            if post.op == "delete" and not post.id:
                if taken >= TAKEN_AT_ONCE:
                    return passed, at, None
                gone = Gone(author, post.source, post.received_ms)
                ids, rest = unit.take(gone, TAKEN_AT_ONCE - taken)
                passed += self._deletions(gone, ids)
                taken += len(ids)
                if rest is not None:
                    return passed, at + 1, rest
            elif tasks or unit.has(author, post.id, post.received_ms):
                passed.append((post, tasks))
                if post.op == "upsert":
                    unit.add(author, post.id, post.received_ms)
                else:
                    unit.deleted(post.source, post.id)
        return passed, len(posts), None

    def _deletions(self, gone: Gone, ids: Iterable[str]) -> list[tuple[Post, Sequence[str]]]:
        ms = gone.seen_ms
        return [
            (Post(post_id, gone.source, self._feed, (), "delete", 0, "", ms, ms, author=gone.author), ())
            for post_id in ids
        ]

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
