"""Forgets posts, authors and tasks, now and everywhere, while a worker runs and when none does.

A post is deleted as its feed would have deleted it: through the stream, so that open windows, sealed ones, what people
said of it and what is remembered against duplicates follow as always. What the stream does not remember any more is
taken out of the history directly. Last, the messages that hold its text or its author are overwritten in the log, and
the WALs are cut. Each step may be cut off and done again: whatever is gone already is found no more.

What is kept outside of log and history has a `Place` of its own (`sinks.places`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from heartbeat import topics
from heartbeat.codec import Codec
from heartbeat.corrections.rows import Gone
from heartbeat.engine import erasure
from heartbeat.engine.log import Append, LogRecord, UnitWrite
from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.errors import HeartbeatError
from heartbeat.feeds.cursors import standings
from heartbeat.records import Detected, Late, Post, Pulse, Scored
from heartbeat.settling import settled
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history_forgetting import Stored
from heartbeat.sinks.places import Place, PostId
from heartbeat.station import Station
from heartbeat.topics import partition_of, post_key
from heartbeat.traces import Traces, letter_is_of, post_of_key

FEED: Final = "forget"
"""The feed that deletions of live posts come by."""
CUT_TRIES: Final = 50
CUT_PAUSE_S: Final = 0.1
_UNIT: Final = 500
_AGENTS: Final = ("language", "sentiment", "pulse", "history-posts", "history-windows", "corrections")
_WITH_TEXT: Final = (topics.INGEST.name, topics.LANGUAGE.name, topics.SENTIMENT.name)
_ALL: Final = (*_WITH_TEXT, topics.PULSE.name, topics.DEADLETTERS.name)


@dataclass(frozen=True, slots=True)
class Step:
    """What was done in one place.

    Attributes:
        place: where.
        count: how many things.
        what: what they are.
        done: nothing follows.
    """

    place: str
    count: int
    what: str
    done: bool = False


class Forgetting:
    """Forgets in one data directory.

    Args:
        station: its agents are at work.
        log: its log, which this process owns.
        places: what else keeps something.
    """

    def __init__(self, station: Station, log: SqliteLog, places: Sequence[Place] = ()) -> None:
        self._station, self._log, self._places = station, log, places
        self._codec = Codec(log)
        self._traces = Traces(self._codec)

    async def posts(self, ids: Sequence[PostId]) -> AsyncIterator[Step]:
        """Forget these posts; a step for each place, in the order in which it was done."""
        path, history = self._station.history.path, self._station.history
        await self._check_places()
        await self._settled()
        before = await asyncio.to_thread(history_forgetting.find, path, ids)
        counted = [*before, *await self._told(set(ids))]
        windows = await asyncio.to_thread(history_forgetting.windows_of, path, counted)
        gone = [Gone(source, post_id, None) for source, post_id in ids]
        corrected = await asyncio.to_thread(self._station.corrections.retract, gone)
        await self._delete(ids)
        left = await asyncio.to_thread(history_forgetting.find, path, ids)
        for at in range(0, len(left), history_forgetting.POSTS_A_STEP):
            part = left[at : at + history_forgetting.POSTS_A_STEP]
            await history.perform(lambda tables, part=part: history_forgetting.take_out(tables, part))  # type: ignore[misc]
        yield Step("history", len(before), "posts with their scores and texts, taken out of their windows")
        yield Step("corrections", corrected, "corrected posts with their texts")
        for place in self._places:
            yield Step(place.name, await place.forget_posts(ids, windows), "things of these posts")
        wanted = set(ids)
        found = await erasure.find(self._log, _WITH_TEXT, lambda record: self._traces.holds_text_of(record, wanted))
        found += await erasure.find(self._log, [topics.DEADLETTERS.name], lambda record: letter_is_of(record, wanted))
        yield Step("topics", await erasure.erase(self._log, found), "messages with texts, overwritten")
        await self._cut()
        yield Step("all", len({(post.source, post.id) for post in before}), "posts", done=True)

    async def author(self, author: str) -> AsyncIterator[Step]:
        """Forget the posts of an author, as far as the topics still say whose they are."""
        await self._settled()
        ids = await self._by_author(author)
        yield Step("topics", len(ids), "posts found by their author")
        if ids:
            async for step in self.posts(ids):
                if not step.done:
                    yield step
        letters = await erasure.find(  # without a needle: JSON may write the name by numbers
            self._log, [topics.DEADLETTERS.name], lambda record: self._traces.letter_names(record, {author})
        )
        yield Step("dead letters", await erasure.erase(self._log, letters), "that name the author, overwritten")
        await self._cut()
        yield Step("all", len(ids), "posts", done=True)

    async def task(self, task: str) -> AsyncIterator[Step]:
        """Forget everything that was counted for a task.

        Raises:
            HeartbeatError: it is configured, or has windows that may still change.
        """
        if any(task == known.name for known in self._station.tasks):
            raise HeartbeatError(
                f"{task} is configured: its windows would come back with the next post; take it out of tasks.yaml and "
                "start the worker anew first"
            )
        await self._check_places()
        await self._settled()
        if next(self._station.view.windows(task), None) is not None:
            raise HeartbeatError(
                f"{task} has windows that may still change, and would come back; try again when they are sealed: some "
                "15 minutes after its last post, or when its replay is through"
            )
        history = self._station.history
        if any(feed.startswith("replay:") and task in one.tasks for feed, one in standings(self._log).items()):
            history.lose([task])  # else `replay` would say that its files are through, and are to be seen
        rows = 0
        while removed := await history.perform(lambda tables: history_forgetting.remove_task(tables, task)):
            rows += removed
        yield Step("history", rows, "rows: windows, posts, hours and days")
        yield Step("corrections", await asyncio.to_thread(self._take_back, task), "corrections made in this task")
        erased = 0
        # upkeep may have put a chunk in other rows since it was looked at: it is looked for until nothing is found
        while found := await erasure.find(
            self._log, _ALL, lambda record: self._is_of_task(record, task), needle=task.encode()
        ):
            erased += await erasure.erase(self._log, found)
        yield Step("topics", erased, "messages, overwritten")
        for place in self._places:  # not before: what stands in the topics may still be on its way there
            yield Step(place.name, await place.forget_task(task), "things of this task")
        await self._cut()
        yield Step("all", rows, "rows", done=True)

    async def _check_places(self) -> None:
        for place in self._places:
            try:
                await place.check()
            except HeartbeatError as error:
                raise HeartbeatError(f"nothing has been forgotten yet: {error}") from error

    async def _delete(self, ids: Sequence[PostId]) -> None:
        """Delete posts as their feeds would: from the live feeds, and from every replay."""
        now_ms, partitions = self._station.clock.now_ms(), self._log.partitions(topics.INGEST.name)
        feeds = [FEED, *(feed for feed in standings(self._log) if feed.startswith("replay:"))]
        appends = []
        for source, post_id in ids:
            key = post_key(source, post_id)
            for feed in feeds:
                value = self._codec.encode(Post(post_id, source, feed, [], "delete", 0, "", now_ms, now_ms))
                appends.append(Append(topics.INGEST.name, partition_of(key, partitions), key.encode(), value))
        for at in range(0, len(appends), _UNIT):
            await self._log.write(UnitWrite(appends=appends[at : at + _UNIT]))
        await self._settled()
        await asyncio.sleep(2 * self._station.settings.publish_s)  # corrected windows are published by then
        await self._settled()

    def _take_back(self, task: str) -> int:
        corrections = self._station.corrections
        made = [each for each in corrections.all(every=True) if each.post.task == task]
        return sum(corrections.take_back(each.post.source, each.post.id, each.number)[0] for each in made)

    async def _settled(self) -> None:
        """Wait for what this rests on; not for those who pass figures on to somewhere else, which may be away."""
        await settled(self._station, self._log, agents=_AGENTS)

    async def _told(self, wanted: set[PostId]) -> list[Stored]:
        """In which tasks and when these posts were counted, as far as the topics say: also after they were deleted."""
        found = await erasure.find(
            self._log,
            [topics.SENTIMENT.name],
            lambda record: post_of_key(record.key) in wanted,
        )
        scores = [score for one in found if isinstance(score := self._traces.decoded(one.record), Scored)]
        return [Stored(score.task, score.time_ms, score.source, score.id) for score in scores]

    async def _by_author(self, author: str) -> list[PostId]:
        found = await erasure.find(
            self._log, _WITH_TEXT[:2], lambda record: self._traces.author(record) == author, needle=author.encode()
        )
        return sorted({post_id for one in found if (post_id := post_of_key(one.record.key)) is not None})

    async def _cut(self) -> None:
        """Cut both WALs.

        Raises:
            HeartbeatError: something else is reading all the time.
        """
        done = await erasure.cut_wal(self._log)
        for _ in range(CUT_TRIES):
            if await self._station.history.perform(lambda tables: tables.upkeep.cut_wal()):
                break
            await asyncio.sleep(CUT_PAUSE_S)
        else:
            done = False
        if not done:
            raise HeartbeatError(
                "all is forgotten but for the WALs of log.db and history.db, since another program is reading one of "
                "them; stop it and start the command again"
            )

    def _is_of_task(self, record: LogRecord, task: str) -> bool:
        post = self._traces.decoded(record)
        if isinstance(post, Post | Detected):
            return list(post.tasks) == [task]
        return isinstance(post, Scored | Late | Pulse) and post.task == task


def steps(
    forgetting: Forgetting, *, posts: Sequence[PostId] = (), author: str | None = None, task: str | None = None
) -> AsyncIterator[Step]:
    """What the command asks for: one of the three."""
    if author is not None:
        return forgetting.author(author)
    if task is not None:
        return forgetting.task(task)
    return forgetting.posts(posts)
