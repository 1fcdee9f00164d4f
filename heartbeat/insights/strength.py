"""What both scores are called in words."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Strength: TypeAlias = Literal["very low", "low", "usual", "high", "very high"]

HIGH: Final = 3.5
"""From here on a robust z is out of the ordinary (Iglewicz and Hoaglin 1993, p. 11)."""
VERY_HIGH: Final = 7.0

MAD_TO_SIGMA: Final = 1.482602218505602
"""1 / Φ⁻¹(3/4): makes the median absolute deviation of normal values an estimate of their standard deviation."""


def strength(z: float) -> Strength:
    """The word for a score."""
    if abs(z) < HIGH:
        return "usual"
    if abs(z) < VERY_HIGH:
        return "high" if z > 0 else "low"
    return "very high" if z > 0 else "very low"
