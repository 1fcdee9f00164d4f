"""JSON objects of insights. `docs/api.md` describes each field."""

from __future__ import annotations

from typing import Any

from heartbeat.insights.change import LABELS, Change, Difference, score_of, shares_of, total_of
from heartbeat.insights.insight import Insight
from heartbeat.insights.shift import Shift
from heartbeat.insights.spike import LEAST_WINDOWS, Spike
from heartbeat.insights.voice import Voices
from heartbeat.web.shapes import rfc3339


def insight(found: Insight) -> dict[str, Any]:
    """One window, and how it stands to others."""
    score, shares = score_of(found.figures), shares_of(found.figures)
    return {
        "window_start": rfc3339(found.start_ms),
        "window_seconds": found.size_s,
        "final": found.final,
        "heard": _rounded(found.heard),
        "total": total_of(found.figures),
        "scored": found.figures.scored,
        "score": _rounded(score),
        "shares": {label: _rounded(shares[at]) for at, label in enumerate(LABELS)},
        "voice": _rounded(found.voice),
        "changes": {
            "window_before": found.before and change(found.before),
            "day_before": found.day and change(found.day),
            "week_before": found.week and change(found.week),
        },
        "reference": {"windows": found.reference, "least": LEAST_WINDOWS},
        "spike": found.spike and spike(found.spike),
        "shifts": {
            "negative": found.negative and shift(found.negative),
            "positive": found.positive and shift(found.positive),
        },
    }


def change(found: Change) -> dict[str, Any]:
    """What has changed since an earlier window."""
    return {
        "window_start": rfc3339(found.start_ms),
        "total": _difference(found.total),
        "score": _difference(found.score),
        "shares": {label: _difference(found.shares[at]) for at, label in enumerate(LABELS)},
        "voice": _difference(found.voice),
    }


def spike(found: Spike) -> dict[str, Any]:
    """How unusual a number of posts is."""
    return {
        "z": _rounded(found.z),
        "strength": found.strength,
        "usual": found.usual,
        "usual_from": found.low,
        "usual_to": found.high,
    }


def shift(found: Shift) -> dict[str, Any]:
    """How unusual a share is."""
    return {
        "z": _rounded(found.z),
        "strength": found.strength,
        "share": _rounded(found.share),
        "usual": _rounded(found.usual),
        "difference": _rounded(found.difference),
        "difference_from": _rounded(found.low),
        "difference_to": _rounded(found.high),
        "posts": found.posts,
        "reference_posts": found.reference_posts,
        "spread": _rounded(found.spread),
    }


def voices(found: Voices) -> dict[str, Any]:
    """Posts and shares of tasks."""
    return {
        "total": found.total,
        "final": found.final,
        "posts": dict(found.posts),
        "shares": {task: _rounded(found.share(task)) for task in found.posts},
    }


def _difference(found: Difference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"then": _rounded(found.then), "absolute": _rounded(found.absolute), "relative": _rounded(found.relative)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
