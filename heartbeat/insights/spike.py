"""How unusual a number of posts is: a robust z on counts.

Counts are taken to a scale on which the noise of rare events is 1 whatever their rate: y = 2 √(x + 3/8) (Anscombe
1948). There the score is the distance to the median in units of the spread, 1.4826 times the median absolute deviation,
which is at least that 1: steady counts do not make a ripple an alarm, and a few spikes before do not hide the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Final

from heartbeat.insights.strength import HIGH, MAD_TO_SIGMA, Strength, strength

LEAST_WINDOWS: Final = 24
"""With fewer earlier windows nothing is said: of so few the spread cannot be told."""


@dataclass(frozen=True, slots=True)
class Spike:
    """How a number of posts stands to those before it.

    Attributes:
        z: the score: 0 is the median, from ±3.5 on it is out of the ordinary.
        strength: its word.
        usual: the median of the counts before.
        low, high: counts from the lower to the higher are `usual`.
        windows: how many there were before.
    """

    z: float
    strength: Strength
    usual: float
    low: int
    high: int
    windows: int


def stabilised(count: int) -> float:
    """A count on the scale on which its noise is about 1 (Anscombe 1948)."""
    return 2 * sqrt(count + 0.375)


def spike(count: int, reference: Sequence[int]) -> Spike | None:
    """Score a count against earlier ones; None if they are fewer than `LEAST_WINDOWS`."""
    if len(reference) < LEAST_WINDOWS:
        return None
    before = [stabilised(each) for each in reference]
    middle = median(before)
    spread = max(1.0, MAD_TO_SIGMA * median(abs(each - middle) for each in before))
    z = (stabilised(count) - middle) / spread
    return Spike(z, strength(z), median(reference), *_usual(middle, spread), len(reference))


def _usual(middle: float, spread: float) -> tuple[int, int]:
    """The least and the largest count whose score is within ±`HIGH`."""
    lowest, highest = middle - HIGH * spread, middle + HIGH * spread
    low = 0 if lowest <= 0 else max(0, int(lowest**2 / 4 - 0.375))
    while abs((stabilised(low) - middle) / spread) >= HIGH:
        low += 1
    high = int(highest**2 / 4 - 0.375) + 1
    while abs((stabilised(high) - middle) / spread) >= HIGH:
        high -= 1
    return low, high
