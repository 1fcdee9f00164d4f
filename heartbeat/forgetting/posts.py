"""Forgets posts, by their ids or by their author."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from heartbeat import topics
from heartbeat.agents.scored import REPLAY
from heartbeat.corrections.rows import Gone
from heartbeat.engine.faults import point
from heartbeat.engine.log import Append, UnitWrite
from heartbeat.feeds.cursors import standings
from heartbeat.forgetting.ground import Ground, Step
from heartbeat.records import Post
from heartbeat.sinks import history_forgetting
from heartbeat.sinks.history_forgetting import Stored, Window
from heartbeat.topics import partition_of, post_key
from heartbeat.traces import PostId

FEED: Final = "forget"
"""The feed that deletions of live posts come by."""
_UNIT: Final = 500
_CORRECTED: Final = "windows, written as they are without them"


async def forget_posts(ground: Ground, ids: Sequence[PostId]) -> AsyncIterator[Step]:
    """Forget these posts."""
    await ground.settled()
    stored, windows = await _found(ground, ids)
    async for step in _forget(ground, ids, stored, windows):
        yield step
    async for step in ground.end(_different(stored), "posts", windows, _CORRECTED):
        yield step


async def forget_author(ground: Ground, author: str) -> AsyncIterator[Step]:
    """Forget the posts of an author, as far as the topics still say whose they are."""
    await ground.settled()
    ids = await ground.messages.by_author(author)
    yield Step("topics", len(ids), "posts found by their author")
    windows: Sequence[Window] = ()
    if ids:
        stored, windows = await _found(ground, ids)
        async for step in _forget(ground, ids, stored, windows):
            yield step
    yield Step("dead letters", await ground.messages.erase_letters_naming(author), "that name the author, overwritten")
    async for step in ground.end(len(ids), "posts", windows, _CORRECTED):
        yield step


async def _found(ground: Ground, ids: Sequence[PostId]) -> tuple[list[Stored], list[Window]]:
    """Where the posts are stored, and the windows that they were counted in."""
    path = ground.history.path
    stored = await asyncio.to_thread(history_forgetting.find, path, ids)
    counted = [*stored, *await ground.messages.told(set(ids))]
    return stored, await asyncio.to_thread(history_forgetting.windows_of, path, counted)


async def _forget(
    ground: Ground, ids: Sequence[PostId], stored: Sequence[Stored], windows: Sequence[Window]
) -> AsyncIterator[Step]:
    owed = await ground.telling.owe(windows)
    point("forget.owed")
    try:
        gone = [Gone(source, post_id, None) for source, post_id in ids]
        corrected = await asyncio.to_thread(ground.station.corrections.retract, gone)
        await _delete(ground, ids)
        point("forget.deleted")
        await _take_out(ground, ids)
        point("forget.taken")
    finally:
        ground.telling.release(owed)
    yield Step("history", len(stored), "posts with their scores and texts, taken out of their windows")
    yield Step("corrections", corrected, "corrected posts with their texts")
    yield Step("topics", await ground.messages.erase_posts(set(ids)), "messages with texts, overwritten")
    point("forget.erased")


async def _delete(ground: Ground, ids: Sequence[PostId]) -> None:
    """Delete posts as their feeds would: from the live feeds, and from every replay."""
    log, station = ground.log, ground.station
    now_ms, partitions = station.clock.now_ms(), log.partitions(topics.INGEST.name)
    feeds = [FEED, *(feed for feed in standings(log) if feed.startswith(REPLAY))]
    appends = []
    for source, post_id in ids:
        key = post_key(source, post_id)
        for feed in feeds:
            value = ground.messages.codec.encode(Post(post_id, source, feed, [], "delete", 0, "", now_ms, now_ms))
            appends.append(Append(topics.INGEST.name, partition_of(key, partitions), key.encode(), value))
    for at in range(0, len(appends), _UNIT):
        await log.write(UnitWrite(appends=appends[at : at + _UNIT]))
    await ground.settled()
    await asyncio.sleep(2 * station.settings.publish_s)  # corrected windows are published by then
    await ground.settled()


async def _take_out(ground: Ground, ids: Sequence[PostId]) -> None:
    """Take out of the history what the stream did not remember any more."""
    left = await asyncio.to_thread(history_forgetting.find, ground.history.path, ids)
    for at in range(0, len(left), history_forgetting.POSTS_A_STEP):
        part = left[at : at + history_forgetting.POSTS_A_STEP]
        await ground.history.perform(lambda tables, part=part: history_forgetting.take_out(tables, part))  # type: ignore[misc]


def _different(stored: Sequence[Stored]) -> int:
    """How many posts that is: one may count in several tasks."""
    return len({(post.source, post.id) for post in stored})
