"""Which messages of the log hold what is to be forgotten, and overwriting them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from heartbeat import topics
from heartbeat.codec import Codec
from heartbeat.engine import erasure
from heartbeat.engine.log import LogRecord
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.records import Detected, Late, Post, Pulse, Scored
from heartbeat.sinks.history_forgetting import Stored
from heartbeat.traces import PostId, Traces, feed_of_letter, letter_is_of, post_of_key

_LETTERS: Final = topics.DEADLETTERS.name
_WITH_TEXT: Final = (topics.SENTIMENT.name, topics.LANGUAGE.name, topics.INGEST.name)
"""The last is overwritten last: it says whose a post is, should the command be cut off and started again."""
_WITH_AUTHOR: Final = (topics.INGEST.name, topics.LANGUAGE.name)


class Messages:
    """Finds and overwrites messages of one log."""

    def __init__(self, log: SqliteLog) -> None:
        self._log, self.codec = log, Codec(log)
        self._traces = Traces(self.codec)

    async def by_author(self, author: str) -> list[PostId]:
        """The posts of an author, as far as the topics still say whose they are."""
        found = await erasure.find(
            self._log, _WITH_AUTHOR, lambda record: self._traces.author(record) == author, needle=author.encode()
        )
        ids = (post_of_key(one.record.key) for one in found)
        return sorted({one for one in ids if one is not None})

    async def told(self, wanted: Collection[PostId]) -> list[Stored]:
        """In which tasks and when these posts were counted, as far as the topics say: also after they were deleted."""
        found = await erasure.find(self._log, [topics.SENTIMENT.name], lambda record: post_of_key(record.key) in wanted)
        scores = [score for one in found if isinstance(score := self._traces.decoded(one.record), Scored)]
        return [Stored(score.task, score.time_ms, score.source, score.id) for score in scores]

    async def erase_posts(self, wanted: Collection[PostId]) -> int:
        """Overwrite what holds the texts or authors of these posts; gives how many messages."""
        erased = await self._erase([_LETTERS], lambda record: letter_is_of(record, wanted))
        for topic in _WITH_TEXT:
            erased += await self._erase([topic], lambda record: self._traces.holds_text_of(record, wanted))
        return erased

    async def erase_letters_naming(self, author: str) -> int:
        """Overwrite dead letters that are by an author; looked for without a needle: JSON may write it by numbers."""
        return await self._erase([_LETTERS], lambda record: self._traces.letter_names(record, {author}))

    async def erase_letters_of(self, feeds: Collection[str]) -> int:
        """Overwrite dead letters of what these feeds could not read."""
        return await self._erase([_LETTERS], lambda record: feed_of_letter(record) in feeds)

    async def erase_task(self, task: str) -> int:
        """Overwrite everything that is of this task alone, dead letters of agents included."""
        every = (*_WITH_TEXT, topics.PULSE.name, _LETTERS)
        return await self._erase(every, lambda record: self._is_of_task(record, task), needle=task.encode())

    async def _erase(
        self, names: Collection[str], wanted: Callable[[LogRecord], bool], *, needle: bytes | None = None
    ) -> int:
        return await erasure.erase_all(self._log, lambda: erasure.find(self._log, names, wanted, needle=needle))

    def _is_of_task(self, record: LogRecord, task: str) -> bool:
        post = self._traces.decoded(record)
        if isinstance(post, Post | Detected):
            return list(post.tasks) == [task]
        return isinstance(post, Scored | Late | Pulse) and post.task == task
