"""The agents `history-posts` and `history-windows`: what has been scored and added up, into the history's file.

Both only hand batches to the history's thread and wait for it. They write nothing into the log, so their offsets there
may fall behind those in the file: the file's decide what is new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from heartbeat.engine.agent import AgentSpec, Batch, Emit
from heartbeat.errors import HistoryError, Retry
from heartbeat.records import Heartbeat, Late, Pulse, Scored
from heartbeat.sinks.history import History
from heartbeat.topics import PULSE, SENTIMENT

POSTS: Final = "history-posts"
WINDOWS: Final = "history-windows"
WAIT_S: Final = 30.0
"""How long to wait when the file has become unusable: only a person can mend that."""
STEPS_A_TICK: Final = 20

Retracted: TypeAlias = Callable[[Sequence[Scored]], Awaitable[None]]


class HistoryPosts:
    """Keeps posts with their scores; a retraction removes its post, text and all. Does the file's upkeep on ticks.

    Args:
        history: where they are kept.
        retracted: told of a batch's posts once they are stored, at least once: nobody finds what is retracted any more.
    """

    def __init__(self, history: History, retracted: Retracted | None = None) -> None:
        self._history, self._retracted = history, retracted

    async def __call__(self, batch: Batch[Scored | Heartbeat], emit: Emit) -> None:
        """Keep the scores of a batch; of heartbeats, what they say of times that were not heard."""
        posts = [
            (event.offset, event.timestamp_ms, event.value) for event in batch.events if type(event.value) is Scored
        ]
        beats = [
            event.value
            for event in batch.events
            if type(event.value) is Heartbeat and event.value.unheard_from_ms is not None
        ]
        await _patiently(self._history.store_posts(batch.tp, posts, beats))
        if self._retracted is not None:
            await self._retracted([post for _, _, post in posts])

    async def tick(self, partition: int, now_ms: int, emit: Emit) -> None:
        """A little upkeep."""
        for _ in range(STEPS_A_TICK):
            if not await self._history.maintain(now_ms):
                return


class HistoryWindows:
    """Keeps windows; marks posts that came late, and takes what was retracted late out of its windows."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def __call__(self, batch: Batch[Pulse | Late], emit: Emit) -> None:
        """Keep the windows of a batch."""
        await _patiently(self._history.store_windows(batch.tp, [(event.offset, event.value) for event in batch.events]))


async def _patiently(stored: Awaitable[None]) -> None:
    """An unusable file is not the messages' fault: they wait for it instead of going to dead letters."""
    try:
        await stored
    except HistoryError as error:
        raise Retry(str(error), after_s=WAIT_S) from error


def specs(
    history: History, *, max_messages: int = 512, retracted: Retracted | None = None
) -> tuple[AgentSpec, AgentSpec]:
    """Both agents on one history. `retracted`: see `HistoryPosts`."""
    posts = HistoryPosts(history, retracted)
    return (
        AgentSpec(POSTS, SENTIMENT, posts, tick=posts.tick, max_messages=max_messages),
        AgentSpec(WINDOWS, PULSE, HistoryWindows(history), max_messages=max_messages),
    )
