"""A window held against an earlier one of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heartbeat.records import Figures

LABELS: Final = ("positive", "neutral", "negative", "mixed")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure now and then.

    Attributes:
        then: what it was.
        absolute: now − then.
        relative: (now − then) / then; None where then is 0, or where a ratio means nothing.
    """

    then: float
    absolute: float
    relative: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed since an earlier window. A figure that one of both does not have is None.

    Attributes:
        start_ms: of the earlier window.
        total: posts.
        score: mean of pos − neg over scored posts. It may be 0 or negative, so it has no relative change.
        shares: of the four labels in scored posts, in the order of `LABELS`.
        voice: the share of voice.
    """

    start_ms: int
    total: Difference
    score: Difference | None
    shares: tuple[Difference | None, ...]
    voice: Difference | None


def total_of(figures: Figures) -> int:
    """All posts."""
    return figures.scored + figures.unscored


def score_of(figures: Figures) -> float | None:
    """The mean of pos − neg over the scored posts, from −1 to 1; None where there are none."""
    return (figures.pos_e6 - figures.neg_e6) / (figures.scored * 1_000_000) if figures.scored else None


def shares_of(figures: Figures) -> tuple[float | None, ...]:
    """The shares of the labels in scored posts, in the order of `LABELS`; None where nothing is scored."""
    return tuple(getattr(figures, label) / figures.scored if figures.scored else None for label in LABELS)


def difference(now: float | None, then: float | None, *, ratio: bool = True) -> Difference | None:
    """What a figure has changed by; None unless both are there."""
    if now is None or then is None:
        return None
    return Difference(then, now - then, (now - then) / then if ratio and then else None)


def change(
    now: Figures, then: Figures, start_ms: int, *, voice_now: float | None = None, voice_then: float | None = None
) -> Change:
    """Hold a window against an earlier one that began at `start_ms`."""
    total = difference(total_of(now), total_of(then))
    assert total is not None
    return Change(
        start_ms,
        total,
        difference(score_of(now), score_of(then), ratio=False),
        tuple(map(difference, shares_of(now), shares_of(then))),
        difference(voice_now, voice_then),
    )
