"""Adding up and taking back, in integers: no order of posts changes a result, and taking back is exact.

Rows are plain tuples, laid out as `records.Figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import add
from typing import Final, TypeAlias

from heartbeat.records import Figures, Late, Scored
from heartbeat.windows.ids import Layout, WindowKey

Row: TypeAlias = tuple[int, ...]
"""Figures, as a plain tuple."""

ZERO: Final[Row] = tuple(Figures())
_LABEL: Final = {
    "positive": Figures._fields.index("positive"),
    "neutral": Figures._fields.index("neutral"),
    "negative": Figures._fields.index("negative"),
    "mixed": Figures._fields.index("mixed"),
}
_WIDTH: Final = len(Figures._fields)


def millionths(score: float) -> int:
    """A score in units of 10⁻⁶."""
    return round(score * 1_000_000)


class Delta:
    """What a batch changes in one window; may hold negative figures. The lists are laid out as `Figures`."""

    __slots__ = ("by_lang", "by_model", "by_source", "overall")

    def __init__(self) -> None:
        self.overall = [0] * _WIDTH
        self.by_lang: dict[str, list[int]] = {}
        self.by_source: dict[str, list[int]] = {}
        self.by_model: dict[str, int] = {}


class Tally:
    """Adds up the posts of a batch, so that each window is touched once.

    `deltas` maps (task, size_s, start_ms) to what changes there, in the order of first touch.
    """

    def __init__(self, layout: Layout) -> None:
        self._sizes = layout.sizes
        self.deltas: dict[WindowKey, Delta] = {}

    def count(self, post: Scored | Late) -> None:
        """Add a post to its windows, or take it out if it is a retraction.

        Raises:
            KeyError: a label that is none of the four.
        """
        sign = 1 if post.op == "add" else -1
        pos, neu, neg = post.pos, post.neu, post.neg
        if pos is None or neu is None or neg is None or post.label is None:
            label, p, u, n = 1, 0, 0, 0
        else:
            label = _LABEL[post.label]
            p = sign * round(pos * 1_000_000)
            u = sign * round(neu * 1_000_000)
            n = sign * round(neg * 1_000_000)
        task, time_ms, lang, source, model = post.task, post.time_ms, post.lang, post.source, post.model
        deltas = self.deltas
        for size_s, size_ms in self._sizes:
            window = (task, size_s, time_ms - time_ms % size_ms)
            delta = deltas.get(window)
            if delta is None:
                delta = deltas[window] = Delta()
            of_lang = delta.by_lang.get(lang)
            if of_lang is None:
                of_lang = delta.by_lang[lang] = [0] * _WIDTH
            of_source = delta.by_source.get(source)
            if of_source is None:
                of_source = delta.by_source[source] = [0] * _WIDTH
            if label != 1 and model is not None:
                delta.by_model[model] = delta.by_model.get(model, 0) + sign
            for figures in (delta.overall, of_lang, of_source):
                figures[label] += sign
                if label != 1:
                    figures[0] += sign
                    figures[6] += p
                    figures[7] += u
                    figures[8] += n


def plus(row: Row, change: list[int]) -> Row:
    """The sum of a row and a change."""
    return tuple(map(add, row, change))


def merged(rows: Mapping[str, Row], changes: Mapping[str, list[int]]) -> dict[str, Row]:
    """Figures by language or source after a change. A row that has become zero is gone, as if it had never been."""
    out = dict(rows)
    get = out.get
    for name, change in changes.items():
        before = get(name)
        after = tuple(change) if before is None else plus(before, change)
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
