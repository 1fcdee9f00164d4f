"""Where each feed stands, durably: the compact topic `cursors`, one JSON object for each feed.

It is written in the same unit as the posts it covers. What a feed's cursor means is the feed's own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from heartbeat.engine.log import TP, Append, Log
from heartbeat.errors import FeedConflict
from heartbeat.feeds.base import FeedState
from heartbeat.records import BEFORE_TIME_MS
from heartbeat.tasks import Task
from heartbeat.topics import CURSORS, partition_of

_TEXT = "latin-1"  # maps every byte to one character and back: a cursor that is JSON stays readable


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a feed stands.

    Attributes:
        feed: its name.
        cursor: after the last delivery that is durable; None before the first.
        state: what that delivery said.
        tasks: names of the tasks that it serves.
        watermark_ms: what it has promised.
        posts: how many it has delivered in all, `matched` of them for some task, and `rejected` items beside them.
    """

    feed: str
    cursor: bytes | None = None
    state: FeedState = FeedState.BEHIND
    tasks: tuple[str, ...] = ()
    watermark_ms: int = BEFORE_TIME_MS
    posts: int = 0
    matched: int = 0
    rejected: int = 0

    def without_tasks(self) -> Standing:
        """The same, serving nothing."""
        return replace(self, tasks=())

    def append(self, partitions: int) -> Append:
        """The message that makes it durable, as part of a unit."""
        value = {
            "cursor": None if self.cursor is None else self.cursor.decode(_TEXT),
            "state": self.state.value,
            "tasks": self.tasks,
            "watermark_ms": self.watermark_ms,
            "posts": self.posts,
            "matched": self.matched,
            "rejected": self.rejected,
        }
        return Append(CURSORS.name, partition_of(self.feed, partitions), self.feed.encode(), orjson.dumps(value))


def standing(log: Log, feed: str) -> Standing:
    """Where a feed stands; at the beginning if the log does not know it."""
    return standings(log).get(feed) or Standing(feed)


def standings(log: Log) -> dict[str, Standing]:
    """Where every feed stands that the log knows, by name."""
    found: dict[str, Standing] = {}
    for partition in range(log.partitions(CURSORS.name)):
        for record in log.latest(TP(CURSORS.name, partition)):
            if record.key is None or record.value is None:
                continue
            value = orjson.loads(record.value)
            feed = record.key.decode()
            found[feed] = Standing(
                feed,
                None if value["cursor"] is None else value["cursor"].encode(_TEXT),
                FeedState(value["state"]),
                tuple(value["tasks"]),
                value["watermark_ms"],
                value["posts"],
                value["matched"],
                value["rejected"],
            )
    return found


def check_replay(log: Log, feed: str, task: str, tasks: Sequence[Task]) -> None:
    """Make sure that a replay has its task for itself.

    Args:
        log: says which feeds have served the task so far.
        feed: the replay's name.
        task: the task that it is to serve.
        tasks: the configured tasks.

    Raises:
        FeedConflict: a configured task has that name, or another feed has served it.
    """
    if task in {configured.name for configured in tasks}:
        raise FeedConflict(
            f"the task {task!r} is configured in tasks.yaml and served by live feeds; "
            "a replay needs a task of its own: choose another name with --task NAME"
        )
    for other in standings(log).values():
        if other.feed != feed and task in other.tasks:
            what = "another replay" if other.feed.startswith("replay:") else "a live feed"
            raise FeedConflict(
                f"the task {task!r} already holds the posts of {what} ({other.feed}); "
                "choose another name with --task NAME to keep the two apart"
            )
