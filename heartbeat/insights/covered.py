"""Which windows are known, those without posts included.

Windows without posts are not stored. So where nothing is stored of a task, what is stored of the tasks that are fed
alike decides: while any of them is heard, silence is silence; where all are silent for longer than `QUIET_MS`, nobody
may have listened.

Shorter times in which nobody did are told by the feeds themselves: a worker that was stopped, a connection that was
gone for too long. A window of which more than `MISSED_MOST` lies there is not known, though it may hold posts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

QUIET_MS: Final = 3_600_000
"""How long all tasks of a feed may be silent before that time counts as unknown."""

MISSED_MOST: Final = 0.05
"""How much of a window may be unheard, at most: what is then missing is less than chance brings."""


class Missed:
    """The times that a task's feeds have not heard.

    Args:
        spans: as (from, to) in ms; in any order, and some may overlap.
    """

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._spans: list[tuple[int, int]] = []
        for from_ms, to_ms in sorted(spans):
            if self._spans and from_ms <= self._spans[-1][1]:
                self._spans[-1] = self._spans[-1][0], max(to_ms, self._spans[-1][1])
            elif from_ms < to_ms:
                self._spans.append((from_ms, to_ms))

    def share(self, start_ms: int, end_ms: int) -> float:
        """How much of [start_ms, end_ms) was not heard, from 0 to 1."""
        missed_ms = 0
        for from_ms, to_ms in self._spans[max(0, bisect_right(self._spans, (start_ms,)) - 1) :]:
            if from_ms >= end_ms:
                break
            missed_ms += max(0, min(to_ms, end_ms) - max(from_ms, start_ms))
        return missed_ms / (end_ms - start_ms)


class Covered:
    """The times that somebody listened, as far as posts tell.

    A window is known if it lies between two windows with posts, and no silence around it is longer than `QUIET_MS`. The
    first and the last window of such a stretch are not: what ran may have begun, or ended, in their midst.

    Args:
        size_s: of the windows.
        heard: starts of the windows that hold posts, of any task that is fed alike; in any order.
        since_ms: the start of the task's own first window: before it nobody may have asked for the task. None: it has
            never been heard, and nothing is known.
    """

    def __init__(self, size_s: int, heard: Iterable[int], since_ms: int | None) -> None:
        self._since_ms = since_ms
        starts = sorted(set(heard))
        self._firsts: list[int] = starts[:1]
        self._lasts: list[int] = []
        for before, after in pairwise(starts):
            if after - before - 1000 * size_s > QUIET_MS:
                self._lasts.append(before)
                self._firsts.append(after)
        self._lasts += starts[-1:]

    def __contains__(self, start_ms: int) -> bool:
        """Whether it is known what the window that starts then holds."""
        if self._since_ms is None or start_ms <= self._since_ms:
            return False
        at = bisect_left(self._firsts, start_ms)
        return at > 0 and start_ms < self._lasts[at - 1]
