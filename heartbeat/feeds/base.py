"""What a feed is: one running inflow with a cursor.

A feed yields deliveries. The runner (`runner`) matches posts against the tasks' queries and writes a delivery's posts,
its heartbeats and its cursor into the log as one unit, so a restart goes on exactly where it stopped.

The hard case of the contract: `open(cursor)` is called with the cursor of the last delivery that became durable, after
a crash at any moment. What was yielded after that cursor has to be yielded again, with the same (source, id, rev), in
the same order; what was yielded before it may come again, and is then dropped as a duplicate.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from heartbeat.records import Post


class FeedState(StrEnum):
    """How a feed stands towards its other side."""

    CAUGHT_UP = "caught up"
    BEHIND = "behind"
    DISCONNECTED = "disconnected"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that is no post: its original bytes, and why. Goes to dead letters."""

    raw: bytes
    reason: str
    place: str
    """Where it stood: a file and line, or a cursor."""


class Unheard(NamedTuple):
    """A time, in ms since the epoch, of which a feed has heard nothing and never will; `to_ms` is left out."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """Some posts in the order of their arrival, and where the feed stands after them.

    Attributes:
        posts: with `tasks` left empty: the runner fills them in. May be none (a heartbeat alone). A deletion without
            an id takes back all posts of its author so far; only a feed that `knows_authors` may say so.
        rejected: items that are no posts.
        cursor: names the place after the last of them; opaque to everybody but the feed.
        watermark_ms: nothing below it follows, except what is late; None while the feed cannot promise anything new.
        state: caught up, behind, disconnected or ended.
        why: for people, when disconnected; else what they should know of the feed besides.
        unheard: where the feed has found out that it has missed something: when that was said.
    """

    posts: Sequence[Post]
    rejected: Sequence[Rejected]
    cursor: bytes
    watermark_ms: int | None
    state: FeedState
    why: str = ""
    unheard: Unheard | None = None


class Feed(Protocol):
    """One inflow. `name` is unique (`demo`, `bluesky`, `replay:HASH`).

    `live` says whether event times are held against the time of receipt, and whether the feed serves the configured
    tasks; a replay serves the one task it was started for. One with `makes_up = False` delivers only what is said while
    it runs: the runner then tells of the times in which it did not.
    """

    name: str
    live: bool

    def open(self, cursor: bytes | None) -> AsyncIterator[Delivery]:
        """Yield deliveries from the cursor on (None: from the beginning). Ends after a delivery that says `ENDED`."""
        ...
