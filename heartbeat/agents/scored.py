"""What is remembered of a post, so that it counts once: the rows of the table `scored`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from heartbeat.engine.tables import DiskTable, TableCodec
from heartbeat.models.api import Sentiment
from heartbeat.records import Scored

LIVE: Final = "live"
REPLAY: Final = "replay:"
FAST: Final = "-fast"
"""Ends the name of a replay whose posts all go to the fast model."""


class PostKey(NamedTuple):
    """A post within its scope: live feeds share one, each replay has its own."""

    scope: str
    source: str
    id: str

    def to_bytes(self) -> bytes:
        """The key of its row; scope and source hold no line feed."""
        return "\n".join(self).encode()

    @classmethod
    def from_bytes(cls, key: bytes) -> PostKey:
        """The post that has this key."""
        return cls(*key.decode().split("\n", 2))


def scope_of(feed: str) -> str:
    """Within which posts of this feed are known again."""
    return feed if feed.startswith(REPLAY) else LIVE


class Result:
    """A score, shared by all tasks whose model it is; empty until the model has answered.

    `asked` is the model it was asked of; None where there was nothing to ask.
    """

    __slots__ = ("asked", "sentiment")

    def __init__(self, asked: str | None, sentiment: Sentiment | None = None) -> None:
        self.asked, self.sentiment = asked, sentiment

    @property
    def value(self) -> Sentiment:
        """What the model has said. Raises RuntimeError before that."""
        if self.sentiment is None:
            raise RuntimeError("a score is used before its model was asked")
        return self.sentiment


class Given(NamedTuple):
    """The highest revision that a feed has delivered, and the tasks that it owes the post to."""

    rev: int
    tasks: tuple[str, ...]


class Counted(NamedTuple):
    """One `add` that stands: the feed it came by, its score, and whether it came too late for its windows."""

    feed: str
    result: Result
    late: bool = False


class ScoredRow(NamedTuple):
    """A post as it stands. Never changed in place.

    Attributes:
        rev: the highest revision.
        deleted: for good; nothing else of it matters then.
        arrived_ms: append time of the delivery that changed the row last.
        time_ms: event time of that revision, as it came first; likewise lang and lang_confidence.
        given: what each feed has delivered.
        counted: the tasks that it counts in.
    """

    rev: int
    deleted: bool
    arrived_ms: int
    time_ms: int
    lang: str
    lang_confidence: float
    given: Mapping[str, Given]
    counted: Mapping[str, Counted]

    def to_bytes(self) -> bytes:
        """The row in the table."""
        results: list[Result] = []
        counted = []
        for task, (feed, result, late) in self.counted.items():
            if result not in results:
                results.append(result)
            counted.append((task, feed, results.index(result), late))
        return orjson.dumps(
            (
                *self[:6],
                [(feed, rev, tasks) for feed, (rev, tasks) in self.given.items()],
                counted,
                [(result.asked, *result.value) for result in results],
            )
        )

    @classmethod
    def from_bytes(cls, row: bytes) -> ScoredRow:
        """What gave these bytes."""
        rev, deleted, arrived_ms, time_ms, lang, confidence, given, counted, results = orjson.loads(row)
        scores = [Result(asked, Sentiment._make(sentiment)) for asked, *sentiment in results]
        return cls(
            rev,
            deleted,
            arrived_ms,
            time_ms,
            lang,
            confidence,
            {feed: Given(rev, tuple(tasks)) for feed, rev, tasks in given},
            {task: Counted(feed, scores[at], late) for task, feed, at, late in counted},
        )

    def retract(self, post_id: str, source: str, task: str) -> Scored:
        """The record that takes the standing `add` for a task back."""
        feed, result, late = self.counted[task]
        pos, neu, neg, label, model, reason, cut = result.value
        return Scored(
            post_id, source, feed, task, "retract", self.rev, self.time_ms, self.lang, self.lang_confidence,
            pos, neu, neg, label, reason, model, cut, late,
        )  # fmt: skip

    def add(self, post_id: str, source: str, task: str, content: str | None) -> Scored:
        """The record that counts the post in a task."""
        feed, result, late = self.counted[task]
        pos, neu, neg, label, model, reason, cut = result.value
        return Scored(
            post_id, source, feed, task, "add", self.rev, self.time_ms, self.lang, self.lang_confidence,
            pos, neu, neg, label, reason, model, cut, late, content,
        )  # fmt: skip


def scored_table() -> DiskTable[PostKey, ScoredRow]:
    """The table `scored`, on disk."""
    return DiskTable(
        "scored",
        TableCodec(PostKey.to_bytes, PostKey.from_bytes, ScoredRow.to_bytes, ScoredRow.from_bytes),
        help="what is remembered of each post, so that it counts once",
    )


TOMBSTONE: Final = ScoredRow(0, True, 0, 0, "und", 0.0, {}, {})
