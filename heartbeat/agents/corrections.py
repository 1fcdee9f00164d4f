"""The agent `corrections`: whoever deletes or edits a post where it comes from takes the corrections of it along.

It reads `ingest`, since a deletion goes on from there only while the post is remembered, and a correction is kept for
longer. Its other duty is to forget what is old. It writes nothing into the log, and to forget twice is to forget once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from heartbeat.corrections.rows import Gone
from heartbeat.corrections.store import Corrections
from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.errors import CorrectionsUnusable, Retry
from heartbeat.records import Heartbeat, Post, Scored
from heartbeat.topics import DAY_MS, INGEST

T = TypeVar("T")

WAIT_S: Final = 10.0
SWEEP_EVERY_MS: Final = 600_000


class CorrectionsAgent:
    """Forgets corrections in time.

    Args:
        corrections: gives them, once they are open.
        days: how long they are kept.
    """

    def __init__(self, corrections: Callable[[], Corrections], days: int) -> None:
        self._corrections, self._keep_ms = corrections, days * DAY_MS
        self._swept_ms: int | None = None

    async def __call__(self, batch: Batch[Post | Heartbeat], emit: Emit) -> None:
        """Forget what these posts delete or replace."""
        posts = [event.value for event in batch.events if type(event.value) is Post]
        if posts:
            await _patiently(lambda: self._corrections().retract(map(_replaced, posts)))

    async def retracted(self, posts: Sequence[Scored]) -> None:
        """Forget what has just been taken out of the history: nobody can correct it from then on."""
        gone = [Gone(post.source, post.id, post.rev) for post in posts if post.op == "retract"]
        if gone:
            await _patiently(lambda: self._corrections().retract(gone))

    async def tick(self, partition: int, now_ms: int, emit: Emit) -> None:
        """Forget what is too old, now and then."""
        if partition or (self._swept_ms is not None and abs(now_ms - self._swept_ms) < SWEEP_EVERY_MS):
            return
        self._swept_ms = now_ms
        await _patiently(lambda: self._corrections().sweep(now_ms - self._keep_ms))

    def spec(self, *, max_messages: int = 512) -> AgentSpec:
        """The agent."""
        return AgentSpec("corrections", INGEST, self, tick=self.tick, max_messages=max_messages)


def _replaced(post: Post) -> Gone:
    """What cannot be kept any more now that this has come: every revision of what is deleted, else the older ones."""
    return Gone(post.source, post.id, None if post.op == "delete" else post.rev - 1)


async def _patiently(work: Callable[[], T]) -> T:
    """In a thread; a file that cannot be used is not the messages' fault, they wait for it."""
    try:
        return await asyncio.to_thread(work)
    except CorrectionsUnusable as error:
        raise Retry(str(error), after_s=WAIT_S) from error
