"""All figures of one window of one task, from what is stored of it and of the windows before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from heartbeat.insights.change import Change, change, total_of
from heartbeat.insights.covered import MISSED_MOST, QUIET_MS, Covered, Missed
from heartbeat.insights.shift import Part, Shift, shift
from heartbeat.insights.spike import Spike, spike
from heartbeat.insights.voice import share
from heartbeat.records import Figures

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
REFERENCE_WINDOWS: Final = 96
"""How many windows before make the reference of both scores: a day, with windows of 15 min."""
NOTHING: Final = Figures()

Span: TypeAlias = tuple[int, int]
"""Windows that start in [from_ms, to_ms)."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is stored around the windows that are to be judged: within `spans_of` each of them at least.

    Attributes:
        size_s: of the windows.
        windows: the task's, by start. Windows without posts are not there.
        heard: posts of all tasks that are fed as this one is, itself included, by start. Tells quiet from unknown.
        since_ms: the start of the task's first window of this size, None if it has none.
        voices: posts of all tasks whose voices are compared, by start; None if this one is not among them.
        unfinished: starts of the task's windows that are not closed. They are held against nothing.
        unheard: times of which one of the task's feeds has heard nothing, in ms; some may overlap.
    """

    size_s: int
    windows: Mapping[int, Figures]
    heard: Mapping[int, int]
    since_ms: int | None
    voices: Mapping[int, int] | None = None
    unfinished: Collection[int] = frozenset()
    unheard: Collection[Span] = ()


@dataclass(frozen=True, slots=True)
class Insight:
    """One window of one task, and how it stands to others. What cannot be told is None.

    Attributes:
        start_ms, size_s: which window.
        final: whether it is closed. One that is not is compared, but never scored.
        heard: how much of its time the task's feeds have heard, from 0 to 1. Where that is too little, its number of
            posts is held against nothing; shares are, since what was heard is a sample.
        figures: what it holds.
        voice: the share of voice.
        before, day, week: what has changed since the window before, a day ago and a week ago.
        reference: how many of the `REFERENCE_WINDOWS` before are known.
        spike: of the number of posts.
        negative, positive: shifts of these shares.
    """

    start_ms: int
    size_s: int
    final: bool
    heard: float
    figures: Figures
    voice: float | None
    before: Change | None
    day: Change | None
    week: Change | None
    reference: int
    spike: Spike | None
    negative: Shift | None
    positive: Shift | None


def spans_of(size_s: int, start_ms: int, until_ms: int | None = None) -> list[Span]:
    """What has to be read to judge the windows from `start_ms` on, that one alone or all before `until_ms`."""
    size_ms = 1000 * size_s
    end_ms = start_ms + size_ms if until_ms is None else max(until_ms, start_ms + size_ms)
    around_ms = QUIET_MS + 2 * size_ms
    wanted = [
        (start_ms - WEEK_MS - around_ms, end_ms - WEEK_MS + around_ms),
        (start_ms - DAY_MS - around_ms, end_ms - DAY_MS + around_ms),
        (start_ms - REFERENCE_WINDOWS * size_ms - around_ms, end_ms + around_ms),
    ]
    spans: list[Span] = []
    for from_ms, to_ms in sorted(wanted):
        if spans and from_ms <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(to_ms, spans[-1][1])
        else:
            spans.append((from_ms, to_ms))
    return spans


class Judge:
    """Judges windows of one task by one `Past`.

    Args:
        past: what is stored.
        closed_ms: somebody has listened up to here at least: the watermark, where it is known.
    """

    def __init__(self, past: Past, closed_ms: int | None = None) -> None:
        self._past = past
        heard = [start_ms for start_ms, posts in past.heard.items() if posts]
        if closed_ms is not None:
            heard.append(closed_ms - closed_ms % (1000 * past.size_s))
        self._covered = Covered(past.size_s, heard, past.since_ms)
        self._missed = Missed(past.unheard)

    def knows(self, start_ms: int) -> bool:
        """Whether it is known what the window that starts then holds, all of it; it may be nothing."""
        return (
            start_ms in self._covered
            and start_ms not in self._past.unfinished
            and self._missed_of(start_ms) <= MISSED_MOST
        )

    def insight(self, start_ms: int, *, final: bool) -> Insight:
        """The figures of the window that starts then."""
        past, size_ms = self._past, 1000 * self._past.size_s
        now = past.windows.get(start_ms, NOTHING)
        starts = range(start_ms - REFERENCE_WINDOWS * size_ms, start_ms, size_ms)
        reference = [past.windows.get(each, NOTHING) for each in starts if self.knows(each)]
        missed = self._missed_of(start_ms)
        whole = missed <= MISSED_MOST
        return Insight(
            start_ms,
            past.size_s,
            final,
            1 - missed,
            now,
            self._voice(start_ms),
            self._change(now, start_ms, start_ms - size_ms) if whole else None,
            self._change(now, start_ms, start_ms - DAY_MS) if whole else None,
            self._change(now, start_ms, start_ms - WEEK_MS) if whole else None,
            len(reference),
            spike(total_of(now), [total_of(each) for each in reference]) if final and whole else None,
            _shift(now, reference, "negative") if final else None,
            _shift(now, reference, "positive") if final else None,
        )

    def _missed_of(self, start_ms: int) -> float:
        return self._missed.share(start_ms, start_ms + 1000 * self._past.size_s)

    def _change(self, now: Figures, start_ms: int, then_ms: int) -> Change | None:
        if not self.knows(then_ms):
            return None
        then = self._past.windows.get(then_ms, NOTHING)
        return change(now, then, then_ms, voice_now=self._voice(start_ms), voice_then=self._voice(then_ms))

    def _voice(self, start_ms: int) -> float | None:
        past = self._past
        if past.voices is None:
            return None
        return share(total_of(past.windows.get(start_ms, NOTHING)), past.voices.get(start_ms, 0))


def _shift(now: Figures, reference: list[Figures], label: str) -> Shift | None:
    return shift(Part(getattr(now, label), now.scored), [Part(getattr(each, label), each.scored) for each in reference])
