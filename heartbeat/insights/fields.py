"""The numbers of an insight under flat names: columns of exports, fields of points."""

from __future__ import annotations

from typing import Final

from heartbeat.insights.change import Change
from heartbeat.insights.insight import Insight
from heartbeat.insights.shift import Shift
from heartbeat.insights.spike import Spike

FIELDS: Final = (
    "voice_share",
    "change_prev",
    "change_day",
    "change_week",
    "spike_z",
    "shift_neg_z",
    "shift_pos_z",
)


def fields(insight: Insight) -> dict[str, float]:
    """What is known, as floats, in the order of `FIELDS`. Changes are relative ones of the number of posts."""
    values = (
        insight.voice,
        _relative(insight.before),
        _relative(insight.day),
        _relative(insight.week),
        _z(insight.spike),
        _z(insight.negative),
        _z(insight.positive),
    )
    return {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}


def _z(score: Spike | Shift | None) -> float | None:
    return score.z if score else None


def _relative(change: Change | None) -> float | None:
    return change.total.relative if change else None
