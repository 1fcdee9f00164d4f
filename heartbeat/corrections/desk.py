"""Takes corrections beside an event loop: looks posts up, keeps what is said of them, and answers in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from heartbeat.clock import Clock
from heartbeat.corrections.rows import Correction, SeenPost
from heartbeat.corrections.store import ANY, Corrections

Find: TypeAlias = Callable[[str, int, str, str], SeenPost]
"""(task, time_ms, source, id): a post of the history. Raises PostNotThere or TextNotKept."""


class Desk:
    """What the pages ask.

    Args:
        corrections: open for writing, once anybody asks.
        find: looks a post up; it may block.
        clock: tells when a correction is made.
    """

    def __init__(self, corrections: Callable[[], Corrections], find: Find, clock: Clock) -> None:
        self._corrections, self._find, self._clock = corrections, find, clock

    async def correct(
        self,
        task: str,
        time_ms: int,
        source: str,
        post_id: str,
        *,
        label: str | None,
        lang: str | None,
        over: int = ANY,
    ) -> Correction:
        """Keep a correction of a post that is in the history. See `Corrections.correct`.

        Raises:
            PostNotThere: it is not there.
            TextNotKept: its text has been erased.
            CorrectedMeanwhile: another correction stands than was seen.
            CorrectionsUnusable: the file cannot be used.
            HistoryError: the history cannot be read.
        """

        def correct() -> Correction:
            return self._corrections().correct(
                lambda: self._find(task, time_ms, source, post_id), label, lang, over=over, now_ms=self._clock.now_ms()
            )

        return await asyncio.to_thread(correct)

    async def take_back(self, source: str, post_id: str, number: int | None) -> tuple[int, Correction | None]:
        """See `Corrections.take_back`."""
        return await asyncio.to_thread(lambda: self._corrections().take_back(source, post_id, number))

    async def page(self, after: int, limit: int, *, every: bool, since_ms: int | None) -> list[Correction]:
        """See `Corrections.page`."""
        return await asyncio.to_thread(
            lambda: self._corrections().page(after, limit=limit, every=every, since_ms=since_ms)
        )

    async def standing(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Correction]:
        """The corrections that stand, by (source, id)."""
        return await asyncio.to_thread(lambda: self._corrections().standing(keys))


def languages(of_models: Sequence[Sequence[str]]) -> list[str]:
    """What a language may be corrected to: whatever any of the models knows, and `und`."""
    return [*sorted({lang for each in of_models for lang in each} - {"und"}), "und"]
