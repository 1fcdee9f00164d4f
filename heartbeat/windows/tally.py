"""Adding up and taking back, in integers: no order of posts changes a result, and taking back is exact.

Rows are plain tuples, laid out as `records.Figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from heartbeat.records import Figures, Late, Scored
from heartbeat.windows.ids import Layout, WindowKey
from heartbeat.windows.spans import Spans, sizes_at

Row: TypeAlias = tuple[int, ...]
"""Figures, as a plain tuple."""

ZERO: Final[Row] = tuple(Figures())
_LABELS: Final = ("positive", "neutral", "negative", "mixed")
_ADDED: Final = {label: tuple(Figures(scored=1, **{label: 1}))[:-3] for label in _LABELS}
_TAKEN: Final = {label: tuple(Figures(scored=-1, **{label: -1}))[:-3] for label in _LABELS}
_UNSCORED: Final[Row] = tuple(Figures(unscored=1))
_UNSCORED_TAKEN: Final[Row] = tuple(Figures(unscored=-1))


def millionths(score: float) -> int:
    """A score in units of 10⁻⁶."""
    return round(score * 1_000_000)


class Delta:
    """What posts change in a window; may hold negative figures."""

    __slots__ = ("by_lang", "by_model", "by_source", "overall")

    def __init__(self) -> None:
        self.overall = ZERO
        self.by_lang: dict[str, Row] = {}
        self.by_source: dict[str, Row] = {}
        self.by_model: dict[str, int] = {}

    def add(self, other: Delta) -> None:
        """Change what the other one changes too."""
        self.overall = plus(self.overall, other.overall)
        for mine, others in ((self.by_lang, other.by_lang), (self.by_source, other.by_source)):
            for name, row in others.items():
                before = mine.get(name)
                mine[name] = row if before is None else plus(before, row)
        for model, count in other.by_model.items():
            self.by_model[model] = self.by_model.get(model, 0) + count


class Tally:
    """Adds up the posts of a batch, so that each window is touched once.

    It adds up panes: the longest stretches that no window's border cuts. Most posts of a batch that concern a task lie
    close together, so its windows of all sizes change by the same.

    Args:
        layout: the sizes that posts count in.
        spans: of tasks whose posts count in other windows, since sizes have been changed.
        pane_ms: of all sizes that are in one of the two; None: of the layout's.
    """

    def __init__(
        self, layout: Layout, spans: Mapping[str, Spans] = MappingProxyType({}), pane_ms: int | None = None
    ) -> None:
        self._sizes, self._spans, self._pane_ms = layout.sizes, spans, pane_ms or layout.pane_ms
        self._panes: dict[tuple[str, int], Delta] = {}

    def count(self, post: Scored | Late) -> None:
        """Add a post to its windows, or take it out if it is a retraction.

        Raises:
            KeyError: a label that is none of the four.
        """
        pos, neu, neg, label, model = post.pos, post.neu, post.neg, post.label, post.model
        sign = 1 if post.op == "add" else -1
        if pos is None or neu is None or neg is None or label is None:
            row, model = _UNSCORED if sign == 1 else _UNSCORED_TAKEN, None
        else:
            row = (
                *(_ADDED if sign == 1 else _TAKEN)[label],
                sign * round(pos * 1_000_000),
                sign * round(neu * 1_000_000),
                sign * round(neg * 1_000_000),
            )
        time_ms, lang, source = post.time_ms, post.lang, post.source
        pane = post.task, time_ms - time_ms % self._pane_ms
        delta = self._panes.get(pane)
        if delta is None:
            delta = self._panes[pane] = Delta()
            delta.overall = delta.by_lang[lang] = delta.by_source[source] = row
        else:
            delta.overall = plus(delta.overall, row)
            before = delta.by_lang.get(lang)
            delta.by_lang[lang] = row if before is None else plus(before, row)
            before = delta.by_source.get(source)
            delta.by_source[source] = row if before is None else plus(before, row)
        if model is not None:
            delta.by_model[model] = delta.by_model.get(model, 0) + sign

    def deltas(self) -> dict[WindowKey, Delta]:
        """What changes in each window, in the order of first touch. Windows may share one: it stays as it is."""
        out: dict[WindowKey, Delta] = {}
        sums: set[WindowKey] = set()
        for (task, start_ms), delta in self._panes.items():
            spans = self._spans.get(task)
            for size_s, size_ms in self._sizes if spans is None else sizes_at(spans, start_ms):
                window = (task, size_s, start_ms - start_ms % size_ms)
                before = out.get(window)
                if before is None:
                    out[window] = delta
                    continue
                if window not in sums:
                    sums.add(window)
                    out[window] = total = Delta()
                    total.add(before)
                    before = total
                before.add(delta)
        return out


def plus(row: Row, change: Row) -> Row:
    """The sum of a row and a change. Written out, since it is what `pulse` does most."""
    a, b, c, d, e, f, g, h, i = row
    a_, b_, c_, d_, e_, f_, g_, h_, i_ = change
    return a + a_, b + b_, c + c_, d + d_, e + e_, f + f_, g + g_, h + h_, i + i_


def merged(rows: Mapping[str, Row], changes: Mapping[str, Row]) -> dict[str, Row]:
    """Figures by language or source after a change. A row that has become zero is gone, as if it had never been."""
    out = dict(rows)
    get = out.get
    for name, change in changes.items():
        before = get(name)
        after = change if before is None else plus(before, change)
        if after == ZERO:
            out.pop(name, None)
        else:
            out[name] = after
    return out


def counts(rows: Mapping[str, int], changes: Mapping[str, int]) -> Mapping[str, int]:
    """Counts by model after a change; one that has become zero is gone.

    Never below zero: a row of an earlier version does not know who scored its posts, and they may be taken back.
    """
    if not changes:
        return rows
    out = dict(rows)
    for name, change in changes.items():
        after = out.get(name, 0) + change
        if after > 0:
            out[name] = after
        else:
            out.pop(name, None)
    return out
