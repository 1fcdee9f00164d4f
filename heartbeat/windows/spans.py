"""Which sizes of windows a post counts in, when the sizes have been changed at a restart.

A post counts in a size for good or not at all, and its time alone says which: else nobody could tell, when it is taken
back, which windows have it. So a size that is new begins with the first window that lies behind everything that has
been counted, and a size that is gone goes on to the end of the windows that it has; or to where a new one begins, if
there is no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from heartbeat.records import BEFORE_TIME_MS, END_OF_TIME_MS
from heartbeat.windows.ids import WindowKey


class Span(NamedTuple):
    """Windows of one size that count: those that begin at or after `from_ms`, and before `to_ms`."""

    size_s: int
    from_ms: int
    to_ms: int


Spans: TypeAlias = tuple[Span, ...]
"""All that count for a task. None at all says: every size of the worker's that wrote the rows, without bounds."""


def sizes_at(spans: Spans, time_ms: int) -> list[tuple[int, int]]:
    """The sizes that a post of this time counts in, as pairs of (seconds, milliseconds)."""
    return [
        (size_s, 1000 * size_s)
        for size_s, from_ms, to_ms in spans
        if from_ms <= time_ms - time_ms % (1000 * size_s) < to_ms
    ]


def ends(windows: Iterable[WindowKey]) -> dict[str, dict[int, int]]:
    """By task and size, the end of its last live window."""
    out: dict[str, dict[int, int]] = {}
    for task, size_s, start_ms in windows:
        of_task = out.setdefault(task, {})
        of_task[size_s] = max(of_task.get(size_s, BEFORE_TIME_MS), start_ms + 1000 * size_s)
    return out


def changed(
    spans: Spans, before: Sequence[int], sizes: Sequence[int], live: Mapping[int, int], sealed_through_ms: int
) -> Spans:
    """A task's spans under the sizes of a worker that starts; with the same sizes, what is over falls away.

    Args:
        spans: as they were.
        before: the sizes of the worker that wrote the rows.
        sizes: the new ones.
        live: by size, the end of the task's last live window.
        sealed_through_ms: what is older than this counts in no window.
    """
    if sealed_through_ms >= END_OF_TIME_MS:
        return ()
    spans = spans or tuple(Span(size_s, BEFORE_TIME_MS, END_OF_TIME_MS) for size_s in before)
    counted_ms = _counted_through(spans, live, sealed_through_ms)
    going_on = {size_s: from_ms for size_s, from_ms, to_ms in spans if to_ms == END_OF_TIME_MS and size_s in sizes}
    begins: dict[int, int] = {}
    for size_s in sizes:
        if size_s not in going_on:
            from_ms = max([counted_ms, *(to_ms for size, _, to_ms in spans if size == size_s)])
            begins[size_s] = _border(from_ms, size_s)
    # where none counts yet, those that are gone do until the first of the others: posts between them would be lost
    first_ms = min([*going_on.values(), *begins.values()])
    bridged_ms = first_ms if first_ms > counted_ms else BEFORE_TIME_MS
    out = []
    for size_s, from_ms, to_ms in spans:
        if from_ms <= sealed_through_ms:
            from_ms = BEFORE_TIME_MS
        if to_ms == END_OF_TIME_MS and size_s not in sizes:
            to_ms = max(live.get(size_s, BEFORE_TIME_MS), _border(bridged_ms, size_s))
        if to_ms > max(from_ms, sealed_through_ms):
            out.append(Span(size_s, from_ms, to_ms))
    for size_s, from_ms in begins.items():
        out.append(Span(size_s, BEFORE_TIME_MS if from_ms <= sealed_through_ms else from_ms, END_OF_TIME_MS))
    out.sort()
    unbounded = all(span[1:] == (BEFORE_TIME_MS, END_OF_TIME_MS) for span in out)
    return () if unbounded else tuple(out)


def _border(time_ms: int, size_s: int) -> int:
    """The first window's start at or after a time."""
    return time_ms if time_ms == BEFORE_TIME_MS else time_ms + -time_ms % (1000 * size_s)


def _counted_through(spans: Spans, live: Mapping[int, int], sealed_through_ms: int) -> int:
    """Every post that has been counted is older than this.

    Those in the span of a size that went on until now are in one of its live windows, or sealed.
    """
    through = [
        max(from_ms, live.get(size_s, BEFORE_TIME_MS), sealed_through_ms)
        for size_s, from_ms, to_ms in spans
        if to_ms == END_OF_TIME_MS
    ]
    return min(through, default=max([sealed_through_ms, *live.values()]))
