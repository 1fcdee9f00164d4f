"""Forgets posts, authors and tasks, now and everywhere, while a worker runs and when none does.

A post is deleted as its feed would have deleted it: through the stream, so that open windows, sealed ones, what people
said of it and what is remembered against duplicates follow as always. What the stream does not remember any more is
taken out of the history directly. Then the messages that hold its text or its author are overwritten in the log, and
the WALs are cut. Each step may be cut off and done again: whatever is gone already is found no more.

What is kept outside of log and history (`sinks.places`) is told at last, and by somebody else: what it has to be told
is durable before anything is forgotten, and `sinks.telling` goes on with it, in whatever process has the history open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from heartbeat.engine.sqlite_log import SqliteLog
from heartbeat.forgetting.ground import Ground, Step
from heartbeat.forgetting.posts import forget_author, forget_posts
from heartbeat.forgetting.task import forget_task
from heartbeat.station import Station
from heartbeat.traces import PostId

__all__ = ["Step", "steps"]


def steps(
    station: Station,
    log: SqliteLog,
    *,
    posts: Sequence[PostId] = (),
    author: str | None = None,
    task: str | None = None,
) -> AsyncIterator[Step]:
    """Forget what the command asks for, one of the three; a step for each place, in the order in which it was done.

    Args:
        station: its agents are at work, and so is its `telling`.
        log: its log, which this process owns.
        posts: as (source, id).
        author: of posts.
        task: by its name.
    """
    ground = Ground(station, log)
    if author is not None:
        return forget_author(ground, author)
    if task is not None:
        return forget_task(ground, task)
    return forget_posts(ground, posts)
