"""One window's row, and its life: open, closed, corrected; sealed means that there is no row any more.

A row is bytes, in memory too: a tenth of what the same takes as objects, and nothing that the garbage collector would
have to look at. It begins with what the schedule asks for, so that this is read without the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple, Protocol

import orjson

from heartbeat.records import Figures, Pulse
from heartbeat.windows.ids import WindowKey
from heartbeat.windows.tally import Delta, Row, counts, merged, plus

_HEAD: Final = Struct(">BqqI")
_FINAL, _DIRTY, _PUBLISHED = 1, 2, 4


class Times(Protocol):
    """What the schedule wants to know of a window; see `WindowState`."""

    @property
    def final(self) -> bool: ...  # noqa: D102
    @property
    def changed_ms(self) -> int: ...  # noqa: D102
    @property
    def published_ms(self) -> int | None: ...  # noqa: D102
    @property
    def dirty(self) -> bool: ...  # noqa: D102


class Glance(NamedTuple):
    """A row without its figures."""

    revision: int
    final: bool
    changed_ms: int
    published_ms: int | None
    dirty: bool

    @classmethod
    def of(cls, row: bytes) -> Glance:
        """The beginning of a row."""
        flags, changed_ms, published_ms, revision = _HEAD.unpack_from(row)
        return cls(
            revision,
            bool(flags & _FINAL),
            changed_ms,
            published_ms if flags & _PUBLISHED else None,
            bool(flags & _DIRTY),
        )


class WindowState(NamedTuple):
    """What is known of a window until it is sealed. Never changed in place: each step gives a new one.

    Attributes:
        overall: figures of all its posts.
        by_lang: by language; no rows of zeros.
        by_source: by source; no rows of zeros.
        by_model: how many posts each model scored; no zeros.
        revision: of the newest published record; 0 while open, 1 when closed, more with each correction.
        final: it has been closed.
        changed_ms: when figures last changed, by the clock.
        published_ms: when it was last published, by the clock; None: never.
        dirty: figures have changed since.
    """

    overall: Row
    by_lang: Mapping[str, Row]
    by_source: Mapping[str, Row]
    by_model: Mapping[str, int]
    revision: int
    final: bool
    changed_ms: int
    published_ms: int | None
    dirty: bool

    def to_bytes(self) -> bytes:
        """Its row."""
        overall, by_lang, by_source, by_model, revision, final, changed_ms, published_ms, dirty = self
        flags = _FINAL * final | _DIRTY * dirty | _PUBLISHED * (published_ms is not None)
        figures = orjson.dumps((overall, by_lang, by_source, by_model))
        return _HEAD.pack(flags, changed_ms, published_ms or 0, revision) + figures

    @classmethod
    def from_bytes(cls, row: bytes) -> WindowState:
        """The state that gave these bytes."""
        overall, by_lang, by_source, *by_model = orjson.loads(memoryview(row)[_HEAD.size :])
        return cls(
            tuple(overall),
            {lang: tuple(figures) for lang, figures in by_lang.items()},
            {source: tuple(figures) for source, figures in by_source.items()},
            by_model[0] if by_model else {},  # rows of earlier versions did not count them
            *Glance.of(row),
        )

    def pulse(self, window: WindowKey, late: int) -> Pulse:
        """The record of it as it stands; `late` is the task's count of late posts so far."""
        task, size_s, start_ms = window
        return Pulse(
            task,
            size_s,
            start_ms,
            self.revision,
            self.final,
            late,
            Figures._make(self.overall),
            {lang: Figures._make(row) for lang, row in self.by_lang.items()},
            {source: Figures._make(row) for source, row in self.by_source.items()},
            self.by_model,
        )


def changed(state: WindowState | None, delta: Delta, now_ms: int) -> WindowState | None:
    """The window after a batch; None if nothing is left of one that nobody has been told of."""
    if state is None:
        by_lang, by_source = merged({}, delta.by_lang), merged({}, delta.by_source)
        if not by_lang and not by_source:
            return None
        by_model = counts({}, delta.by_model)
        return WindowState(delta.overall, by_lang, by_source, by_model, 0, False, now_ms, None, True)
    before_overall, before_lang, before_source, before_model, revision, final, _, published_ms, _ = state
    by_lang, by_source = merged(before_lang, delta.by_lang), merged(before_source, delta.by_source)
    if not by_lang and not by_source and published_ms is None and not final:
        return None
    by_model = counts(before_model, delta.by_model)
    if by_lang == before_lang and by_source == before_source and by_model == before_model:
        return state
    overall = plus(before_overall, delta.overall)
    return WindowState(overall, by_lang, by_source, by_model, revision, final, now_ms, published_ms, True)


def published(state: WindowState, now_ms: int) -> WindowState:
    """The window as it is published now: interim while it is open, the next correction once it is closed."""
    revision = state.revision + 1 if state.final else 0
    return state._replace(revision=revision, published_ms=now_ms, dirty=False)


def closed(state: WindowState, now_ms: int) -> WindowState:
    """The window as it is published once, when it closes."""
    return state._replace(revision=1, final=True, published_ms=now_ms, dirty=False)
