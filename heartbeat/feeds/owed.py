"""What has been deleted where it comes from, and may still stand in the log: texts of posts, rubbish by an author.

A deletion takes a post out of windows and history at once. Its text in the topics is overwritten later, for many at a
time, since they have to be looked through for it (`heartbeat.erasing`). Until that is done the post stands here,
written in the unit that passes its deletion on; so no crash lets it be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from heartbeat.clock import Clock
from heartbeat.engine.log import Log, Put
from heartbeat.topics import post_key

STORE: Final = "owed-erasures"
EVERY_MS: Final = 600_000
_PARTITION: Final = 0
_AT_ONCE: Final = 10_000


class Due(NamedTuple):
    """What is to be erased now: posts (source, id), and authors of whom nothing may be left."""

    posts: set[tuple[str, str]]
    authors: set[str]


class Owed:
    """The posts and authors whose texts are to be erased.

    Args:
        log: where they are kept.
        clock: tells when their time comes: those of ten minutes together, or of a twentieth of the time that texts are
            kept, if that is less.
        content_ms: how long that is.
    """

    def __init__(self, log: Log, clock: Clock, *, content_ms: int) -> None:
        self._store, self._clock = log.state(STORE), clock
        self._every_ms = max(min(EVERY_MS, content_ms // 20), 1)

    def puts(self, posts: Iterable[tuple[str, str]], authors: Iterable[str]) -> list[Put]:
        """What a unit has to write that deletes these posts (source, id), or everything by these authors."""
        due_ms = (self._clock.now_ms() // self._every_ms + 1) * self._every_ms
        keys = [post_key(*post) for post in posts] + [post_key("", author) for author in authors]
        return [Put(STORE, _PARTITION, key.encode(), b"", due_ms) for key in dict.fromkeys(keys)]

    def due(self) -> Due:
        """What is to be erased by now; of very much, the oldest."""
        rows = self._store.expired(_PARTITION, self._clock.now_ms(), _AT_ONCE)
        owed = Due(set(), set())
        for key, _ in rows:
            source, _, name = key.decode().partition("\n")
            if source:
                owed.posts.add((source, name))
            else:
                owed.authors.add(name)
        return owed

    def done(self, due: Due) -> list[Put]:
        """What to write once these have been erased."""
        keys = [post_key(*post) for post in due.posts] + [post_key("", author) for author in due.authors]
        return [Put(STORE, _PARTITION, key.encode(), None) for key in keys]
